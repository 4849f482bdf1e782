"""Sharpening against a slow and readable oracle, its rungs, its trial, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from groundshift.errors import InputError, UsageError
from groundshift.features import sharpen as module
from groundshift.features.sharpen import (
    GUIDED,
    MISSING,
    NEAREST,
    SMOOTH,
    SharpenOptions,
    Trial,
    choose,
    halo_coarse_px,
    interpolation_weights,
    merge,
    sharpen,
    summarise,
)

Image = NDArray[np.float32]
Exact = NDArray[np.float64]


def ground(seed: int, factor: int, shape: tuple[int, int] = (9, 12), bands: int = 2) -> tuple[Image, Image, Image]:
    """Coarse bands, guides, and the coarse bands as they are at the fine resolution: parcels with some noise."""
    rng = np.random.default_rng(seed)
    height, width = (n * factor for n in shape)
    size = factor + 1
    parcels = rng.integers(0, 5, (height // size + 1, width // size + 1)).repeat(size, 0).repeat(size, 1)
    spectra = rng.uniform(0.02, 0.5, (4 + bands, 5))
    image = spectra[:, parcels[:height, :width]] + rng.normal(0, 0.004, (4 + bands, height, width))
    truth = image[4:].astype(np.float32)
    return block_means(truth, factor).astype(np.float32), image[:4].astype(np.float32), truth


def block_means(fine: Image, factor: int) -> Exact:
    bands, height, width = fine.shape
    blocks = fine.astype(np.float64).reshape(bands, height // factor, factor, width // factor, factor)
    return np.asarray(blocks.mean(axis=(2, 4)))


# --- the oracle: one coarse pixel at a time -------------------------------------------------------------------------


def around(mask: NDArray[np.bool_], y: int, x: int, radius: int) -> list[tuple[int, int]]:
    rows = range(max(0, y - radius), min(mask.shape[0], y + radius + 1))
    return [(v, u) for v in rows for u in range(max(0, x - radius), min(mask.shape[1], x + radius + 1)) if mask[v, u]]


def slope_at(y: Exact, g: Exact, mask: NDArray[np.bool_], at: tuple[int, int], options: SharpenOptions) -> Exact | None:
    window = around(mask, *at, options.radius)
    guides, n = len(g), len(window)
    if not mask[at] or n < options.minimum_valid * (2 * options.radius + 1) ** 2:
        return None
    target = np.array([y[place] for place in window])
    design = np.array([[band[place] for band in g] for place in window])
    target, design = target - target.mean(), design - design.mean(axis=0)
    slope = np.linalg.solve(design.T @ design / n + options.ridge * np.eye(guides), design.T @ target / n)
    explained = slope @ (design.T @ target) / n + options.ridge * slope @ slope
    chance = guides * (target @ target / n - explained) / (n - guides - 1)
    return np.asarray(slope * max(0.0, 1 - max(chance, 0.0) / explained))


def smooth_at(y: Exact, mask: NDArray[np.bool_], at: tuple[int, int], factor: int) -> Exact:
    patch = np.full((5, 5), y[at])
    for v, u in around(mask, *at, 2):
        patch[v - at[0] + 2, u - at[1] + 2] = y[v, u]
    weights = interpolation_weights(factor)
    return np.asarray(weights @ patch @ weights.T)


def oracle(coarse: Image, fine: Image, factor: int, options: SharpenOptions) -> tuple[Exact, NDArray[np.uint8]]:
    bands, height, width = coarse.shape
    valid, guide = np.isfinite(coarse), block_means(fine, factor)
    mask = valid.all(axis=0) & np.isfinite(guide).all(axis=0)
    values, used = np.full((bands, height * factor, width * factor), np.nan), np.zeros(coarse.shape, np.uint8)
    for band in range(bands):
        y = coarse[band].astype(np.float64)
        slopes = {(v, u): slope_at(y, guide, mask, (v, u), options) for v in range(height) for u in range(width)}
        for at in zip(*np.nonzero(valid[band]), strict=True):
            block = np.s_[at[0] * factor : (at[0] + 1) * factor, at[1] * factor : (at[1] + 1) * factor]
            near = [slopes[place] for place in around(mask, *at, options.radius) if slopes[place] is not None]
            enough = len(around(valid[band], *at, 1)) >= options.minimum_valid * 9
            used[band, *at] = GUIDED if slopes[at] is not None else SMOOTH if enough else NEAREST
            part = np.full((factor, factor), y[at])
            if used[band, *at] == GUIDED:
                detail = [fine[i][block] - smooth_at(guide[i], mask, at, factor) for i in range(len(fine))]
                part = smooth_at(y, mask, at, factor) + np.tensordot(np.mean(near, axis=0), detail, 1)
            elif used[band, *at] == SMOOTH:
                part = smooth_at(y, valid[band], at, factor)
            values[band][block] = bounded(part, y, valid[band], at, options)
    return values, used


def bounded(part: Exact, y: Exact, valid: NDArray[np.bool_], at: tuple[int, int], options: SharpenOptions) -> Exact:
    seen = np.array([y[place] for place in around(valid, *at, options.radius)])
    low = seen.min() - options.overshoot * np.ptp(seen)
    low = max(low, 0.0) if seen.min() >= 0 else low
    high = seen.max() + options.overshoot * np.ptp(seen)
    away = part - part.mean()
    keep = min(1.0, (y[at] - low) / max(-away.min(), 1e-300), (high - y[at]) / max(away.max(), 1e-300))
    return np.asarray(y[at] + keep * away)


@pytest.mark.parametrize(("factor", "seed"), [(2, 1), (3, 2), (6, 3)])
@pytest.mark.parametrize("missing", [0.0, 0.08])
def test_every_pixel_is_that_of_the_oracle(factor: int, seed: int, missing: float) -> None:
    coarse, fine, _ = ground(seed, factor)
    rng = np.random.default_rng(seed)
    coarse[rng.random(coarse.shape) < missing / 3] = np.nan
    fine[:, rng.random(fine.shape[1:]) < missing / factor**2] = np.nan
    options = SharpenOptions(overshoot=0.3)
    found = sharpen(coarse, fine, factor, options)
    values, used = oracle(coarse, fine, factor, options)
    np.testing.assert_array_equal(found.used, used)
    np.testing.assert_allclose(found.values, values, atol=2e-6)


# --- what it is for -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [2, 6])
def test_parcels_come_back_sharper_than_by_interpolation(factor: int) -> None:
    coarse, fine, truth = ground(5, factor, (24, 30), 3)
    guided = sharpen(coarse, fine, factor).values
    smooth = sharpen(coarse, fine, factor, SharpenOptions(rungs=("smooth",) * 3)).values
    error, plain = (np.sqrt(((image - truth) ** 2).mean(axis=(1, 2))) for image in (guided, smooth))
    assert (error < 0.6 * plain).all()


# --- rungs ----------------------------------------------------------------------------------------------------------


def test_rungs_go_down_where_something_is_missing() -> None:
    coarse, fine, _ = ground(7, 2, (14, 14))
    coarse[0, 3, 3] = np.nan
    fine[2, 20, 20] = np.nan
    found = sharpen(coarse, fine, 2)
    assert found.used[0, 3, 3] == MISSING
    assert found.used[1, 3, 3] == SMOOTH
    assert (found.used[:, 10, 10] == SMOOTH).all()
    assert (found.used[:, [0, 0, -1, -1], [0, -1, 0, -1]] == NEAREST).all()
    corners, edges_beside_them, holes = 8, 16, 4
    assert (found.used == GUIDED).sum() == found.used.size - corners - edges_beside_them - holes
    np.testing.assert_array_equal(np.isnan(found.values), np.isnan(coarse).repeat(2, 1).repeat(2, 2))


def test_each_band_keeps_to_its_highest_rung() -> None:
    coarse, fine, _ = ground(8, 2, (12, 12), 3)
    found = sharpen(coarse, fine, 2, SharpenOptions(rungs=("nearest", "smooth", "guided")))
    assert [int(band[5, 5]) for band in found.used] == [NEAREST, SMOOTH, GUIDED]
    np.testing.assert_array_equal(found.values[0], coarse[0].repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(found.values[2], sharpen(coarse, fine, 2).values[2])


def test_a_band_without_any_relation_to_the_guides_is_chosen_smooth_by_its_trial() -> None:
    coarse, fine, _ = ground(9, 2, (40, 44))
    rng = np.random.default_rng(9)
    waves = np.cumsum(np.cumsum(rng.normal(0, 0.003, (40, 44)), 0), 1) / 10
    coarse[1] = (waves - waves.min() + 0.1).astype(np.float32)
    options = choose(summarise(coarse, fine, 2))
    assert options.rungs == ("guided", "smooth")


def test_the_trial_is_walds_protocol_one_scale_coarser() -> None:
    coarse, fine, _ = ground(10, 2, (16, 20))
    trial = summarise(coarse, fine, 2)
    halves, guide = block_means(coarse, 2).astype(np.float32), block_means(fine, 2).astype(np.float32)
    guided = sharpen(halves, guide, 2)
    smooth = sharpen(halves, guide, 2, SharpenOptions(rungs=("smooth", "smooth"))).values.astype(np.float64)
    at = (guided.used == GUIDED).repeat(2, 1).repeat(2, 2)
    detail, lacking = (np.where(at, image - smooth, 0) for image in (guided.values, coarse))
    np.testing.assert_allclose(trial.detail, (detail**2).sum(axis=(1, 2)), rtol=1e-6)
    np.testing.assert_allclose(trial.confirmed, (detail * lacking).sum(axis=(1, 2)), rtol=1e-6)
    assert trial.pixels == tuple(at.sum(axis=(1, 2)))


def test_trials_add_up_and_decide_nothing_on_few_pixels() -> None:
    good, bad = Trial((2.0,), (1.5,), (80,)), Trial((5.0,), (1.0,), (80,))
    assert merge(good, bad) == merge(bad, good) == Trial((7.0,), (2.5,), (160,))
    assert choose(bad).rungs == ("guided",)
    assert choose(merge(good, bad), SharpenOptions(radius=3)) == SharpenOptions(radius=3, rungs=("smooth",))
    assert choose(Trial((5.0,), (2.1,), (160,))).rungs == ("guided",)
    with pytest.raises(InputError, match="1 and 2 bands"):
        merge(good, Trial((1.0, 1.0), (1.0, 1.0), (9, 9)))


def test_a_trial_ignores_the_rungs_it_is_given_and_what_is_missing() -> None:
    coarse, fine, _ = ground(11, 2, (17, 21))
    coarse[0, 4:9, 4:9] = np.nan
    given = summarise(coarse, fine, 2, SharpenOptions(rungs=("nearest", "nearest")))
    assert given == summarise(coarse, fine, 2)
    assert np.isfinite([given.detail, given.confirmed]).all()
    assert given.pixels[0] < summarise(ground(11, 2, (17, 21))[0], fine, 2).pixels[0]


def test_a_block_that_is_too_small_or_empty_says_nothing() -> None:
    coarse, fine, _ = ground(13, 2)
    nothing = Trial((0.0, 0.0), (0.0, 0.0), (0, 0))
    assert summarise(coarse[:, :1], fine[:, :2], 2) == nothing
    assert summarise(np.full_like(coarse, np.nan), fine, 2) == nothing
    found = sharpen(coarse, np.full_like(fine, np.nan), 2)
    assert set(np.unique(found.used)) == {NEAREST, SMOOTH}
    assert np.isfinite(found.values).all()


def test_what_a_band_that_is_not_guided_misses_is_nothing_to_the_others() -> None:
    coarse, fine, _ = ground(14, 2)
    holed = coarse.copy()
    holed[0, 2:6, 2:6] = np.nan
    options = SharpenOptions(rungs=("smooth", "guided"))
    np.testing.assert_array_equal(sharpen(holed, fine, 2, options).values[1], sharpen(coarse, fine, 2).values[1])


# --- the smooth interpolation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [2, 3, 6])
def test_parts_of_a_cell_have_its_mean_and_quartics_are_exact(factor: int) -> None:
    weights = interpolation_weights(factor)
    np.testing.assert_allclose(weights.mean(axis=0), [0, 0, 1, 0, 0], atol=1e-14)
    primitive = np.polynomial.Polynomial([0, 0.3, -0.2, 0.05, 0.02, -0.01])
    cells = np.diff(primitive(np.arange(6) - 2.5))
    parts = np.diff(primitive(np.linspace(-0.5, 0.5, factor + 1))) * factor
    np.testing.assert_allclose(weights @ cells, parts, rtol=1e-12)


# --- what it refuses ------------------------------------------------------------------------------------------------


def test_arrays_that_do_not_fit_are_refused() -> None:
    coarse, fine, _ = ground(12, 2)
    with pytest.raises(InputError, match=r"expected \(18, 24\)"):
        sharpen(coarse, fine[:, :-1], 2)
    with pytest.raises(InputError, match="not empty"):
        sharpen(coarse[:0], fine, 2)
    with pytest.raises(InputError, match=r"\(b, Y, X\)"):
        sharpen(coarse[0], fine, 2)
    with pytest.raises(UsageError, match="factor of 1"):
        sharpen(coarse, fine, 1)
    with pytest.raises(UsageError, match="3 rungs for 2 bands"):
        sharpen(coarse, fine, 2, SharpenOptions(rungs=("guided",) * 3))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("radius", 0),
        ("ridge", 0.0),
        ("ridge", np.nan),
        ("minimum_valid", 1.1),
        ("overshoot", -1.0),
        ("rungs", ("best",)),
    ],
)
def test_options_that_cannot_be_are_refused(field: str, value: object) -> None:
    with pytest.raises(UsageError):
        replace(SharpenOptions(), **{field: value})


def test_the_halo_is_that_of_two_windows() -> None:
    assert halo_coarse_px() == 4
    assert halo_coarse_px(SharpenOptions(radius=1)) == 2
    assert halo_coarse_px(SharpenOptions(radius=1)) >= module.kernels.REACH
