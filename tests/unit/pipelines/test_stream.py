"""The passes over all pixels."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from affine import Affine

from groundshift.io.planes import Planes
from groundshift.model.grid import Window, blocks
from groundshift.numerics.rounding import round_mantissa
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


def test_the_sample_of_changed_pixels_does_not_depend_on_the_strips(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    whole = Window(0, 90, 0, 70)
    changed, cva = (rng.random((1, 90, 70)) < 0.5), rng.random((2, 90, 70)).astype(np.float32)
    planes = [
        Planes.create(tmp_path / "changed.bin", changed.shape, "uint8"),
        Planes.create(tmp_path / "cva.bin", cva.shape, "float32"),
    ]
    planes[0].write(whole, changed.astype(np.uint8))
    planes[1].write(whole, cva)
    scratch: Any = SimpleNamespace(changed=planes[0], cva=planes[1], shape=(90, 70))

    def sampled(rows: int, share: float) -> np.ndarray:
        work = [stream.Work(scratch, w, Affine.identity(), None, 1, share=share) for w in blocks((90, 70), rows)]
        return np.concatenate([stream.sample_changed(strip) for strip in work], axis=1)

    assert np.array_equal(sampled(90, 1.0), cva[:, changed[0]])
    few = sampled(90, 0.2)
    assert 0.15 < few.shape[1] / changed.sum() < 0.25
    assert np.array_equal(few, sampled(7, 0.2))
