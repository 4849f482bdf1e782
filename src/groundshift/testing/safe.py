"""Writes real SAFE products of a scene: folder or archive, with ESA's names, code streams, metadata and checksums."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from groundshift.errors import OutputError, UsageError
from groundshift.model.bands import BANDS, parse_bands
from groundshift.model.grid import Window, blocks
from groundshift.testing import documents
from groundshift.testing.documents import ProductFacts, StoredFile
from groundshift.testing.geodesy import sun_position, tile_corner
from groundshift.testing.jp2 import Raster, encode
from groundshift.testing.naming import Level, ProductIdentity

_STRIP_ROWS = 240
_SATURATED = 65535
_PREVIEW_PX = 32
_L2A_COPIES = {
    20: ("B02", "B03", "B04"),
    60: ("B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12"),
}
"""Bands that a Level-2A product holds again at a coarser resolution."""
_DEFAULT_TIME = datetime(2021, 3, 15, 0, 2, 41, 24_000, tzinfo=UTC)


class Imagery(Protocol):
    """What a product can be written of; windows are in pixels of the asked resolution, from the upper-left corner."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) at 10 m, multiples of 6."""
        ...

    @property
    def sun(self) -> tuple[float, float] | None:
        """(zenith, azimuth) in degrees; None: as it stood at that place and time."""
        ...

    def reflectance(self, window: Window, bands: Sequence[str], resolution_m: int = 10) -> NDArray[np.float32]:
        """(band, y, x) surface reflectance, 1.0 = 100 %; infinite where saturated, NaN where there is no data."""
        ...

    def top_of_atmosphere(self, window: Window, bands: Sequence[str], resolution_m: int = 10) -> NDArray[np.float32]:
        """(band, y, x) reflectance as Level-1C has it."""
        ...

    def scl(self, window: Window) -> NDArray[np.uint8]:
        """(y, x) scene classification at 20 m."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Image:
    """One image file of a product and the raster it is made of."""

    content: str
    """Band name, SCL, TCI, AOT, WVP, CLDPRB or SNWPRB."""
    resolution_m: int
    path: str
    raster: Raster


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """One product to be written."""

    identity: ProductIdentity
    bands: tuple[str, ...]
    images: tuple[_Image, ...]
    shape: tuple[int, int]
    epsg: int
    corner: tuple[float, float]
    quality: float
    bits: int
    algorithm: str

    def find(self, content: str, resolution_m: int) -> _Image:
        return next(i for i in self.images if (i.content, i.resolution_m) == (content, resolution_m))


def write_safe(
    scene: Imagery,
    folder: str | os.PathLike[str],
    *,
    level: Level = "L2A",
    tile: str = "56HKH",
    sensing_time: datetime = _DEFAULT_TIME,
    platform: str = "S2A",
    relative_orbit: int = 30,
    baseline: tuple[int, int] = (5, 10),
    zip: Literal["stored", "deflated"] | None = None,
    size_px: int | tuple[int, int] | None = None,
    corner: tuple[float, float] | None = None,
    bands: str | Sequence[str] | None = None,
    compact_naming: bool = True,
    checksum: Literal["SHA3-256", "MD5"] = "SHA3-256",
    quality: float = 100.0,
    workers: int = 1,
) -> Path:
    """Write one SAFE product; it appears whole or not at all.

    Args:
        scene: where the pixels come from.
        folder: where the product goes; its own name is made of the arguments.
        level: L2A (surface reflectance, SCL) or L1C (top of atmosphere, no SCL).
        tile: square of the military grid.
        sensing_time: UTC, aware.
        platform: S2A ... S2D.
        relative_orbit: 1..143.
        baseline: processing baseline; from (4, 0) on DN = reflectance x 10000 + 1000, before without the 1000.
        zip: None for a folder, else an archive with stored or deflated members and the folder as top entry.
        size_px: rows and columns at 10 m of a crop from the scene's upper left; None: the whole scene.
        corner: (x, y) of the upper-left corner in metres of the tile's UTM zone; None: the tile's corner.
        bands: bands to write, each at its own resolution and with SCL at 20 m; None: everything a product has.
        compact_naming: names as since December 2016, or the long ones before.
        checksum: algorithm of the manifest; ESA used MD5 before baseline 03.00.
        quality: of the JPEG 2000 images: 100 is lossless, as ESA's; less is lossy and smaller.
        workers: processes.

    Returns:
        Path of the folder or archive.

    Raises:
        UsageError: arguments that cannot be.
        OutputError: a product of that name is already there.
    """
    identity = ProductIdentity(
        level=level,
        tile=tile.removeprefix("T"),
        platform=platform,
        sensing_time=sensing_time,
        relative_orbit=relative_orbit,
        baseline=baseline,
        compact=compact_naming,
    )
    target = Path(folder) / f"{identity.name}{'.SAFE' if zip is None else '.zip'}"
    if target.exists():
        raise OutputError(f"{target} is already there: remove it first, or choose another folder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{identity.name}.", dir=target.parent) as scratch:
        top = Path(scratch) / f"{identity.name}.SAFE"
        plan = _plan(scene, identity, Path(scratch), _shape(scene, size_px), corner, bands, quality, checksum)
        with _pool(workers) as run:
            _draw(scene, plan, run)
            _compress(plan, top, run)
        _describe(scene, plan, top)
        if zip is None:
            top.rename(target)
        else:
            _archive(top, Path(scratch) / target.name, zip).rename(target)
    return target


def _shape(scene: Imagery, size_px: int | tuple[int, int] | None) -> tuple[int, int]:
    rows, columns = scene.shape if size_px is None else (size_px, size_px) if isinstance(size_px, int) else size_px
    if rows % 6 or columns % 6 or not 0 < rows <= scene.shape[0] or not 0 < columns <= scene.shape[1]:
        raise UsageError(
            f"a product of {rows} x {columns} pixels: expected multiples of 6 (60 m is the coarsest pixel) "
            f"up to the scene's {scene.shape[0]} x {scene.shape[1]}."
        )
    return rows, columns


def _plan(
    scene: Imagery,
    identity: ProductIdentity,
    scratch: Path,
    shape: tuple[int, int],
    corner: tuple[float, float] | None,
    bands: str | Sequence[str] | None,
    quality: float,
    algorithm: str,
) -> _Plan:
    if algorithm not in ("SHA3-256", "MD5"):
        raise UsageError(f"unknown checksum {algorithm!r}: expected SHA3-256 or MD5.")
    epsg, x, y = tile_corner(identity.tile)
    names = tuple(BANDS) if bands is None else parse_bands(bands)
    if identity.level == "L2A":
        names = tuple(name for name in names if name != "B10")

    def image(content: str, resolution_m: int, count: int = 1, dtype: str = "uint16") -> _Image:
        raw = scratch / f"{content}_{resolution_m}.img"
        size = (shape[0] * 10 // resolution_m, shape[1] * 10 // resolution_m)
        if resolution_m == 320:
            size = (-(-shape[0] // _PREVIEW_PX), -(-shape[1] // _PREVIEW_PX))
        raster = Raster(
            raw=raw,
            count=count,
            dtype=dtype,
            shape=size,
            resolution_m=resolution_m,
            corner=corner or (x, y),
            epsg=epsg,
        )
        return _Image(
            content=content,
            resolution_m=resolution_m,
            path=_path(identity, content, resolution_m),
            raster=raster,
        )

    images = [image(name, BANDS[name].resolution_m) for name in names]
    images += [image(*what) for what in _companions(identity, names, full=bands is None)]
    images.append(image("PVI", 320, 3, "uint8"))
    return _Plan(
        identity=identity,
        bands=names,
        images=tuple(images),
        shape=shape,
        epsg=epsg,
        corner=corner or (x, y),
        quality=quality,
        bits=16 if getattr(scene, "saturates", False) else 15,
        algorithm=algorithm,
    )


def _path(identity: ProductIdentity, content: str, resolution_m: int) -> str:
    if content == "PVI":
        return identity.preview
    if content in ("CLDPRB", "SNWPRB"):
        return f"{identity.granule}/QI_DATA/MSK_{content}_{resolution_m}m.jp2"
    return identity.image(content, resolution_m)


def _companions(
    identity: ProductIdentity, names: Sequence[str], full: bool
) -> Iterator[tuple[str, int] | tuple[str, int, int, str]]:
    """What a product holds beside its bands at their own resolution."""
    if identity.level == "L1C":
        if full:
            yield "TCI", 10, 3, "uint8"
        return
    yield "SCL", 20, 1, "uint8"
    yield "CLDPRB", 20, 1, "uint8"
    yield "SNWPRB", 20, 1, "uint8"
    if not full:
        return
    for resolution_m, copies in _L2A_COPIES.items():
        for name in copies:
            yield name, resolution_m
    for content in ("SCL", "CLDPRB", "SNWPRB"):
        yield content, 60, 1, "uint8"
    for resolution_m in (10, 20, 60):
        yield "TCI", resolution_m, 3, "uint8"
        yield "AOT", resolution_m
        yield "WVP", resolution_m


@contextmanager
def _pool(workers: int) -> Iterator[Callable[..., list[object]]]:
    """Something that maps a function over arguments, here or in processes."""
    if workers <= 1:
        yield lambda function, *arguments: [function(*row) for row in zip(*arguments, strict=True)]
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield lambda function, *arguments: list(pool.map(function, *arguments))


def _draw(scene: Imagery, plan: _Plan, run: Callable[..., list[object]]) -> None:
    """Fill the raw rasters, strip by strip, then what is made of other rasters."""
    for image in plan.images:
        image.raster.create()
    strips = list(blocks(plan.shape, _STRIP_ROWS))
    run(_draw_strip, [scene] * len(strips), [plan] * len(strips), strips)
    _draw_preview(plan)


def _draw_strip(scene: Imagery, plan: _Plan, strip: Window) -> None:
    for resolution_m in (10, 20, 60):
        names = [name for name in plan.bands if BANDS[name].resolution_m == resolution_m]
        window = _scaled(strip, resolution_m)
        look = scene.top_of_atmosphere if plan.identity.level == "L1C" else scene.reflectance
        values = look(window, names, resolution_m) if names else np.empty((0, *window.shape), np.float32)
        for name, value in zip(names, values, strict=True):
            _draw_band(plan, name, value, strip, resolution_m)
    if plan.identity.level == "L2A":
        _draw_classification(plan, scene.scl(_scaled(strip, 20)), strip)
    _draw_colour(plan, strip)


def _scaled(strip: Window, resolution_m: int) -> Window:
    factor = resolution_m // 10
    return Window(strip.y0 // factor, strip.y1 // factor, strip.x0 // factor, strip.x1 // factor)


def _draw_band(plan: _Plan, name: str, value: NDArray[np.float32], strip: Window, native_m: int) -> None:
    for image in plan.images:
        if image.content != name:
            continue
        coarse = _mean(value, image.resolution_m // native_m)
        _put(image, quantise(coarse, plan.identity.offset, plan.bits), _scaled(strip, image.resolution_m))


def quantise(reflectance: NDArray[np.float32], offset: int, bits: int = 16) -> NDArray[np.uint16]:
    """Return DN of reflectance: round(reflectance x 10000) - offset.

    Args:
        reflectance: any shape, float32, 1.0 = 100 %; NaN no data, infinite saturated.
        offset: radiometric offset of the product, -1000 or 0.
        bits: depth of the file.

    Returns:
        uint16: 0 no data and never for data, 65535 saturated.
    """
    largest = (1 << bits) - 1 - (bits == 16)
    with np.errstate(invalid="ignore"):
        dn = np.clip(np.rint(reflectance * np.float32(10000)) - offset, 1, largest)
    dn[np.isnan(reflectance)] = 0
    if bits == 16:
        dn[np.isposinf(reflectance)] = _SATURATED
    result: NDArray[np.uint16] = dn.astype(np.uint16)
    return result


def _mean(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    if factor == 1:
        return values
    rows, columns = values.shape[0] // factor, values.shape[1] // factor
    mean: NDArray[np.float32] = values.reshape(rows, factor, columns, factor).mean(axis=(1, 3), dtype=np.float32)
    return mean


def _put(image: _Image, values: NDArray[np.generic], window: Window) -> None:
    pixels = image.raster.pixels()
    pixels[:, window.y0 : window.y1, window.x0 : window.x1] = values
    pixels.flush()  # type: ignore[attr-defined]


def _draw_classification(plan: _Plan, scl: NDArray[np.uint8], strip: Window) -> None:
    probability = np.choose(np.isin(scl, (8, 9, 10)) + (scl == 9) * np.uint8(1), (0, 55, 95)).astype(np.uint8)
    zero = np.zeros_like(scl)
    for image in plan.images:
        values = {"SCL": scl, "CLDPRB": probability, "SNWPRB": zero}.get(image.content)
        if values is not None:
            step = image.resolution_m // 20
            _put(image, values[step // 2 :: step, step // 2 :: step], _scaled(strip, image.resolution_m))
        elif image.content in ("AOT", "WVP"):
            _put(image, _atmosphere(image, scl, strip), _scaled(strip, image.resolution_m))


def _atmosphere(image: _Image, scl: NDArray[np.uint8], strip: Window) -> NDArray[np.generic]:
    """Aerosol and water vapour maps: constant where there is data."""
    window = _scaled(strip, image.resolution_m)
    rows = np.minimum(np.arange(window.shape[0]) * image.resolution_m // 20, scl.shape[0] - 1)
    columns = np.minimum(np.arange(window.shape[1]) * image.resolution_m // 20, scl.shape[1] - 1)
    level = np.uint16(98 if image.content == "AOT" else 1600)
    return np.where(scl[np.ix_(rows, columns)] > 0, level, np.uint16(0))


def _draw_colour(plan: _Plan, strip: Window) -> None:
    for image in plan.images:
        if image.content == "TCI":
            _put(
                image,
                _colour(plan, _scaled(strip, image.resolution_m), image.resolution_m),
                _scaled(strip, image.resolution_m),
            )


def _colour(plan: _Plan, window: Window, resolution_m: int) -> NDArray[np.uint8]:
    """True colour (3, y, x): 1..255 over reflectance 0..0.355, 0 no data."""
    layers = [plan.find(name, resolution_m).raster.pixels()[0][window.slices] for name in ("B04", "B03", "B02")]
    return np.stack([_display(dn, plan.identity.offset) for dn in layers])


def _display(dn: NDArray[np.generic], offset: int) -> NDArray[np.uint8]:
    value = np.clip((dn.astype(np.float32) + offset) / 3558 * 254 + 1, 1, 255)
    return np.where(dn == 0, 0, value).astype(np.uint8)


def _draw_preview(plan: _Plan) -> None:
    """The 320 m preview: every 32nd pixel of red, green and blue, or of what there is of them."""
    preview = plan.find("PVI", 320)
    names = [name if name in plan.bands else plan.bands[0] for name in ("B04", "B03", "B02")]
    for layer, name in enumerate(names):
        image = next(i for i in plan.images if i.content == name)
        pixels = image.raster.pixels()[0]
        rows = _preview_index(preview.raster.shape[0], pixels.shape[0], image.resolution_m)
        columns = _preview_index(preview.raster.shape[1], pixels.shape[1], image.resolution_m)
        preview.raster.pixels()[layer] = _display(pixels[np.ix_(rows, columns)], plan.identity.offset)


def _preview_index(count: int, size: int, resolution_m: int) -> NDArray[np.intp]:
    centres = (np.arange(count) + 0.5) * 320 / resolution_m
    return np.minimum(centres.astype(np.intp), size - 1)


def _compress(plan: _Plan, top: Path, run: Callable[..., list[object]]) -> None:
    by_size = sorted(plan.images, key=lambda i: -i.raster.count * i.raster.shape[0] * i.raster.shape[1])
    run(_compress_one, by_size, [plan] * len(by_size), [top] * len(by_size))


def _compress_one(image: _Image, plan: _Plan, top: Path) -> None:
    spectral = image.raster.dtype == "uint16" and image.content in BANDS
    encode(image.raster, top / image.path, bits=plan.bits, quality=plan.quality if spectral else 100.0)
    if image.content != "SCL":
        image.raster.remove()


def _describe(scene: Imagery, plan: _Plan, top: Path) -> None:
    """Write all documents, the manifest last."""
    facts, who = _facts(scene, plan), plan.identity
    texts = {
        who.product_metadata: documents.product_metadata(facts),
        "INSPIRE.xml": documents.inspire(facts),
        "HTML/UserProduct_index.html": documents.presentation(facts),
        who.datastrip_metadata: documents.datastrip_metadata(facts),
        who.tile_metadata: documents.tile_metadata(facts),
    }
    for name, text in documents.quality_reports(who).items():
        texts[f"{who.datastrip}/QI_DATA/{name}"] = text
        texts[f"{who.granule}/QI_DATA/{name}"] = text
    for path, text in texts.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(text, encoding="utf-8")
    (top / f"{who.granule}/AUX_DATA").mkdir(exist_ok=True)
    paths = [*texts, *(image.path for image in plan.images)]
    files = [_stored(plan, top, path, number) for number, path in enumerate(paths)]
    (top / "manifest.safe").write_text(documents.manifest(facts, files, plan.algorithm), encoding="utf-8")


def _stored(plan: _Plan, top: Path, path: str, number: int) -> StoredFile:
    mime = "application/octet-stream" if path.endswith(".jp2") else "text/xml"
    size = (top / path).stat().st_size
    return StoredFile(
        object_id=_object_id(plan, path, number), path=path, mime=mime, size=size, digest=_digest(top / path, plan)
    )


def _object_id(plan: _Plan, path: str, number: int) -> str:
    who, level = plan.identity, "Level-1C" if plan.identity.level == "L1C" else "Level-2A"
    known = {
        who.product_metadata: f"S2_{level}_Product_Metadata",
        "INSPIRE.xml": "INSPIRE_Metadata",
        "HTML/UserProduct_index.html": "HTML_Presentation",
        who.datastrip_metadata: f"S2_{level}_Datastrip1_Metadata",
        who.tile_metadata: f"S2_{level}_Tile1_Metadata",
        who.preview: "Preview_0_Tile1_Data",
    }
    if path in known:
        return known[path]
    for image in plan.images:
        if image.path == path:
            ending = "" if who.level == "L1C" else f"_{image.resolution_m}m"
            mask = image.content in ("CLDPRB", "SNWPRB")
            return f"{'QI' if mask else 'IMG'}_DATA_Band_{image.content}{ending}_Tile1_Data"
    return f"OLQC_Report_{number}_{Path(path).stem}_Data"


def _digest(path: Path, plan: _Plan) -> str:
    digest = hashlib.new("md5" if plan.algorithm == "MD5" else "sha3_256", usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _facts(scene: Imagery, plan: _Plan) -> ProductFacts:
    to_degrees = Transformer.from_crs(plan.epsg, 4326, always_xy=True)
    x, y = plan.corner
    width, height = plan.shape[1] * 10, plan.shape[0] * 10
    ring = [(x, y), (x + width, y), (x + width, y - height), (x, y - height), (x, y)]
    degrees = [to_degrees.transform(*point) for point in ring]
    centre = to_degrees.transform(x + width / 2, y - height / 2)
    time = plan.identity.sensing_time + timedelta(minutes=10)
    at = [sun_position(time, *to_degrees.transform(x + dx, y - dy)) for dx, dy in ((0, 0), (5000, 0), (0, 5000))]
    masks = [image.path for image in plan.images if image.content in ("CLDPRB", "SNWPRB")]
    spectral = [image.path.removesuffix(".jp2") for image in plan.images if image.path not in masks]
    return ProductFacts(
        identity=plan.identity,
        epsg=plan.epsg,
        corner=plan.corner,
        sizes={r: (plan.shape[0] * 10 // r, plan.shape[1] * 10 // r) for r in (10, 20, 60)},
        sun=scene.sun or sun_position(time, *centre),
        sun_gradient=tuple(at[k][i] - at[0][i] for i in (0, 1) for k in (1, 2)),  # type: ignore[arg-type]
        footprint=[(round(lat, 9), round(lon, 9)) for lon, lat in degrees],
        images=[path for path in spectral if path != plan.identity.preview.removesuffix(".jp2")],
        masks=masks,
        class_percent=_class_percent(plan),
    )


def _class_percent(plan: _Plan) -> list[float]:
    """Shares of the SCL classes, as Sen2Cor counts them; all zero for Level-1C."""
    if plan.identity.level == "L1C":
        return [0.0] * 12
    scl = plan.find("SCL", 20).raster.pixels()
    counts = sum((np.bincount(rows.ravel(), minlength=12) for rows in scl[0]), np.zeros(12, int))
    valid = max(1, counts[1:].sum())
    return [100.0 * counts[0] / counts.sum(), *(100.0 * counts[1:] / valid)]


def _archive(top: Path, path: Path, how: Literal["stored", "deflated"]) -> Path:
    method = zipfile.ZIP_STORED if how == "stored" else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in _in_order(top.rglob("*")):
            archive.write(file, f"{top.name}/{file.relative_to(top).as_posix()}")
    shutil.rmtree(top)
    return path


def _in_order(files: Iterable[Path]) -> list[Path]:
    return sorted(files)
