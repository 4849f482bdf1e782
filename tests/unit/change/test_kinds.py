"""Grouping of changed pixels and the table of kinds."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from groundshift.change.kinds import KindModel, KindOptions, fit, label, merge, rows, smooth, summarise
from groundshift.errors import InputError, UsageError

BANDS = ("B03", "B04", "B08", "B12")


def clouds_of_points(n: int = 2000, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int_]]:
    """Four groups: small and large amplitude at two angles."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 4, n)
    amplitude = np.array([6, 40, 6, 40])[group] * np.exp(0.1 * rng.normal(size=n))
    angle = np.array([30, 30, 140, 140])[group] + 5 * rng.normal(size=n)
    return amplitude.astype(np.float32), angle.astype(np.float32), group + 1


def test_groups_in_amplitude_and_angle_are_found_in_the_promised_order() -> None:
    amplitude, angle, truth = clouds_of_points()
    kinds = label(fit(amplitude, angle), amplitude, angle, np.ones(len(truth), bool))
    order = {k: angle[kinds == k].mean() for k in (1, 2, 3, 4)}
    assert list(order.values()) == sorted(order.values())
    groups = {tuple(np.unique(truth[kinds == k])) for k in (1, 2, 3, 4)}
    assert groups == {(1,), (2,), (3,), (4,)}


def test_equal_angles_are_ordered_by_amplitude() -> None:
    amplitude = np.repeat([40.0, 5.0], 100)
    model = fit(amplitude, np.full(200, 90.0), KindOptions(classes=2))
    assert label(model, np.array([5.0, 40.0]), np.full(2, 90.0), np.ones(2, bool)).tolist() == [1, 2]


def test_labels_are_those_of_the_slow_nearest_centre() -> None:
    amplitude, angle, _ = clouds_of_points()
    changed = np.arange(len(angle)) % 3 > 0
    model = fit(amplitude, angle, KindOptions(classes=5))
    plane = (np.stack([np.log(amplitude.astype(float)), angle], axis=1) - model.middle) / model.scale
    slow = np.argmin(((plane[:, None] - model.centres) ** 2).sum(axis=2), axis=1) + 1
    np.testing.assert_array_equal(label(model, amplitude, angle, changed), np.where(changed, slow, 0))


def test_an_outlier_does_not_squeeze_the_others_together() -> None:
    amplitude, angle, truth = clouds_of_points()
    amplitude[:10] = 1e9
    kinds = label(fit(amplitude, angle), amplitude, angle, np.ones(len(truth), bool))[10:]
    assert {tuple(np.unique(truth[10:][kinds == k])) for k in (1, 2, 3, 4)} == {(1,), (2,), (3,), (4,)}


def test_nothing_changed_gives_no_kinds_and_a_map_of_zeros() -> None:
    model = fit(np.empty(0, np.float32), np.empty(0, np.float32))
    assert model.classes == 0
    assert not label(model, np.ones((3, 4)), np.ones((3, 4)), np.ones((3, 4), bool)).any()


@pytest.mark.parametrize(("distinct", "classes"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 4)])
def test_fewer_distinct_pixels_than_kinds_reduce_the_kinds(distinct: int, classes: int) -> None:
    angle = np.repeat(np.linspace(10, 170, distinct), 30)
    model = fit(np.full(angle.size, 7.0), angle)
    assert model.classes == classes
    assert set(label(model, np.full(angle.size, 7.0), angle, np.ones(angle.size, bool))) == set(range(1, classes + 1))


def test_a_rare_kind_far_down_the_list_still_counts_as_distinct() -> None:
    angle = np.full(30_000, 20.0)
    angle[20_001:] = 160
    assert fit(np.full(angle.size, 7.0), angle, KindOptions(classes=2)).classes == 2


def test_a_pixel_without_angle_goes_by_its_amplitude() -> None:
    model = KindModel(np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([np.log(10), 90.0]), np.array([1.0, 30.0]))
    kinds = label(model, np.array([30.0, 4.0, 0.0]), np.full(3, np.nan), np.ones(3, bool))
    assert kinds.tolist() == [2, 1, 1]


def slow_smooth(kind: NDArray[np.uint8], radius: int) -> NDArray[np.uint8]:
    """The most frequent kind of the changed pixels around each changed one; its own where that is among them."""
    out = kind.copy()
    for y, x in zip(*np.nonzero(kind), strict=True):
        around = kind[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
        votes = np.bincount(around[around > 0], minlength=6)
        out[y, x] = kind[y, x] if votes[kind[y, x]] == votes.max() else votes.argmax()
    return out


@pytest.mark.parametrize("radius", [0, 1, 2])
def test_kinds_are_smoothed_as_the_slow_majority_does_and_in_blocks_too(radius: int) -> None:
    rng = np.random.default_rng(radius)
    kind = (rng.integers(1, 6, (40, 30)) * (rng.random((40, 30)) < 0.6)).astype(np.uint8)
    expected = slow_smooth(kind, radius) if radius else kind
    assert np.array_equal(smooth(kind, radius), expected)
    halves = [smooth(kind[: 17 + radius], radius)[:17], smooth(kind[17 - radius :], radius)[radius:]]
    assert np.array_equal(np.concatenate(halves), expected)


def test_kinds_cluster_as_tightly_as_those_of_scikit_learn() -> None:
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(3)
    amplitude = np.exp(np.concatenate([rng.normal(m, 0.4, 3000) for m in (1.0, 2.0, 2.2, 3.5)]))
    angle = np.concatenate([rng.normal(m, 9, 3000) for m in (30, 60, 120, 90)])
    model = fit(amplitude, angle)
    plane = (np.stack([np.log(amplitude), angle], axis=1) - model.middle) / model.scale
    plane = np.clip(plane, *np.quantile(plane, (0.01, 0.99), axis=0))
    theirs = KMeans(4, n_init=10, random_state=0).fit(plane)
    ours = ((plane[:, None] - model.centres) ** 2).sum(axis=2).min(axis=1).sum()
    assert ours <= 1.001 * theirs.inertia_


def test_the_same_pixels_always_give_the_same_kinds() -> None:
    amplitude, angle, _ = clouds_of_points(20_000)
    np.testing.assert_array_equal(fit(amplitude, angle).centres, fit(amplitude, angle).centres)


@pytest.mark.parametrize("classes", [0, 255])
def test_numbers_of_kinds_that_cannot_be_are_refused(classes: int) -> None:
    with pytest.raises(UsageError, match="1 to 254"):
        KindOptions(classes=classes)


def table_input() -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    kind = rng.choice(np.array([0, 1, 2, 3, 255], np.uint8), (40, 50))
    before, after = rng.uniform(0.02, 0.4, (2, 4, 40, 50)).astype(np.float32)
    return kind, rng.uniform(4, 50, (40, 50)).astype(np.float32), before, after


def test_the_table_holds_the_means_of_each_kind() -> None:
    kind, amplitude, before, after = table_input()
    facts = rows(summarise(kind, amplitude, 3 * amplitude, before, after, 4), BANDS, 100.0)
    assert [fact.code for fact in facts] == [1, 2, 3, 4]
    for fact in facts[:3]:
        of = kind == fact.code
        assert fact.pixels == of.sum()
        assert fact.hectares == pytest.approx(of.sum() / 100)
        assert fact.mean_amplitude == pytest.approx(amplitude[of].mean(), rel=1e-5)
        assert fact.mean_angle_deg == pytest.approx(3 * amplitude[of].mean(), rel=1e-5)
        np.testing.assert_allclose(fact.mean_change, (after - before)[:, of].mean(axis=1), atol=1e-6)
        np.testing.assert_allclose(fact.mean_before, before[:, of].mean(axis=1), rtol=1e-5)
        first, second = before[:, of].mean(axis=1), after[:, of].mean(axis=1)
        nbr = [(s[2] - s[3]) / (s[2] + s[3]) for s in (first, second)]
        assert fact.d_nbr == pytest.approx(nbr[1] - nbr[0], abs=1e-5)
    assert (facts[3].pixels, facts[3].mean_amplitude, facts[3].mean_change, facts[3].hint) == (0, None, (), "")


def test_blocks_merged_in_any_order_give_the_table_of_the_whole() -> None:
    kind, amplitude, before, after = table_input()
    whole = summarise(kind, amplitude, amplitude, before, after, 3)
    parts = [
        summarise(kind[s], amplitude[s], amplitude[s], before[:, s], after[:, s], 3)
        for s in (slice(30, 40), slice(0, 7), slice(7, 30))
    ]
    merged = merge(parts[0], merge(parts[2], parts[1]))
    for name in ("pixels", "amplitude", "angle", "before", "after"):
        np.testing.assert_allclose(getattr(merged, name), getattr(whole, name))


def test_without_georeference_there_are_no_hectares_and_without_bands_no_indices() -> None:
    kind, amplitude, before, after = table_input()
    fact = rows(summarise(kind, amplitude, amplitude, before[:2], after[:2], 1), ("B05", "B06"), None)[0]
    assert (fact.hectares, fact.d_ndvi, fact.d_ndwi, fact.d_nbr) == (None, None, None, None)


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        # B03, B04, B08, B12
        ((0.06, 0.04, 0.30, 0.10), (0.09, 0.12, 0.20, 0.20), "burn"),
        ((0.06, 0.04, 0.30, 0.10), (0.06, 0.05, 0.03, 0.01), "water gain"),
        ((0.06, 0.05, 0.03, 0.01), (0.10, 0.12, 0.18, 0.20), "water loss"),
        ((0.10, 0.12, 0.20, 0.18), (0.06, 0.04, 0.32, 0.14), "vegetation gain"),
        ((0.06, 0.04, 0.30, 0.10), (0.09, 0.10, 0.29, 0.12), "vegetation loss"),
        ((0.10, 0.12, 0.15, 0.15), (0.16, 0.19, 0.24, 0.22), "brighter"),
        ((0.16, 0.19, 0.24, 0.22), (0.10, 0.12, 0.15, 0.15), "darker"),
        ((0.10, 0.12, 0.15, 0.15), (0.40, 0.42, 0.45, 0.30), "cloud"),
        ((0.10, 0.12, 0.15, 0.15), (0.11, 0.12, 0.15, 0.14), "without a clear sign"),
    ],
)
def test_the_hint_follows_the_signs(before: tuple[float, ...], after: tuple[float, ...], word: str) -> None:
    spectra = [np.array(s)[:, None] for s in (before, after)]
    table = summarise(np.ones(1, np.uint8), np.ones(1), np.ones(1), spectra[0], spectra[1], 1)
    assert word in rows(table, BANDS, 100.0)[0].hint


def test_without_swir_a_dark_loss_is_named_with_caution() -> None:
    spectra = [np.array(s)[:, None] for s in ((0.06, 0.05, 0.30), (0.05, 0.05, 0.12))]
    table = summarise(np.ones(1, np.uint8), np.ones(1), np.ones(1), spectra[0], spectra[1], 1)
    assert "perhaps burn" in rows(table, BANDS[:3], 100.0)[0].hint


def test_shapes_that_do_not_match_are_refused() -> None:
    kind, amplitude, before, after = table_input()
    with pytest.raises(InputError, match="one shape"):
        summarise(kind, amplitude, amplitude, before, after[:2], 3)


def test_labels_are_fast() -> None:
    amplitude, angle, _ = clouds_of_points(2_000_000)
    model = fit(amplitude[:1000], angle[:1000])
    changed = np.ones(angle.size, bool)
    label(model, amplitude[:9], angle[:9], changed[:9])
    start = time.process_time()
    label(model, amplitude, angle, changed)
    assert 2 / (time.process_time() - start) > 15  # all changed; 70 on an idle core, over 1000 where nothing changed
