"""Probabilities that mean what they say, and those that do not."""

from __future__ import annotations

import numpy as np
import pytest

from groundshift.accuracy import calibration as c
from groundshift.errors import InputError


def honest(n: int = 20_000, k: int = 4, seed: int = 0, alpha: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and labels that are drawn from them."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(k, alpha), n)
    return p, (rng.random((n, 1)) > np.cumsum(p, axis=1)[:, :-1]).sum(axis=1)


def oracle_ece(p: np.ndarray, y: np.ndarray, bins: int) -> float:
    """Sample by sample."""
    found = 0.0
    for b in range(bins):
        inside = [i for i in range(len(p)) if b / bins < max(p[i]) <= (b + 1) / bins]
        if inside:
            confidence = sum(max(p[i]) for i in inside) / len(inside)
            right = sum(int(np.argmax(p[i])) == y[i] for i in inside) / len(inside)
            found += len(inside) / len(p) * abs(confidence - right)
    return found


def test_the_calibration_error_is_that_of_its_definition() -> None:
    p, y = honest(500)
    y[::3] = 0
    assert c.expected_calibration_error(p, y) == pytest.approx(oracle_ece(p, y, 15), abs=1e-12)


def test_honest_probabilities_have_no_calibration_error_and_sharpened_ones_have() -> None:
    p, y = honest()
    sharp = c.with_temperature(p, 0.4)
    for classwise, error in ((False, 0.08), (True, 0.04)):
        assert c.expected_calibration_error(p, y, classwise=classwise) < 0.015
        assert c.expected_calibration_error(sharp, y, classwise=classwise) > error


def test_a_certain_and_right_classifier_is_perfect_by_every_score() -> None:
    p, y = np.eye(3)[[0, 1, 2, 1]], np.array([0, 1, 2, 1])
    assert c.expected_calibration_error(p, y) == c.brier_score(p, y) == c.log_loss(p, y) == 0
    assert c.reliability(p, y).count[-1] == 4


def test_a_curve_tells_bins_without_samples_from_bins_that_are_wrong() -> None:
    curve = c.reliability([[0.95, 0.05], [0.93, 0.07]], [1, 1], bins=10)
    assert curve.count.tolist() == [0] * 9 + [2]
    assert curve.accuracy[-1] == 0
    assert np.isnan(curve.accuracy[:-1]).all()


@pytest.mark.parametrize("made", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_applied_is_found_and_taken_back(made: float) -> None:
    p, y = honest()
    bent = c.with_temperature(p, 1 / made)
    found = c.fit_temperature(bent, y)
    assert found == pytest.approx(made, rel=0.05)
    assert c.log_loss(c.with_temperature(bent, found), y) <= c.log_loss(bent, y) + 1e-9
    assert c.expected_calibration_error(c.with_temperature(bent, found), y) < 0.015


def test_temperature_keeps_the_order_and_one_changes_nothing() -> None:
    p, _ = honest(100)
    np.testing.assert_allclose(c.with_temperature(p, 1.0), p, atol=5e-6)
    assert (np.argsort(c.with_temperature(p, 3.0)) == np.argsort(p)).all()
    # an image, classes first
    cube = p.T.reshape(4, 10, 10)
    np.testing.assert_allclose(
        c.with_temperature(cube, 2.0, axis=0), c.with_temperature(p, 2.0).T.reshape(cube.shape), atol=1e-12
    )


def test_priors_of_the_map_make_probabilities_of_a_balanced_training_honest() -> None:
    rng = np.random.default_rng(3)
    prior = np.array([0.9, 0.08, 0.02])
    y = rng.choice(3, 40_000, p=prior)
    x = rng.normal(y, 1.0)
    likelihood = np.exp(-0.5 * (x[:, None] - np.arange(3)) ** 2)
    balanced = likelihood / likelihood.sum(axis=1, keepdims=True)
    corrected = c.with_priors(balanced, [1 / 3] * 3, prior)
    assert c.expected_calibration_error(balanced, y, classwise=True) > 0.1
    assert c.expected_calibration_error(corrected, y, classwise=True) < 0.01
    np.testing.assert_allclose(c.with_priors(balanced, prior, prior), balanced, atol=1e-12)
    cube = balanced[:100].T.reshape(3, 10, 10)
    np.testing.assert_allclose(
        c.with_priors(cube, [1 / 3] * 3, prior, axis=0), corrected[:100].T.reshape(3, 10, 10), atol=1e-12
    )


def test_a_class_that_the_map_does_not_hold_gets_no_probability() -> None:
    found = c.with_priors([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]], [1, 1, 1], [1, 0, 1])
    assert found.tolist() == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("score", ["lac", "aps", "raps"])
@pytest.mark.parametrize("by_class", [True, False])
def test_sets_cover_what_they_promise(score: c.Score, by_class: bool) -> None:
    options = c.ConformalOptions(score=score, alpha=0.1, by_class=by_class)
    p, y = honest(8000, seed=1, alpha=0.3)
    wrong = c.with_temperature(p, 0.5)
    quantile = c.conformal_quantile(wrong[:4000], y[:4000], options)
    sets = c.confidence_sets(wrong[4000:], quantile, options)
    overall, of_class = c.coverage(sets, y[4000:])
    assert overall == pytest.approx(0.9, abs=0.015)
    assert sets.sum(axis=1).mean() < 3.2
    if by_class:
        np.testing.assert_allclose(of_class, 0.9, atol=0.035)


def test_each_class_is_covered_where_one_quantile_for_all_leaves_a_rare_one_out() -> None:
    rng = np.random.default_rng(5)
    y = rng.choice(3, 30_000, p=[0.9, 0.08, 0.02])
    x = rng.normal(y, 0.8)
    weight = np.exp(-0.5 * ((x[:, None] - np.arange(3)) / 0.8) ** 2) * [0.9, 0.08, 0.02]
    p = weight / weight.sum(axis=1, keepdims=True)
    held, test = slice(0, 15_000), slice(15_000, None)
    found = {}
    for by_class in (True, False):
        options = c.ConformalOptions(score="lac", by_class=by_class)
        sets = c.confidence_sets(p[test], c.conformal_quantile(p[held], y[held], options), options)
        found[by_class] = c.coverage(sets, y[test])[1]
    assert found[True].min() > 0.86
    assert found[False].min() < 0.6


def test_a_class_with_too_few_samples_is_in_every_set() -> None:
    p, y = honest(200)
    y[y == 3] = 0
    y[:5] = 3
    quantile = c.conformal_quantile(p, y, c.ConformalOptions(alpha=0.1))
    assert np.isinf(quantile[3])
    assert c.confidence_sets(p, quantile)[:, 3].all()


def test_the_quantile_is_the_rank_of_the_papers() -> None:
    p = np.column_stack([np.linspace(0.1, 0.9, 19), 1 - np.linspace(0.1, 0.9, 19)])
    y = np.zeros(19, int)
    options = c.ConformalOptions(score="lac", alpha=0.1, by_class=False)
    # ceil(20 * 0.9) = 18th smallest of 19 scores 1 - p
    assert c.conformal_quantile(p, y, options)[0] == pytest.approx(np.sort(1 - p[:, 0])[17])


def fields(count: int, seed: int, classes: int = 2, pixels: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, labels and fields, where all pixels of a field are about as easy as each other."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(count) % classes)
    ease = 1.5 + 1.5 * rng.standard_normal(count)
    score = np.repeat(ease, pixels) + 0.3 * rng.standard_normal(count * pixels)
    y, own = np.repeat(label, pixels), 1 / (1 + np.exp(-score))
    p = np.repeat(((1 - own) / (classes - 1))[:, np.newaxis], classes, axis=1)
    p[np.arange(len(y)), y] = own
    return p, y, np.repeat(np.arange(count), pixels)


@pytest.mark.parametrize(("count", "shared"), [(24, False), (14, True)])
def test_pixels_of_other_fields_are_held_as_often_as_was_promised(count: int, shared: bool) -> None:
    options, held, naive = c.ConformalOptions(score="lac", alpha=0.1), [], []
    for seed in range(60):
        p, y, group = fields(count, seed)
        other, true, _ = fields(200, 1000 + seed)
        limits = c.conformal_quantile(p, y, options, groups=group)
        assert (limits[0] == limits[1]) == shared, "seven fields are too few for a limit of a class"
        held.append(c.coverage(c.confidence_sets(other, limits, options), true)[0])
        naive.append(c.coverage(c.confidence_sets(other, c.conformal_quantile(p, y, options), options), true)[0])
    assert 0.89 < np.mean(held) < 0.95
    assert np.mean(naive) < 0.88


def test_a_group_of_each_sample_and_equal_weights_are_the_plain_quantile() -> None:
    p, y = honest(333)
    options = c.ConformalOptions(score="lac", alpha=0.1)
    plain = c.conformal_quantile(p, y, options)
    np.testing.assert_array_equal(c.conformal_quantile(p, y, options, groups=np.arange(333)), plain)
    np.testing.assert_array_equal(c.conformal_quantile(p, y, options, weights=np.full(333, 0.3)), plain)


def test_a_sample_that_stands_for_two_counts_twice() -> None:
    p, y = honest(200)
    options, weight = c.ConformalOptions(score="lac", alpha=0.1), np.where(np.arange(200) % 3, 1, 2)
    groups = np.arange(200) // 10
    found = c.conformal_quantile(p, y, options, groups=groups, weights=weight)
    many = np.repeat(np.arange(200), weight)
    np.testing.assert_allclose(found, c.conformal_quantile(p[many], y[many], options, groups=groups[many]))


def test_where_all_groups_are_too_few_every_class_is_in_every_set() -> None:
    p, y, group = fields(6, 1)
    assert np.isinf(c.conformal_quantile(p, y, c.ConformalOptions(alpha=0.1), groups=group)).all()


def test_cutting_the_pixels_into_blocks_changes_no_set() -> None:
    p, y = honest(300)
    quantile = c.conformal_quantile(p, y)
    random = np.random.default_rng(1).random(300)
    whole = c.confidence_sets(p, quantile, random=random)
    parts = [c.confidence_sets(p[i : i + 70], quantile, random=random[i : i + 70]) for i in range(0, 300, 70)]
    assert (whole == np.concatenate(parts)).all()


@pytest.mark.parametrize(
    ("p", "y", "sentence"),
    [
        ([[0.5, 0.5]], [2], "labels reach"),
        ([[0.5, 0.5]], [-1], "labels reach"),
        ([[0.5, 0.7]], [0], "sum to 1"),
        ([[np.nan, 1.0]], [0], "finite"),
        ([[0.5, 0.5]], [0.0], "whole numbers"),
        (np.zeros((0, 2)), np.zeros(0, int), "n at least 1"),
        ([0.5, 0.5], [0], "shape"),
    ],
)
def test_what_are_no_probabilities_is_refused(p: object, y: object, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        c.log_loss(p, y)  # type: ignore[arg-type]


def test_options_and_priors_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="alpha"):
        c.ConformalOptions(alpha=0)
    with pytest.raises(InputError, match="temperature"):
        c.with_temperature([[1.0]], 0)
    with pytest.raises(InputError, match="priors of 2 and 3"):
        c.with_priors([[0.5, 0.5]], [1, 1], [1, 1, 1])
    with pytest.raises(InputError, match="more than 0 in training"):
        c.with_priors([[0.5, 0.5]], [1, 0], [1, 1])


def test_sets_of_a_classifier_that_is_always_certain_do_not_hold_every_class() -> None:
    rng = np.random.default_rng(6)
    shown = rng.integers(0, 3, 4000)
    y = np.where(rng.random(4000) < 0.95, shown, (shown + 1) % 3)
    p, options = np.eye(3)[shown], c.ConformalOptions(score="aps")
    sets = c.confidence_sets(p[2000:], c.conformal_quantile(p[:2000], y[:2000], options), options)
    assert c.coverage(sets, y[2000:])[0] == pytest.approx(0.9, abs=0.03)
    assert sets.sum(axis=1).max() == 1
