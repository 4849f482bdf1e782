"""Two tiles of two orbits, two days apart: one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.clouds import scl
from groundshift.composite.balance import Balance, apply, area_sum, solve, statistics, summarise
from groundshift.composite.blend import BlendOptions, blend, edge_distance
from groundshift.composite.seams import seams
from groundshift.io.opening import open_scene

BANDS = ("B02", "B03", "B04", "B08")
NORTH, SOUTH, SAME_TILE = "S2B_33TWM_20230813", "S2A_33TWL_20230815", "S2A_33TWM_20230815"
Layer = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]


def layer(folder: Path, name: str, rows: slice = slice(700, 1050)) -> Layer:
    """Reflectance, valid and clear of rows around the border, on the grid of the northern tile."""
    place = folder / "alps-2023" / "sentinel-2-l2a"
    own = open_scene(place / f"{NORTH}_0_L2A").scene.bands["B02"].geobox
    grid = GeoBox((1749, 915), own.affine, own.crs)[rows]
    reader = open_scene(place / f"{name}_0_L2A")
    pixels, classes = reader.read(BANDS, grid, "nearest"), reader.read_classification(grid)
    valid = pixels.valid.all(axis=0)
    clear = valid & scl.usable(np.asarray(classes), (0, 1, 3, 8, 9, 10), 1.25, 0.7)
    return pixels.dn.astype(np.float32) * np.float32(1e-4), valid, clear


def balance_of(one: Layer, other: Layer, overlap: NDArray[np.bool_] | None = None) -> Balance:
    where = np.ones(one[1].shape, bool) if overlap is None else overlap
    found = statistics(summarise(one[0], one[2] & where, other[0], other[2] & where))
    return solve({(0, 1): found}, [area_sum(one[0], one[1]), area_sum(other[0], other[1] & ~one[1])])


def test_the_law_of_a_narrow_overlap_holds_for_the_whole_tile(shared_data: Path) -> None:
    whole = slice(0, 915)
    one, other = layer(shared_data, NORTH, whole), layer(shared_data, SAME_TILE, whole)
    strip = np.zeros(one[1].shape, bool)
    strip[833:] = True
    balance = balance_of(one, other, strip)
    both = (one[2] & other[2])[:833]
    before = np.median((one[0] - other[0])[:, :833][:, both], axis=1)
    after = np.median((apply(balance, 0, one[0]) - apply(balance, 1, other[0]))[:, :833][:, both], axis=1)
    assert np.abs(before).max() > 0.02
    assert np.abs(after).max() < 0.001


def test_two_orbits_become_one_picture(shared_data: Path) -> None:
    one, other = layer(shared_data, NORTH), layer(shared_data, SOUTH)
    balance = balance_of(one, other)
    assert (balance.step_before > 0.009).all()
    assert (balance.step_after < 1e-4).all()
    assert ((balance.gain > 0.93) & (balance.gain < 1.07)).all()
    stack = np.stack([apply(balance, 0, one[0]), apply(balance, 1, other[0])])
    valid = np.stack([one[1], other[1]])
    labels = seams(stack, valid)
    out, paste = (blend(stack, valid, labels, BlendOptions(radius_px=15, method=m)) for m in ("multiband", "none"))
    upper, lower = ((labels == k) & (edge_distance(labels != 1 - k, 4) <= 3) for k in (0, 1))
    step = [np.median(out[band, upper]) - np.median(out[band, lower]) for band in range(4)]
    assert np.abs(step).max() < 0.002
    far = (edge_distance(labels != 0, 20) > 17) | (edge_distance(labels != 1, 20) > 17)
    np.testing.assert_array_equal(out[:, far], paste[:, far])
    raw = np.where(one[1], one[0], other[0])
    seen = valid.any(axis=0)
    assert (out - raw)[:, seen].mean(axis=1) == pytest.approx(np.zeros(4), abs=0.002)
