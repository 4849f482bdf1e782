"""The passes over all pixels."""

from __future__ import annotations

import numpy as np

from groundshift.io.planes import round_mantissa
from groundshift.pipelines import stream


def test_the_histogram_counts_every_rounded_amplitude_in_its_bin() -> None:
    rng = np.random.default_rng(0)
    edges = stream.HISTOGRAM_EDGES
    raw = np.concatenate([np.exp(rng.normal(1, 3, 50_000)), edges, [0, np.nan, np.inf, 1e-40]]).astype(np.float32)
    amplitude = round_mantissa(raw.reshape(1, -1))
    finite = amplitude[np.isfinite(amplitude) & (amplitude > 0)]
    low, high = np.log(edges[[0, -1]])
    index = np.floor((np.log(finite) - low) * ((len(edges) - 1) / (high - low)))
    expected = [int((index == i).sum()) for i in range(len(edges) - 1)]
    assert stream._histogram(amplitude).tolist() == expected
    assert stream._histogram(np.full((2, 2), np.nan, np.float32)).sum() == 0
