"""Smoothing of probabilities and of class maps, against slow and readable versions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from groundshift.errors import InputError, UsageError
from groundshift.landcover import smooth
from groundshift.landcover.smooth import BayesOptions, BilateralOptions, MajorityOptions

Float = NDArray[np.float64]


@pytest.fixture(scope="module")
def noisy() -> NDArray[np.float32]:
    """Three classes with a hole, a pixel of which one class is missing, and a border of data."""
    random = np.random.default_rng(0)
    p = random.dirichlet(np.full(3, 0.4), (9, 262)).transpose(2, 0, 1).astype(np.float32).copy()
    p[:, 3:5, 4] = np.nan
    p[1, 8, 255] = np.nan
    p[:, :, 0] = np.nan
    return p


def bilateral(p: NDArray[np.float32], options: BilateralOptions) -> Float:
    r, known, out = options.window_px // 2, np.isfinite(p).all(axis=0), np.full(p.shape, np.nan)
    for y, x in np.argwhere(known):
        total = np.zeros(len(p))
        for v in range(max(0, y - r), min(p.shape[1], y + r + 1)):
            for u in range(max(0, x - r), min(p.shape[2], x + r + 1)):
                if known[v, u]:
                    apart = np.sum((p[:, v, u].astype(float) - p[:, y, x]) ** 2)
                    ground = ((v - y) ** 2 + (u - x) ** 2) / (2 * options.sigma_px**2)
                    total += np.exp(-ground - apart / (2 * options.sigma_class**2)) * p[:, v, u]
        out[:, y, x] = total / total.sum()
    return out


def bayes(p: NDArray[np.float32], options: BayesOptions) -> Float:
    r, known, out = options.window_px // 2, np.isfinite(p).all(axis=0), np.full(p.shape, np.nan)
    kept = np.clip(p.astype(float), 1e-4, 1 - 1e-4)
    odds = np.where(known, np.log(kept / (1 - kept)), np.nan)
    around = np.pad(odds, ((0, 0), (r, r), (r, r)), "symmetric")
    for k in range(len(p)):
        variance = np.broadcast_to(options.variance, len(p))[k]
        for y, x in np.argwhere(known):
            near = around[k, y : y + 2 * r + 1, x : x + 2 * r + 1]
            near = np.sort(near[np.isfinite(near)])[::-1]
            near = near[: max(1, int(np.ceil(options.share * len(near))))]
            mean, spread = near.mean(), near.var(ddof=1) if len(near) > 1 else 0.0
            pulled = (spread * odds[k, y, x] + variance * mean) / (spread + variance) if spread >= 1e-4 else mean
            out[k, y, x] = 1 / (1 + np.exp(-pulled))
    return out / out.sum(axis=0)


@pytest.mark.parametrize("options", [BilateralOptions(), BilateralOptions(sigma_px=2, sigma_class=0.6, window_px=3)])
def test_bilateral_is_the_weighted_mean_of_the_formula(noisy: NDArray[np.float32], options: BilateralOptions) -> None:
    np.testing.assert_allclose(smooth.bilateral(noisy, options), bilateral(noisy, options), atol=5e-7)


@pytest.mark.parametrize(
    "options",
    [BayesOptions(window_px=5), BayesOptions(share=1.0, window_px=5), BayesOptions(variance=(2.0, 5.0, 90.0))],
)
def test_bayes_is_the_rule_of_the_paper(noisy: NDArray[np.float32], options: BayesOptions) -> None:
    np.testing.assert_allclose(smooth.bayes(noisy, options), bayes(noisy, options), atol=5e-7)


def test_bayes_of_an_image_smaller_than_the_window_mirrors_more_than_once() -> None:
    p = np.random.default_rng(3).dirichlet(np.ones(2), (2, 3)).transpose(2, 0, 1).astype(np.float32)
    for share in (0.5, 1.0):
        options = BayesOptions(share=share)
        np.testing.assert_allclose(smooth.bayes(p, options), bayes(p, options), atol=5e-7)


def test_a_flat_neighbourhood_gives_its_mean() -> None:
    p = np.full((2, 7, 7), 0.5, np.float32)
    p[0], p[1] = 0.8, 0.2
    for share in (0.5, 1.0):
        np.testing.assert_allclose(smooth.bayes(p, BayesOptions(share=share)), p, atol=1e-6)


def test_a_lone_pixel_gives_way_and_a_border_stays() -> None:
    p = np.full((2, 20, 20), 0.1, np.float32)
    p[0, :, :10], p[1, :, 10:] = 0.9, 0.9
    p[:, 10, 3] = 0.45, 0.55
    for made in (smooth.bayes(p), smooth.bayes(p, BayesOptions(share=1.0))):
        expected = np.zeros((20, 20), int)
        expected[:, 10:] = 1
        np.testing.assert_array_equal(made.argmax(axis=0), expected)


def test_majority_counts_votes_and_keeps_ties() -> None:
    random = np.random.default_rng(1)
    codes = random.choice(np.array([0, 3, 7, 200, 255], np.uint8), (23, 31), p=[0.1, 0.3, 0.3, 0.2, 0.1])
    for side in (1, 3, 5):
        expected, r = codes.copy(), side // 2
        for y, x in np.argwhere((codes != 0) & (codes != 255)):
            near = codes[max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1]
            classes, votes = np.unique(near[(near != 0) & (near != 255)], return_counts=True)
            winners = classes[votes == votes.max()]
            expected[y, x] = winners[0] if len(winners) == 1 else codes[y, x]
        np.testing.assert_array_equal(smooth.majority(codes, MajorityOptions(window_px=side)), expected)


def test_threads_change_nothing(noisy: NDArray[np.float32]) -> None:
    for work in (smooth.bilateral, smooth.bayes):
        np.testing.assert_array_equal(work(noisy, threads=3), work(noisy))
    codes = np.random.default_rng(2).integers(0, 5, (40, 30), np.uint8)
    np.testing.assert_array_equal(smooth.majority(codes, threads=3), smooth.majority(codes))


def test_what_cannot_be_is_refused(noisy: NDArray[np.float32]) -> None:
    for options in (lambda: BilateralOptions(window_px=4), lambda: BilateralOptions(sigma_px=0)):
        with pytest.raises(UsageError):
            options()
    for options in (lambda: BayesOptions(share=0), lambda: BayesOptions(variance=-1.0)):
        with pytest.raises(UsageError):
            options()
    with pytest.raises(InputError, match="3 classes and 2 variances"):
        smooth.bayes(noisy, BayesOptions(variance=(1.0, 2.0)))
    with pytest.raises(InputError, match="float64"):
        smooth.bilateral(noisy.astype(np.float64))
    with pytest.raises(InputError, match="expected uint8"):
        smooth.majority(np.zeros((3, 3), np.int32))
