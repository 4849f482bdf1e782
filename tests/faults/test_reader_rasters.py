"""Damaged and hostile rasters: one clear sentence, never zeros."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from groundshift.errors import GroundshiftError, MissingInputError, ProductError
from groundshift.io.drivers import check_structure, opened
from groundshift.io.opening import open_scene
from groundshift.model.scene import OpenOptions

SCALE = OpenOptions(scale=10000)
PIXELS = {"crs": None, "transform": Affine.identity()}
JP2 = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "BLOCKXSIZE": 128, "BLOCKYSIZE": 128}


def noise(bands: int = 1, dtype: str = "uint16") -> Any:
    return np.random.default_rng(6).integers(1, 250, (bands, 300, 320)).astype(dtype)


FORMATS: dict[str, tuple[str, int, str, dict[str, Any]]] = {
    "tiff": ("B04.tif", 1, "uint16", {}),
    "tiled tiff": (
        "B04.tif",
        1,
        "uint16",
        {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate"},
    ),
    "tiff by band": ("B04.tif", 3, "uint16", {"interleave": "band"}),
    "jp2": ("B04.jp2", 1, "uint16", JP2),
    "png": ("x.png", 3, "uint8", {"driver": "PNG", **PIXELS}),
    "jpeg": ("x.jpg", 3, "uint8", {"driver": "JPEG", **PIXELS}),
    "envi": ("B04.dat", 1, "uint16", {"driver": "ENVI"}),
    "erdas": ("B04.img", 1, "uint16", {"driver": "HFA"}),
}


@pytest.fixture(params=FORMATS)
def raster(request: pytest.FixtureRequest, tmp_path: Path, write_raster: Any) -> Path:
    """A sound raster of each format."""
    name, bands, dtype, profile = FORMATS[request.param]
    return Path(write_raster(tmp_path / name, noise(bands, dtype), **profile))


def test_the_sound_raster_passes(raster: Path) -> None:
    check_structure(str(raster))
    assert read_all(raster).any()


@pytest.mark.parametrize("cut", [1, 100, 0.4, 0.9])
def test_a_truncated_raster_is_refused_unless_what_is_lost_holds_no_pixel(raster: Path, cut: float) -> None:
    stored = read_all(raster)
    size = raster.stat().st_size
    os.truncate(raster, size - int(cut if cut >= 1 else size * cut))
    if raster.suffix == ".img" and cut >= 1:
        np.testing.assert_array_equal(read_all(raster), stored)
        return
    with pytest.raises(ProductError) as caught:
        read_all(raster)
    assert raster.name in str(caught.value)
    assert caught.value.exit_code == 65


def read_all(path: Path) -> Any:
    with opened(str(path)) as dataset:
        order = {1: ("B04",), 3: ("B04", "B03", "B02")}[dataset.count]
    reader = open_scene(path, OpenOptions(scale=10000, band_order=order))
    return reader.read(order, reader.scene.bands["B04"].geobox).dn


@pytest.mark.parametrize("cut", [100, 0.5])
def test_a_raster_truncated_after_it_was_opened_raises_on_verify_and_on_read(
    tmp_path: Path, write_raster: Any, cut: float
) -> None:
    path = write_raster(tmp_path / "B04.tif", noise(), tiled=True, blockxsize=128, blockysize=128, compress="deflate")
    reader = open_scene(path, SCALE)
    size = path.stat().st_size
    os.truncate(path, size - int(cut if cut >= 1 else size * cut))
    with pytest.raises(ProductError, match=r"B04\.tif"):
        reader.verify(str(path))
    with pytest.raises(ProductError, match=r"B04\.tif"):
        reader.read(["B04"], reader.scene.bands["B04"].geobox)


@pytest.mark.parametrize("nodata", [None, 0])
def test_a_file_whose_writer_was_killed_is_refused_because_it_reads_as_zeros(
    tmp_path: Path, write_raster: Any, nodata: float | None
) -> None:
    import rasterio

    path = write_raster(tmp_path / "B04.tif", noise(), nodata=nodata)
    profile = rasterio.open(path).profile | {"SPARSE_OK": "TRUE"}
    rasterio.open(path, "w", **profile).close()
    with pytest.raises(ProductError, match=r"\d+ of its \d+ blocks were never written"):
        open_scene(path, SCALE)


def test_a_sparse_file_with_a_nodata_value_is_read_with_its_gaps_as_no_data(tmp_path: Path) -> None:
    import rasterio
    from rasterio.windows import Window

    path = tmp_path / "B04.tif"
    profile = {"driver": "GTiff", "count": 1, "height": 256, "width": 256, "dtype": "uint16", "crs": 32633}
    tiles = {"tiled": True, "blockxsize": 128, "blockysize": 128, "SPARSE_OK": "TRUE", "nodata": 0}
    with rasterio.open(path, "w", transform=Affine(10, 0, 0, 0, -10, 0), **profile, **tiles) as dataset:
        dataset.write(np.full((128, 128), 7, np.uint16), 1, window=Window(0, 0, 128, 128))
    reader = open_scene(path, SCALE)
    valid = reader.read(["B04"], reader.scene.bands["B04"].geobox).valid[0]
    assert valid[:128, :128].all()
    assert valid.sum() == 128 * 128


VRT = (
    '<VRTDataset rasterXSize="4" rasterYSize="1"><VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">'
    '<SourceFilename relativetoVRT="0">{secret}</SourceFilename></VRTRasterBand></VRTDataset>'
)


@pytest.mark.parametrize("name", ["B04.tif", "B04.vrt", "x.vrt"])
@pytest.mark.parametrize("lead", ["", "\n  ", "\ufeff"])
def test_a_vrt_is_refused_under_any_name(tmp_path: Path, name: str, lead: str) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"SECRET")
    (tmp_path / name).write_text(lead + VRT.format(secret=secret))
    with pytest.raises(ProductError, match="is a VRT, which is never read"):
        open_scene(tmp_path / name, SCALE)


def test_a_vrt_as_the_asset_of_an_item_is_refused(tmp_path: Path) -> None:
    (tmp_path / "B04.tif").write_text(VRT.format(secret="/dev/null"))
    item = {"type": "Feature", "properties": {}, "assets": {"red": {"href": "B04.tif"}}}
    (tmp_path / "item.json").write_text(json.dumps(item))
    with pytest.raises(ProductError, match="is a VRT"):
        open_scene(tmp_path / "item.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"<!DOCTYPE html><html><body>503</body></html>", "is an HTML page"),
        (b"\n<HTML>Login</HTML>", "is an HTML page"),
        (b"%PDF-1.7", "is no raster that is read"),
        (b"II*\0" + b"\xff" * 40, "does not open as GTiff"),
        (b"\x89PNG\r\n\x1a\n", "does not open as PNG"),
        (b"\xff\xd8\xff\xe0", "does not open as JPEG"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "cut off"),
        (b"\xff\x4f\xff\x51\0", "cut off"),
    ],
)
def test_what_is_no_raster_is_told_for_what_it_is(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "B04.tif"
    path.write_bytes(content)
    with pytest.raises(ProductError, match=message) as caught:
        open_scene(path, SCALE)
    assert caught.value.exit_code == 65
    assert len(str(caught.value).splitlines()) == 1


def test_a_jp2_that_claims_a_million_by_a_million_is_refused_before_it_is_opened(
    tmp_path: Path, write_raster: Any
) -> None:
    path = write_raster(tmp_path / "B04.jp2", noise(), **JP2)
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\x4f\xff\x51") + 8
    data[at : at + 8] = struct.pack(">II", 10**6, 10**6)
    path.write_bytes(data)
    with pytest.raises(ProductError, match="1000000 x 1000000"):
        open_scene(path, SCALE)


def test_a_tiff_that_claims_too_many_pixels_is_refused(tmp_path: Path) -> None:
    import rasterio

    path = tmp_path / "B04.tif"
    shape = {"width": 300_000, "height": 300_000, "count": 1, "dtype": "uint8", "SPARSE_OK": "TRUE", "BIGTIFF": "YES"}
    tiles = {"tiled": True, "blockxsize": 4096, "blockysize": 4096, "crs": 32633}
    rasterio.open(path, "w", driver="GTiff", transform=Affine(10, 0, 0, 0, -10, 0), **shape, **tiles).close()
    with pytest.raises(ProductError, match="300000 x 300000"), opened(str(path)):
        pass


def test_a_file_that_vanishes_after_opening_is_missing_input(tmp_path: Path, write_raster: Any) -> None:
    path = write_raster(tmp_path / "B04.tif", noise())
    reader = open_scene(path, SCALE)
    path.unlink()
    with pytest.raises(MissingInputError, match=r"B04\.tif: there is no such file"):
        reader.read(["B04"], reader.scene.bands["B04"].geobox)


def test_every_byte_flipped_in_the_head_gives_an_error_of_ours_or_a_scene(tmp_path: Path, write_raster: Any) -> None:
    path = write_raster(tmp_path / "B04.tif", noise()[:, :8, :8])
    sound = path.read_bytes()
    for at in range(0, min(len(sound), 420), 3):
        damaged = bytearray(sound)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        try:
            reader = open_scene(path, SCALE)
            reader.read(["B04"], reader.scene.bands["B04"].geobox[:8, :8])
        except GroundshiftError:
            continue
