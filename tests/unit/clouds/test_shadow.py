"""Shadows by the geometry of the sun: each step against a slow version, all of it against scenes of known truth."""

from __future__ import annotations

import heapq
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from groundshift.clouds import shadow
from groundshift.clouds.shadow import CAST, SURE, Casts
from groundshift.errors import UsageError
from groundshift.testing.scenes import DateOptions, SceneOptions, SyntheticScene, whole

SHAPE = (720, 720)
METRES_20 = np.array([[0, -1 / 20], [1 / 20, 0]])


def flooded(surface: NDArray[np.float32], valid: NDArray[np.bool_], rim: float) -> NDArray[np.float32]:
    """The oracle: a heap instead of buckets."""
    rows, columns = surface.shape
    level = np.full(surface.shape, np.inf)
    heap: list[tuple[float, int, int]] = []
    for y in range(rows):
        for x in range(columns):
            if not valid[y, x] or y in (0, rows - 1) or x in (0, columns - 1):
                level[y, x] = max(float(surface[y, x]), rim) if valid[y, x] else rim
                heapq.heappush(heap, (level[y, x], y, x))
    while heap:
        at, y, x = heapq.heappop(heap)
        for i in range(max(0, y - 1), min(rows, y + 2)):
            for j in range(max(0, x - 1), min(columns, x + 2)):
                if np.isinf(level[i, j]):
                    level[i, j] = max(at, float(surface[i, j]))
                    heapq.heappush(heap, (level[i, j], i, j))
    return level


@pytest.mark.parametrize("seed", range(4))
def test_pits_are_filled_to_their_rim(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # steps of the flood, so that both count alike
    nir = (rng.integers(100, 900, (19, 27)) * shadow._STEP + 1e-5).astype(np.float32)
    valid, cloud = rng.random(nir.shape) < 0.95, rng.random(nir.shape) < 0.1
    clear = nir[valid & ~cloud]
    rim, lid = np.quantile(clear, [shadow._RIM_QUANTILE, shadow._CLOUD_QUANTILE])
    expected = flooded(np.where(cloud, np.minimum(nir, lid), nir), valid, float(rim))
    found = shadow.filled(nir, cloud, valid)
    np.testing.assert_allclose(found, expected, atol=2 * shadow._STEP)


def test_a_shadow_that_runs_out_of_the_image_is_dark_beside_the_bright_ground() -> None:
    nir = np.full((60, 60), 0.4, np.float32)
    nir[:, :40] = 0.15
    none = np.zeros(nir.shape, bool)
    level = shadow.ground_level(nir, none, none, ~none, 30)
    assert shadow.dark(nir, level)[:, :40].all()
    assert not shadow.dark(nir, level)[:, 40:].any()


@pytest.mark.parametrize("azimuth", [0, 90, 160, 300])
def test_shadows_lie_away_from_the_sun_by_the_height_over_its_slope(azimuth: float) -> None:
    (rows, columns), *_ = shadow._shifts(np.array([1000.0]), METRES_20, 45, azimuth)
    away = math.radians(azimuth)
    assert (rows * 20, columns * 20) == pytest.approx((1000 * math.cos(away), -1000 * math.sin(away)), abs=1e-2)


def scene(height_m: float, zenith: float, azimuth: float, seed: int = 2, share: float = 0.25) -> Any:
    date = DateOptions(cloud_share=share, cloud_height_m=height_m, sun_zenith_deg=zenith, sun_azimuth_deg=azimuth)
    return SyntheticScene(options=SceneOptions(seed=seed, shape=SHAPE), date=date, number=0)


def found(drawn: Any) -> tuple[Casts, NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """What was found, shadow found, shadow in truth, and where it is asked: sources within the image, no cloud rims."""
    nir, green = drawn.reflectance(whole(SHAPE, 20), ["B08", "B03"], 20)
    opacity, shade = (each[::2, ::2] for each in drawn._sky.opacity(0, 0, SHAPE))
    cloud, water = opacity >= 0.2, (green > nir) & (nir < 0.12)
    casts = shadow.search(
        cloud.astype(np.float32), nir, water & ~cloud, np.ones(cloud.shape, bool), METRES_20, drawn.sun
    )
    rows, columns = cloud.shape
    thrown = shadow.cast(cloud, (0, 0), casts, 1, (0, rows, 0, columns))
    shadowed = shadow.shaded(thrown, nir, casts.level, water, 1) & ~cloud
    (dy, dx), *_ = shadow._shifts(np.array([drawn.date.cloud_height_m]), METRES_20, *drawn.sun)
    y, x = np.indices(cloud.shape)
    inside = (y - dy >= 0) & (y - dy < rows) & (x - dx >= 0) & (x - dx < columns)
    return casts, shadowed, (shade >= 0.15) & (opacity < 0.03), inside & ((opacity < 0.03) | cloud)


@pytest.mark.parametrize(("height", "zenith", "azimuth"), [(900, 35, 150), (1500, 42, 49), (3000, 50, 200)])
def test_shadows_of_generated_clouds_are_found_at_their_height(height: float, zenith: float, azimuth: float) -> None:
    casts, shadowed, truth, asked = found(scene(height, zenith, azimuth))
    hit = int((shadowed & truth & asked).sum())
    f1 = 2 * hit / int((shadowed & asked).sum() + (truth & asked).sum())
    assert f1 > 0.85
    size = np.bincount(casts.piece[casts.piece >= 0])
    largest = int(size.argmax())
    assert casts.kind[largest] > 0
    assert casts.height_m[largest] == pytest.approx(height, abs=120)


def test_without_shadows_none_are_found() -> None:
    """Clouds pasted on ground that they do not shade."""
    clear = SyntheticScene(options=SceneOptions(seed=4, shape=SHAPE), date=DateOptions(), number=0)
    (nir,) = clear.reflectance(whole(SHAPE, 20), ["B08"], 20)
    opacity = scene(1500, 42, 49)._sky.opacity(0, 0, SHAPE)[0][::2, ::2]
    cloud, none = opacity >= 0.2, np.zeros(nir.shape, bool)
    nir = np.where(cloud, 0.7, nir)
    casts = shadow.search(cloud.astype(np.float32), nir, none, ~none, METRES_20, (42, 49))
    thrown = shadow.cast(cloud, (0, 0), casts, 1, (0, nir.shape[0], 0, nir.shape[1]))
    assert (shadow.shaded(thrown, nir, casts.level, none, 1) & ~cloud).mean() < 0.02


@pytest.mark.parametrize("cloud", [0.0, 1.0])
def test_a_clear_and_a_covered_image_have_no_shadow(cloud: float) -> None:
    nir = np.full((40, 50), 0.3, np.float32)
    none = np.zeros(nir.shape, bool)
    casts = shadow.search(np.full(nir.shape, cloud, np.float32), nir, none, ~none, METRES_20, (40, 150))
    assert not casts.kind.any()
    assert casts.reach_px == (0, 0, 0, 0)
    nowhere = shadow.search(np.zeros(nir.shape, np.float32), nir, none, none, METRES_20, (40, 150))
    assert not nowhere.kind.any()


def test_water_is_shaded_only_under_a_sure_cloud() -> None:
    nir, level = np.full((9, 40), 0.03, np.float32), np.full((9, 40), 0.3, np.float32)
    water = np.ones(nir.shape, bool)
    thrown = np.zeros(nir.shape, np.uint8)
    thrown[:, 5:15], thrown[:, 25:35] = CAST, SURE
    shaded = shadow.shaded(thrown, nir, level, water, 1)
    assert not shaded[:, :20].any()
    assert shaded[:, 25:35].all()
    assert shadow.shaded(thrown, nir, level, ~water, 1)[:, 5:15].all()


def test_ground_as_bright_as_around_is_not_shaded() -> None:
    thrown = np.full((5, 9), CAST, np.uint8)
    thrown[:, 5:] = SURE
    water, level = np.zeros(thrown.shape, bool), np.full(thrown.shape, 0.3, np.float32)
    assert not shadow.shaded(thrown, level, level, water, 1).any()
    # a little darker is enough within a sure shadow only
    assert (shadow.shaded(thrown, level * np.float32(0.85), level, water, 1) == (thrown == SURE)).all()


@pytest.mark.parametrize("factor", [1, 3])
def test_casting_windows_and_putting_them_together_changes_nothing(factor: int) -> None:
    rng = np.random.default_rng(3)
    cloud = rng.random((60, 66)) < 0.1
    coarse = -(-60 // factor), -(-66 // factor)
    casts = Casts(
        piece=rng.integers(-1, 5, coarse).astype(np.int32),
        shift_px=rng.uniform(-9, 9, (5, 2)).astype(np.float32),
        kind=np.array([0, 1, 2, 1, 2], np.uint8),
        height_m=np.zeros(5, np.float32),
        level=np.zeros(coarse, np.float32),
    )
    together = shadow.cast(cloud, (0, 0), casts, factor, (0, 60, 0, 66))
    low_y, high_y, low_x, high_x = (each * factor for each in casts.reach_px)
    pad = factor + 1
    for y in range(0, 60, 20):
        for x in range(0, 66, 22):
            top, left = max(0, y - high_y - pad), max(0, x - high_x - pad)
            part = cloud[top : max(0, y + 20 - low_y + pad), left : max(0, x + 22 - low_x + pad)]
            own = shadow.cast(part, (top, left), casts, factor, (y, y + 20, x, x + 22))
            np.testing.assert_array_equal(own, together[y : y + 20, x : x + 22])


def test_heights_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="rising"):
        shadow.ShadowOptions(lowest_m=5000, highest_m=4000)
