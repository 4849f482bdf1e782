"""How well a map of change agrees with the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundshift.accuracy import confusion as agreement
from groundshift.errors import GridError, NoDataError, UsageError
from groundshift.io import maps
from groundshift.model.grid import Window, blocks, pixel_size_m
from groundshift.model.legend import NO_CHANGE

LEVEL = 0.95
"""Share of the bootstrap that an interval holds."""

_BLOCKS = 400
_SMALLEST_BLOCK_PX = 16


@dataclass(frozen=True, eq=False)
class _Compared:
    """Map and truth on one grid."""

    changed: NDArray[np.bool_]
    truth: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    amplitude: maps.Layer | None
    no_amplitude: str
    """Why there is none."""


def evaluate(
    location: str, truth: str, *, changed: Sequence[int] | None = None, seed: int = 0, replicates: int = 1000
) -> dict[str, Any]:
    """Compare a map of change with the truth.

    Args:
        location: a map of classes (0 no change, 255 no data, all else change), or a folder of results.
        truth: a raster of codes, or polygons of change; brought to the grid of the map by nearest neighbour.
        changed: codes of the truth raster that mean change; None: every code but 0.
        seed: of the bootstrap.
        replicates: draws of the bootstrap.

    Returns:
        What can be written as JSON: ``confusion`` (pixels); ``scores``, each with ``value`` and the ``low`` and
        ``high`` end of its 95 % interval; ``undefined``, the reason for each score that does not exist; the shares
        that were left out because the map has no data or the truth is not known there.

    Raises:
        MissingInputError, ProductError, InputError: a file is missing, damaged or holds something else.
        GridError: the two cannot be brought together.
        NoDataError: not a pixel is known in both.
        UsageError: ``changed`` with polygons.
    """
    if changed is not None and maps.is_vector(truth):
        raise UsageError("--changed chooses codes of a raster: polygons of the truth all mean change.")
    path = maps.find_map(location)
    found = maps.read_map(path)
    known = maps.read_truth(truth, found.geobox)
    pair = _compared(path, found, known, changed)
    block_px = _block_px(found.values.shape)
    size_m = pixel_size_m(found.geobox)
    return {
        "map": path,
        "truth": truth,
        "truth_resampled": known.resampled,
        "changed_codes": None if changed is None else [int(code) for code in changed],
        "pixels": int(np.count_nonzero(pair.valid)),
        "map_nodata_percent": _percent(~found.valid),
        "truth_unknown_percent": _percent(~known.valid),
        "map_changed_percent": _percent(pair.changed[pair.valid]),
        "truth_changed_percent": _percent(pair.truth[pair.valid]),
        **_agreement(pair, block_px, seed, replicates),
        "bootstrap": {
            "level": LEVEL,
            "replicates": replicates,
            "seed": seed,
            "block_px": block_px,
            "block_m": None if size_m is None else block_px * size_m,
        },
    }


def _compared(path: str, found: maps.Layer, known: maps.Layer, changed: Sequence[int] | None) -> _Compared:
    valid = found.valid & known.valid
    if not valid.any():
        raise NoDataError(
            f"{known.href}: nothing to compare: of {valid.size} pixels the map knows {np.count_nonzero(found.valid)}, "
            f"the truth {np.count_nonzero(known.valid)}, and both together none."
        )
    truth = known.values != 0 if changed is None else np.isin(known.values, np.asarray(changed, np.int64))
    amplitude, reason = _amplitude(path, found)
    return _Compared(found.values != NO_CHANGE, truth, valid, amplitude, reason)


def _amplitude(path: str, found: maps.Layer) -> tuple[maps.Layer | None, str]:
    beside = maps.find_amplitude(path)
    if beside is None:
        return None, "no CVA map with the amplitude lies beside the map"
    try:
        return maps.read_measure(beside, found.geobox), ""
    except GridError as error:
        return None, str(error).rstrip(".")


def _agreement(pair: _Compared, block_px: int, seed: int, replicates: int) -> dict[str, Any]:
    windows = list(blocks(pair.valid.shape, block_px, block_px))
    counts = agreement.confusion_by_block(pair.changed, pair.truth, pair.valid, windows)
    table = agreement.Confusion(*(int(n) for n in counts.sum(axis=0)))
    values = agreement.scores(table)
    undefined = agreement.undefined(values)
    histograms = None
    if pair.amplitude is None:
        undefined["auc"] = pair.no_amplitude
        values["auc"] = None
    else:
        values["auc"], histograms = _auc(pair, pair.amplitude, windows)
        undefined |= agreement.undefined({"auc": values["auc"]})
    spread = agreement.intervals(counts, histograms, level=LEVEL, replicates=replicates, seed=seed)
    ends = {name: spread.get(name) or (None, None) for name in values}
    return {
        "confusion": asdict(table),
        "scores": {n: {"value": v, "low": ends[n][0], "high": ends[n][1]} for n, v in values.items()},
        "undefined": undefined,
    }


def _auc(pair: _Compared, layer: maps.Layer, windows: list[Window]) -> tuple[float | None, NDArray[np.int64]]:
    inside = pair.valid & layer.valid & np.isfinite(layer.values)
    value = agreement.auc(layer.values[inside], pair.truth[inside])
    return value, agreement.histograms_by_block(layer.values, pair.truth, inside, windows)


def _block_px(shape: tuple[int, ...]) -> int:
    """Side of the blocks of the bootstrap: about 400 of them, none smaller than 16 pixels."""
    return max(_SMALLEST_BLOCK_PX, math.ceil(math.sqrt(shape[0] * shape[1] / _BLOCKS)))


def _percent(mask: NDArray[np.bool_]) -> float:
    return 100 * float(np.count_nonzero(mask)) / max(1, mask.size)
