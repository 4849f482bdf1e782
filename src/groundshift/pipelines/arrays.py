"""The main job on arrays in memory: what the library, notebooks and benchmarks call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundshift.change import regions
from groundshift.errors import InputError
from groundshift.model.grid import Window
from groundshift.pipelines import fitting, pair_model, plan
from groundshift.pipelines.fitting import Block, Fitted
from groundshift.pipelines.job import DetectSection, KindsSection, NormaliseSection


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrayChange:
    """What changed between two arrays."""

    changed: NDArray[np.bool_]
    """(y, x)"""
    amplitude: NDArray[np.float32]
    """(y, x) standard deviations of no change; NaN where not valid."""
    angle: NDArray[np.float32]
    """(y, x) degrees."""
    p_value: NDArray[np.float32]
    """(y, x) of the amplitude, pixel by pixel."""
    statistic: NDArray[np.float32]
    """(y, x) whose regions decide; 0 where not valid."""
    fitted: Fitted
    probability: NDArray[np.float32] | None = None
    """(y, x) of change, NaN where not valid; None: the method gives none."""


def compare(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    *,
    pixel_m: float | None,
    bands: Sequence[str],
    detect: DetectSection | None = None,
    normalise: NormaliseSection | None = None,
    kinds: KindsSection | None = None,
) -> ArrayChange:
    """Find what changed.

    Args:
        before, after: (p, y, x) reflectance, finite where valid.
        valid: (y, x) usable at both dates.
        pixel_m: pixel size in metres; None: not known.
        bands: canonical names.
        detect, normalise, kinds: options of a job; None: the defaults of ``groundshift change``.

    Raises:
        InputError: shapes differ.
        NoDataError: too few valid pixels.
    """
    if before.shape != after.shape or before.shape[1:] != valid.shape or len(bands) != len(before):
        raise InputError(
            f"before, after and valid must be (band, y, x) twice and (y, x) for {len(bands)} bands, got "
            f"{before.shape}, {after.shape} and {valid.shape}."
        )
    detect, normalise, kinds = detect or DetectSection(), normalise or NormaliseSection(), kinds or KindsSection()
    before, after = (np.where(valid, image, np.float32(0)).astype(np.float32, copy=False) for image in (before, after))
    whole = Block(before, after, valid)
    windows = plan.sample_windows(valid.shape, normalise.sample_pixels, normalise.seed)
    blocks, seen = [], 0
    for window in windows:
        cut = window.slices
        block = Block(
            np.ascontiguousarray(before[:, *cut]),
            np.ascontiguousarray(after[:, *cut]),
            np.ascontiguousarray(valid[cut]),
        )
        if block.valid.any():
            blocks.append(block)
            seen += block.valid.size
        if seen >= normalise.sample_pixels:
            break
    fitted = fitting.fit(blocks or [whole], bands, pixel_m, detect, normalise, kinds)
    measured = fitted.measure(whole)
    p_value = fitted.p_value(measured.amplitude)
    least = int(np.ceil(detect.min_area / (pixel_m * pixel_m if pixel_m else 1.0) - 1e-9))
    probability = None
    if detect.method in pair_model.METHODS:
        model = pair_model.make(
            fitted, blocks, bands, detect.method, weights=detect.network_weights, compared_px=int(valid.sum())
        )
        probability = model.probability(whole, Window(0, valid.shape[0], 0, valid.shape[1]))
        changed = np.nan_to_num(probability) >= pair_model.LIMIT
        changed = regions.drop_small(changed, least) if least > 1 else changed
    elif detect.fdr is not None or detect.context == "none":
        limit = fitted.alpha if detect.fdr is None else _discovery_limit(p_value[valid], detect.fdr)
        changed = valid & (p_value <= limit)
        changed = regions.drop_small(changed, least) if least > 1 else changed
    else:
        changed = regions.detect(
            measured.statistic,
            fitted.threshold,
            fitted.alpha,
            area_px=int(valid.sum()),
            min_px=least,
            options=fitted.region_options,
        )
    return ArrayChange(
        changed=changed & valid,
        amplitude=measured.amplitude,
        angle=measured.angle,
        p_value=p_value,
        statistic=measured.statistic,
        fitted=fitted,
        probability=probability,
    )


def _discovery_limit(p_value: NDArray[np.float32], rate: float) -> float:
    """Largest p-value that is a discovery at that rate (Benjamini & Hochberg 1995); -1: none is."""
    ordered = np.sort(p_value.astype(np.float64))
    fits = np.flatnonzero(ordered <= rate * np.arange(1, len(ordered) + 1) / len(ordered))
    return float(ordered[fits[-1]]) if len(fits) else -1.0
