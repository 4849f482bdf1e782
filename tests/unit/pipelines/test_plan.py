"""Rules of the common grid, of the sample's blocks, and of what looks odd in a pair."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from groundshift.errors import GridError, MissingInputError, UsageError
from groundshift.model.grid import pixel_size_m
from groundshift.model.scene import BandInfo, Scene
from groundshift.pipelines import plan
from groundshift.pipelines.jobfile import make_job

UTM = "EPSG:32633"


def grid(rows: int, columns: int, size: float = 10, x: float = 500_000, y: float = 5_100_000, crs: Any = UTM) -> GeoBox:
    return GeoBox((rows, columns), Affine(size, 0, x, 0, -size, y), crs)


class Stub:
    """A reader of which only the scene is asked."""

    def __init__(self, grids: dict[str, GeoBox], **facts: Any) -> None:
        infos = {
            band: BandInfo(name=band, href="", geobox=box, dtype="uint16", scale=1e-4, offset=0.0, nodata=0)
            for band, box in grids.items()
        }
        facts = {"kind": "raster", "level": None, "classification": None} | facts
        self.scene = Scene(name=facts.pop("name", "scene"), href="", bands=infos, **facts)


def job(**options: Any) -> Any:
    values = {f"grid.{key}": value for key, value in options.items()}
    return make_job({"input.before": "a", "input.after": "b", "output.outdir": "o", **values}, error=UsageError)


def make(before: Stub, after: Stub, **options: Any) -> plan.Plan:
    return plan.make(before, after, job(**options))  # type: ignore[arg-type]


SENTINEL = {"B02": grid(120, 180), "B04": grid(120, 180), "B11": grid(60, 90, 20), "B09": grid(20, 30, 60)}
DEGREES = grid(300, 400, 1e-4, 15.0, 46.0, "EPSG:4326")


@pytest.mark.parametrize(
    ("grids", "bands", "resolution", "shape", "pixel"),
    [
        pytest.param(SENTINEL, "B2,B4", None, (120, 180), 10, id="native grid of 10 m"),
        pytest.param(SENTINEL, "B11,B4", None, (120, 180), 10, id="the finest band decides"),
        pytest.param(SENTINEL, "B11,B9", None, (60, 90), 20, id="the finest of coarse bands"),
        pytest.param(SENTINEL, "B9", None, (20, 30), 60, id="native grid of 60 m"),
        pytest.param(SENTINEL, "B2", 10, (120, 180), 10, id="its own resolution asked for"),
        pytest.param(SENTINEL, "B2", 20, (60, 90), 20, id="coarser"),
        pytest.param(SENTINEL, "B2", 70, (18, 26), 70, id="no divisor of the size"),
        pytest.param(SENTINEL, "B9", 10, (120, 180), 10, id="finer"),
        pytest.param({"B02": DEGREES}, "B2", None, (300, 400), None, id="degrees, native"),
    ],
)
def test_the_grid_is_that_of_the_finest_band_or_of_the_resolution(
    grids: dict[str, GeoBox], bands: str, resolution: float | None, shape: tuple[int, int], pixel: float | None
) -> None:
    found = make(Stub(grids), Stub(grids), bands=bands, resolution=resolution).geobox
    assert tuple(found.shape) == shape
    if pixel is not None:
        assert found.affine == Affine(pixel, 0, 500_000, 0, -pixel, 5_100_000)
    elif resolution is None:
        assert found == grids["B02"]


def test_metres_on_a_grid_of_degrees_are_metres() -> None:
    found = make(Stub({"B02": DEGREES}), Stub({"B02": DEGREES}), bands="B2", resolution=100).geobox
    east_west = pixel_size_m(found)
    assert east_west is not None
    assert east_west == pytest.approx(100 * np.cos(np.radians(46)) ** 0.5, rel=0.02)


def test_an_area_of_interest_cuts_whole_pixels_and_the_statistics_keep_the_whole() -> None:
    from pyproj import Transformer

    there = Transformer.from_crs(UTM, 4326, always_xy=True)
    box = [(500_203, 5_099_797), (500_597, 5_099_797), (500_597, 5_099_203), (500_203, 5_099_203), (500_203, 5_099_797)]
    text = "POLYGON((" + ", ".join("{} {}".format(*there.transform(*point)) for point in box) + "))"
    found = make(Stub(SENTINEL), Stub(SENTINEL), bands="B2", aoi=text)
    window = found.window
    assert (window.y0, window.x0) == (20, 20)
    assert (window.y1, window.x1) == (80, 60)
    assert tuple(found.full.shape) == (120, 180)
    assert found.area is not None


def test_a_band_that_one_of_them_lacks_is_named_with_what_there_is() -> None:
    with pytest.raises(MissingInputError, match="late has no B8A: it has B02, B04, B11, B09"):
        make(Stub(SENTINEL | {"B8A": grid(60, 90, 20)}), Stub(SENTINEL, name="late"), bands="B2,B8A")


BARE = {"B02": GeoBox((50, 60), Affine.identity(), None)}


@pytest.mark.parametrize(
    ("before", "after", "error", "words"),
    [
        (SENTINEL, {"B02": grid(120, 180, x=600_000)}, GridError, "do not overlap"),
        (SENTINEL, {"B02": grid(120, 180, x=501_800)}, GridError, "do not overlap"),
        (SENTINEL, {"B02": grid(120, 180, crs="EPSG:32635")}, GridError, "do not overlap"),
        (BARE, SENTINEL, GridError, "no georeference"),
        (SENTINEL, BARE, GridError, "no georeference"),
        (BARE, {"B02": GeoBox((50, 61), Affine.identity(), None)}, GridError, "50 x 60 .* 50 x 61"),
    ],
    ids=["far", "touching", "another zone", "bare before", "bare after", "bare sizes"],
)
def test_pairs_that_share_no_ground_are_refused(
    before: dict[str, GeoBox], after: dict[str, GeoBox], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        make(Stub(before), Stub(after), bands="B2")


def test_metres_without_georeference_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="resolution"):
        make(Stub(BARE), Stub(BARE), bands="B2", resolution=20)
    assert make(Stub(BARE), Stub(BARE), bands="B2").pixel_m is None


@pytest.mark.parametrize(("shape", "pixels"), [((700, 1300), 100_000), ((512, 512), 200_000), ((513, 2000), 60_000)])
def test_sample_blocks_cover_every_pixel_once_in_an_order_of_the_seed(shape: tuple[int, int], pixels: int) -> None:
    count = np.zeros(shape, int)
    windows = plan.sample_windows(shape, pixels, 0)
    for window in windows:
        count[window.slices] += 1
    assert (count == 1).all()
    assert windows == plan.sample_windows(shape, pixels, 0)
    if len(windows) > 3:
        assert windows != plan.sample_windows(shape, pixels, 1)


def test_a_small_image_is_one_block() -> None:
    assert len(plan.sample_windows((900, 900), 500_000, 0)) == 1


WHEN = datetime(2021, 3, 15, tzinfo=UTC)
FACTS = {"level": "L2A", "tile": "33TWM", "relative_orbit": 22, "baseline": (5, 10), "sensing_time": WHEN}


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({}, set()),
        ({"tile": "33TWL"}, {"Tile"}),
        ({"tile": None}, set()),
        ({"relative_orbit": 122}, {"Orbit"}),
        ({"baseline": (2, 14)}, {"Baseline"}),
        ({"level": "L1C"}, {"Level"}),
        ({"sensing_time": datetime(2021, 3, 10, tzinfo=UTC)}, {"Order"}),
        ({"sensing_time": datetime(2021, 8, 1, tzinfo=UTC)}, {"Season"}),
        ({"sensing_time": datetime(2022, 1, 30, tzinfo=UTC)}, set()),
        ({"sensing_time": datetime(2024, 3, 20, tzinfo=UTC)}, set()),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_what_is_odd_in_a_pair_has_a_name(changed: dict[str, Any], names: set[str]) -> None:
    scl = BandInfo(name="SCL", href="", geobox=grid(60, 90, 20), dtype="uint8", scale=1, offset=0, nodata=0)
    first = Stub(SENTINEL, **FACTS, classification=scl).scene
    second = Stub(SENTINEL, **(FACTS | changed), classification=scl).scene
    assert {warning.name for warning in plan.odd(first, second)} == names


def test_a_product_without_classification_says_that_its_clouds_are_ground() -> None:
    scene = Stub(SENTINEL, **FACTS).scene
    assert {warning.name for warning in plan.odd(scene, scene)} == {"Cloud"}
