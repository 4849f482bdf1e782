"""Measures of certainty and confidence sets, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import entropy

from groundshift.accuracy import calibration
from groundshift.accuracy.calibration import ConformalOptions
from groundshift.errors import InputError, UsageError
from groundshift.landcover.uncertainty import STEP, certainty, confidence_sets


@pytest.fixture(scope="module")
def p() -> NDArray[np.float32]:
    """Four classes, with certain, even, unknown and unscaled pixels."""
    found = np.random.default_rng(5).dirichlet(np.full(4, 0.5), (9, 11)).transpose(2, 0, 1).astype(np.float32).copy()
    found[:, 0, 0], found[:, 0, 1], found[:, 0, 2], found[2, 0, 3] = (0, 1, 0, 0), 0.25, 0, np.nan
    found[:, 1] *= 3
    return found


def test_measures_are_those_of_the_definition(p: NDArray[np.float32]) -> None:
    found = certainty(p, [3, 10, 20, 254])
    known = np.isfinite(p).all(axis=0) & (p.sum(axis=0) > 0)
    share = p[:, known].astype(float) / p[:, known].sum(axis=0, dtype=float)
    ordered = np.sort(share, axis=0)
    for layer, expected in (
        (found.highest, ordered[-1]),
        (found.margin, ordered[-1] - ordered[-2]),
        (found.entropy, entropy(share, axis=0) / np.log(4)),
    ):
        assert np.abs(layer[known] * STEP - expected).max() <= STEP / 2 + 1e-6
        assert (layer[~known] == 255).all()
    np.testing.assert_array_equal(found.codes[known], np.array([3, 10, 20, 254])[share.argmax(axis=0)])
    assert (found.codes[~known] == 255).all()
    assert known.sum() == known.size - 2


def test_certain_and_even_pixels_are_the_ends_of_the_scale(p: NDArray[np.float32]) -> None:
    found = certainty(p)
    layers = np.stack([found.codes, found.highest, found.margin, found.entropy])
    assert layers[:, 0, 0].tolist() == [2, 250, 250, 0]
    assert layers[:, 0, 1].tolist() == [1, 62, 0, 250]


@pytest.mark.parametrize("method", ["lac", "aps"])
def test_sets_hold_the_classes_whose_score_is_not_above_the_quantile(p: NDArray[np.float32], method: str) -> None:
    quantiles = [0.9, 0.4, 0.75, np.inf]
    found = confidence_sets(p, quantiles, method)  # type: ignore[arg-type]
    for y, x in np.ndindex(p.shape[1:]):
        share, total = p[:, y, x].astype(float), p[:, y, x].sum(dtype=float)
        if not total > 0:
            assert found.size[y, x] == 255
            assert not found.members[:, y, x].any()
            continue
        share /= total
        order = np.argsort(-share, kind="stable")
        score = 1 - share if method == "lac" else np.cumsum(share[order])[np.argsort(order)]
        inside = score <= quantiles
        assert found.size[y, x] == inside.sum()
        assert found.members[:, y, x].tolist() == inside.tolist()


def test_sets_of_quantiles_by_class_cover_what_they_promise() -> None:
    random = np.random.default_rng(0)
    share = random.dirichlet(np.full(3, 0.7), 40_000)
    truth = (random.random((40_000, 1)) > share.cumsum(axis=1)).sum(axis=1)
    score = 1 - share[np.arange(len(share)), truth]
    half = np.arange(len(share)) < 20_000
    quantiles = [np.quantile(score[half & (truth == k)], 0.9, method="higher") for k in range(3)]
    found = confidence_sets(share.T[:, None].astype(np.float32), quantiles).members[:, 0]
    held = found[truth, np.arange(len(truth))]
    for k in range(3):
        assert 0.88 < held[~half & (truth == k)].mean() < 0.92


def test_sets_of_maps_and_of_samples_are_the_same_and_of_any_number_of_classes() -> None:
    random = np.random.default_rng(2)
    share = random.dirichlet(np.full(100, 0.1), 500).astype(np.float32)
    quantiles = np.linspace(0.5, 1, 100)
    of_map = confidence_sets(np.ascontiguousarray(share.T[:, None]), list(quantiles))
    of_samples = calibration.confidence_sets(share, quantiles, ConformalOptions(score="lac"))
    assert of_samples[:, 40:].any()
    np.testing.assert_array_equal(of_map.members[:, 0].T, of_samples)
    np.testing.assert_array_equal(of_map.size[0], of_samples.sum(axis=1))


def test_what_cannot_be_is_refused(p: NDArray[np.float32]) -> None:
    with pytest.raises(InputError, match="as many codes"):
        certainty(p, [1, 2, 255, 4])
    with pytest.raises(InputError, match="4 classes need as many quantiles, not 3"):
        confidence_sets(p, [0.5] * 3)
    with pytest.raises(UsageError, match="lac or aps"):
        confidence_sets(p, [0.5] * 4, "raps")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="float64"):
        certainty(p.astype(float))
