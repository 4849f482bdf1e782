"""Planes to files for people."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rio_cogeo.cogeo import cog_validate

from groundshift.errors import OutputError, UsageError
from groundshift.io import cog as module
from groundshift.io.cog import BandTag, check_driver, export, extension
from groundshift.io.planes import Planes
from groundshift.model.grid import Window
from groundshift.model.legend import change_legend

GRID = GeoBox((700, 900), Affine(10, 0, 399960.123456789, 0, -10, 6300040), "EPSG:32756")
CLASS = [BandTag("class", description="Kind of change")]
LEGEND = change_legend(4)


def _planes(folder: Path, values: np.ndarray) -> Planes:
    planes = Planes.create(folder / "scratch.bin", values.shape, values.dtype.name)
    planes.write(Window(0, values.shape[1], 0, values.shape[2]), values)
    return planes


@pytest.fixture
def classes(tmp_path: Path) -> Planes:
    values = np.random.default_rng(0).integers(0, 5, (1, 700, 900)).astype(np.uint8)
    values[:, :9] = 255
    return _planes(tmp_path, values)


@pytest.fixture
def amplitude(tmp_path: Path) -> Planes:
    values = np.random.default_rng(0).gamma(2, size=(2, 700, 900)).astype(np.float32)
    values[:, :50, :70] = np.nan
    return _planes(tmp_path, values)


def test_a_class_map_is_a_valid_cog_that_knows_its_colours_names_and_grid(classes: Planes, tmp_path: Path) -> None:
    path = tmp_path / "S2-CD.tif"
    export(classes, GRID, path, bands=CLASS, nodata=255, legend=LEGEND, tags={"SOURCE": "a & b"})
    assert cog_validate(path, strict=True)[:2] == (True, [])
    with rasterio.open(path) as dataset:
        assert np.array_equal(dataset.read(), classes.read(Window(0, 700, 0, 900)))
        assert (dataset.transform, dataset.crs.to_epsg(), dataset.nodata) == (GRID.affine, 32756, 255)
        assert dataset.descriptions == ("class",)
        assert dataset.tags()["SOURCE"] == "a & b"
        assert dataset.tags(1)["description"] == "Kind of change"
        assert all(dataset.colormap(1)[entry.code] == entry.color for entry in LEGEND)
        assert set(np.unique(dataset.read(out_shape=(1, 350, 450)))) <= {0, 1, 2, 3, 4, 255}
    assert "<Category>change, kind 1</Category>" in path.with_name("S2-CD.tif.aux.xml").read_text()


def test_quantities_keep_nan_units_and_average_overviews(amplitude: Planes, tmp_path: Path) -> None:
    path = tmp_path / "CVA.tif"
    tags = [BandTag("amplitude"), BandTag("angle", "degrees")]
    export(amplitude, GRID, path, bands=tags, nodata=float("nan"), overview="average")
    assert cog_validate(path, strict=True)[:2] == (True, [])
    with rasterio.open(path) as dataset:
        values = dataset.read()
        assert np.array_equal(values, amplitude.read(Window(0, 700, 0, 900)), equal_nan=True)
        assert dataset.units in ((None, "degrees"), ("", "degrees"))
        assert np.isnan(dataset.nodata)
        small = dataset.read(1, out_shape=(350, 450))
        assert np.allclose(small[100, 100], values[0, 200:202, 200:202].mean(), rtol=1e-5)


def test_the_same_planes_can_be_written_twice_as_different_things(classes: Planes, tmp_path: Path) -> None:
    export(classes, GRID, tmp_path / "a.tif", bands=CLASS, nodata=255, legend=LEGEND)
    export(classes, GRID, tmp_path / "b.tif", bands=[BandTag("plain")])
    with rasterio.open(tmp_path / "b.tif") as dataset:
        assert dataset.nodata is None
        assert dataset.descriptions == ("plain",)
        with pytest.raises(ValueError, match="NULL color table"):
            dataset.colormap(1)


@pytest.mark.parametrize("driver", ["GTiff", "PNG", "HFA", "ENVI", "JP2OpenJPEG"])
def test_other_formats_hold_the_same_classes(classes: Planes, tmp_path: Path, driver: str) -> None:
    path = tmp_path / f"out{extension(driver)}"
    export(classes, GRID, path, bands=CLASS, driver=driver, nodata=255, legend=LEGEND)
    with rasterio.open(path) as dataset:
        assert dataset.driver == driver
        assert np.array_equal(dataset.read(), classes.read(Window(0, 700, 0, 900)))
        assert dataset.transform.almost_equals(GRID.affine, 1e-6)


def test_a_rotated_grid_and_none_at_all_survive(classes: Planes, tmp_path: Path) -> None:
    rotated = GeoBox((700, 900), Affine(10, 1, 5e5, 1, -9, 5e6), "EPSG:32633")
    export(classes, rotated, tmp_path / "r.tif", bands=CLASS)
    export(classes, GeoBox((700, 900), Affine.identity(), None), tmp_path / "n.tif", bands=CLASS)
    with rasterio.open(tmp_path / "r.tif") as dataset:
        assert dataset.transform == rotated.affine
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(tmp_path / "n.tif") as dataset:
        assert dataset.crs is None


@pytest.mark.parametrize(
    ("given", "dtype", "bands", "name"),
    [
        ("cog", "float32", 2, "COG"),
        ("gtiff", "uint8", 1, "GTiff"),
        ("PNG", "uint8", 1, "PNG"),
        ("hfa", "float32", 2, "HFA"),
    ],
)
def test_drivers_that_hold_the_data_are_named_as_gdal_names_them(given: str, dtype: str, bands: int, name: str) -> None:
    assert check_driver(given, dtype, bands) == name


@pytest.mark.parametrize(
    ("driver", "dtype", "bands", "words"),
    [
        ("PNG", "float32", 2, "PNG cannot hold 2 band"),
        ("JPEG", "uint8", 1, "without loss"),
        ("SENTINEL2", "uint8", 1, "SENTINEL2 cannot"),
        ("nonsense", "uint8", 1, "unknown format"),
        ("VRT", "uint8", 1, "unknown format"),
    ],
)
def test_drivers_that_do_not_hold_the_data_are_usage_errors(driver: str, dtype: str, bands: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_driver(driver, dtype, bands)


@pytest.mark.parametrize(
    ("driver", "ending"), [("COG", ".tif"), ("gtiff", ".tif"), ("PNG", ".png"), ("HFA", ".img"), ("ENVI", ".dat")]
)
def test_each_driver_has_its_ending(driver: str, ending: str) -> None:
    assert extension(driver) == ending


def test_both_families_of_gdal_errors_become_output_errors(
    classes: Planes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for family in (rasterio.errors.RasterioIOError, rasterio._err.CPLE_AppDefinedError):

        def fail(*_: object, family: type = family, **__: object) -> None:
            raise family("write failed") if family.__init__ is Exception.__init__ else family(1, 1, "write failed")

        monkeypatch.setattr(module.rasterio.shutil, "copy", fail)
        with pytest.raises(OutputError, match="write failed"):
            export(classes, GRID, tmp_path / "x.tif", bands=CLASS)
    assert not list(tmp_path.glob("x.tif*"))


def test_a_file_that_gdal_left_incomplete_without_a_word_is_not_published(
    classes: Planes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = rasterio.shutil.copy

    def cut(source: object, target: Path, **options: str) -> None:
        copy(source, target, **options)
        with Path(target).open("r+b") as stream:
            stream.truncate(Path(target).stat().st_size // 2)

    monkeypatch.setattr(module.rasterio.shutil, "copy", cut)
    with pytest.raises(OutputError, match=r"truncated|written"):
        export(classes, GRID, tmp_path / "x.tif", bands=CLASS)
    assert not list(tmp_path.glob("x.tif*"))


def test_messages_tell_of_the_place_where_the_file_will_be(
    classes: Planes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise rasterio.errors.RasterioIOError("no space left on device")

    monkeypatch.setattr(module.rasterio.shutil, "copy", fail)
    final = tmp_path / "results" / "map.tif"
    with pytest.raises(OutputError, match=re.escape(f"cannot write {final}: no space left")):
        export(classes, GRID, tmp_path / "x.tif", bands=CLASS, named=final)
    with pytest.raises(OutputError, match=re.escape(f"cannot write {final}: its folder does not exist")):
        export(classes, GRID, tmp_path / "gone" / "x.tif", bands=CLASS, named=final)


@pytest.mark.parametrize(("bands", "dtype", "side"), [(2, "float32", 512), (20, "float32", 256), (20, "uint8", 512)])
def test_a_tile_of_many_bands_is_smaller_so_that_a_dozen_of_them_fit(
    bands: int, dtype: str, side: int, tmp_path: Path
) -> None:
    planes = Planes.create(tmp_path / "planes.bin", (bands, 16, 530), dtype)
    grid = GeoBox((16, 530), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")
    export(planes, grid, tmp_path / "many.tif", bands=[BandTag(f"b{k}") for k in range(bands)])
    with rasterio.open(tmp_path / "many.tif") as file:
        assert set(file.block_shapes) == {(side, side)}
