"""The synthetic year: its law, its seasons, its map, its reference, and products that are read like real ones."""

from __future__ import annotations

import copy
import pickle
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize

from groundshift.errors import UsageError
from groundshift.io.opening import open_scene
from groundshift.model.grid import Window, blocks
from groundshift.testing.phenology import LandCover
from groundshift.testing.reference import reference, write_class_map, write_reference
from groundshift.testing.scenes import SceneOptions, whole
from groundshift.testing.year import SyntheticYear, YearOptions

SHAPE = (240, 300)
DAYS = [date(2021, 4, 28), date(2021, 7, 25), date(2021, 9, 20)]


def year(**changes: object) -> SyntheticYear:
    return SyntheticYear(options=YearOptions(scene=SceneOptions(seed=3, shape=SHAPE, noise=0.004), **changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def clear() -> SyntheticYear:
    return year(cloudiness=0.0)


def ndvi(of: SyntheticYear, day: date) -> np.ndarray:
    red, infrared = of.series(bands=("B04", "B08"), days=[day])[0]
    return (infrared - red) / (infrared + red)


def median(values: np.ndarray, of: SyntheticYear, kind: LandCover) -> float:
    return float(np.median(values[of.class_map() == kind]))


def test_any_window_of_any_day_is_a_cut_of_the_whole() -> None:
    together = year().series(bands=("B02", "B11"), days=DAYS[:2])
    valid, classes, fields = year().valid(days=DAYS[:2]), year().class_map(), year().parcel_map()
    assert 0 < valid.mean() < 1
    for part in blocks(SHAPE, 131, 177):
        other = year()
        np.testing.assert_array_equal(other.series(part, ("B11",), [DAYS[1]])[0, 0], together[1, 1][part.slices])
        np.testing.assert_array_equal(other.valid(part, DAYS[:2]), valid[:, *part.slices])
        np.testing.assert_array_equal(other.class_map(part), classes[part.slices])
        np.testing.assert_array_equal(other.parcel_map(part), fields[part.slices])


def test_copies_and_pickles_draw_the_same() -> None:
    window, one = Window(30, 60, 40, 90), year()
    drawn = one.series(window, ("B8A",), DAYS)
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):  # noqa: S301
        np.testing.assert_array_equal(other.series(window, ("B8A",), DAYS), drawn)


def test_soil_shows_where_nothing_grows(clear: SyntheticYear) -> None:
    sandy = year(cloudiness=0.0, sand=0.8)
    before, after = (of.series(bands=("B04",), days=DAYS[:1])[0, 0] for of in (clear, sandy))
    assert median(after - before, clear, LandCover.BARE) > 0.03
    assert np.abs(median(after - before, clear, LandCover.WATER)) < 0.002


def test_crops_are_green_in_their_seasons(clear: SyntheticYear) -> None:
    spring, summer, autumn = (ndvi(clear, day) for day in DAYS)
    for winter_crop in (LandCover.CEREAL, LandCover.RAPESEED):
        assert median(spring, clear, winter_crop) > median(summer, clear, winter_crop) + 0.15
        assert median(spring, clear, winter_crop) > median(spring, clear, LandCover.MAIZE) + 0.3
    assert median(autumn, clear, LandCover.MAIZE) > median(autumn, clear, LandCover.CEREAL) + 0.2
    assert max(median(day, clear, LandCover.WATER) for day in (spring, summer, autumn)) < 0
    assert np.ptp([median(day, clear, LandCover.BUILT) for day in (spring, summer, autumn)]) < 0.1


def test_a_late_year_is_the_same_year_later(clear: SyntheticYear) -> None:
    late = year(cloudiness=0.0, delay_days=20.0)
    np.testing.assert_array_equal(late.class_map(), clear.class_map())
    assert median(ndvi(late, date(2021, 6, 10)), late, LandCover.MAIZE) < 0.3
    assert median(ndvi(late, date(2021, 6, 30)), late, LandCover.MAIZE) == pytest.approx(
        median(ndvi(clear, date(2021, 6, 10)), clear, LandCover.MAIZE), abs=0.05
    )


def test_another_year_has_the_same_fields_under_other_crops(clear: SyntheticYear) -> None:
    other = year(cloudiness=0.0, year=2022)
    np.testing.assert_array_equal(other.parcel_map(), clear.parcel_map())
    before, after = clear.class_map(), other.class_map()
    crops = np.isin(before, (LandCover.CEREAL, LandCover.RAPESEED, LandCover.MAIZE, LandCover.BARE))
    np.testing.assert_array_equal(before[~crops], after[~crops])
    assert 0.4 < np.mean(before[crops] != after[crops]) < 0.95


def test_a_parcel_holds_one_class() -> None:
    classes, fields = year().class_map().ravel(), year().parcel_map().ravel()
    order = np.argsort(fields, kind="stable")
    same = np.diff(fields[order]) == 0
    town = classes[order][1:] == LandCover.BUILT
    assert np.all((np.diff(classes[order].astype(int))[same & ~town]) == 0)
    assert set(np.unique(classes)) == set(LandCover) - {LandCover.NONE}


def test_reference_fields_lie_in_their_class_and_wrong_labels_are_told(tmp_path: Path) -> None:
    of = year()
    fields = reference(of, per_class=12, wrong_share=0.1)
    assert np.sum(fields.label != fields.truth) == round(0.1 * len(fields.label))
    assert np.bincount(fields.truth).max() == 12
    with rasterio.open(write_class_map(of, tmp_path / "classes.tif")) as file:
        classes, transform = file.read(1), file.transform
    np.testing.assert_array_equal(classes, of.class_map())
    pairs = [(polygon, int(code)) for polygon, code in zip(fields.polygons, fields.truth, strict=True)]
    burnt = rasterize(pairs, out_shape=SHAPE, transform=transform, dtype="uint8")
    np.testing.assert_array_equal(burnt[burnt > 0], classes[burnt > 0])
    written = write_reference(fields, tmp_path / "fields.gpkg")
    assert written.stat().st_size > 0


def test_products_of_a_year_are_read_like_real_ones(tmp_path: Path) -> None:
    small = SyntheticYear(options=YearOptions(scene=SceneOptions(seed=3, shape=(60, 60))))
    paths = small.write_products(tmp_path, DAYS[:2], bands=("B04", "B8A"))
    assert [open_scene(path).scene.sensing_time.date() for path in paths] == DAYS[:2]
    with rasterio.open(next(paths[0].rglob("*B04_10m.jp2"))) as file:
        stored = (file.read(1).astype(np.float32) - 1000) / 10000
    drawn = small.series(bands=("B04",), days=DAYS[:1])[0, 0]
    np.testing.assert_allclose(stored, np.maximum(drawn, -0.0999), atol=6e-5)


def test_a_year_that_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="sand = 2"):
        YearOptions(sand=2.0)
    with pytest.raises(UsageError, match="wrong_share"):
        reference(year(), whole(SHAPE), wrong_share=0.9)
