"""Sentinel-2 products as the agency delivers them: SAFE, folder or zip, Level-1C and Level-2A, any baseline."""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.errors import (
    CloudWarning,
    GroundshiftWarning,
    MissingInputError,
    ProductError,
    UnverifiedWarning,
)
from groundshift.io.archive import FolderStore, Store, ZipStore, open_folder, open_zip, unpack
from groundshift.io.integrity import Listed, chunks, hasher, inner_path, mismatch, read_manifest
from groundshift.io.jp2 import HEADER_BYTES, Header, OversizeError, check_complete, opened, read_header, read_tiles
from groundshift.io.safe_metadata import (
    Radiometry,
    Tile,
    band_offset,
    cloud_percent,
    nodata_percent,
    read_identity,
    read_radiometry,
    read_tile,
)
from groundshift.io.warp import Source, Stored, resample
from groundshift.io.xmlsafe import MAX_XML_BYTES, elements, local_name, parse_xml
from groundshift.model.bands import BANDS, SCL
from groundshift.model.grid import Window, pixel_size_m
from groundshift.model.scene import BandInfo, Checked, OpenOptions, Pixels, Resampling, Scene

_PRODUCT_XML = re.compile(r"MTD_MSIL(1C|2A)\.xml|S2[A-D]_(OPER|USER)_MTD_SAFL(1C|2A)_\w+\.xml")
_TILE_XML = re.compile(r"GRANULE/[^/]+/(MTD_TL\.xml|S2[A-D]_(OPER|USER)_MTD_L(1C|2A)_TL_[\w.]+\.xml)")
_MANIFEST = "manifest.safe"
_IMAGE = re.compile(
    r"(?:^|_)(?P<band>B0[1-9]|B1[0-2]|B8A|SCL)(?:_L2A_TL_[\w.]+?)?(?:_(?P<resolution>10|20|60)m)?\.jp2$", re.IGNORECASE
)


@dataclass(frozen=True)
class StoredImage:
    """One image file of a product."""

    file: str
    """Path in the product."""
    listed: Listed | None
    """What the manifest says of it; None: nothing to verify against."""


@dataclass(frozen=True)
class SafeReader:
    """Reads one SAFE product; satisfies :class:`groundshift.model.scene.Reader`.

    Holds paths and metadata only. Files are verified (and unpacked, where the zip compresses them) on their first
    use in any process, and what was done is noted in ``scratch``, where the other processes find it.
    """

    scene: Scene
    store: Store
    images: Mapping[str, StoredImage]
    """By band name, ``SCL`` included."""
    verifying: bool
    """Whether checksums are compared; the structure of the files is checked in any case."""
    scratch: str
    """Folder, not there until needed."""
    _ready: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Raster path of the file versions that this process knows to be verified."""

    def __reduce__(self) -> tuple[Callable[..., SafeReader], tuple[Any, ...]]:
        return SafeReader, (self.scene, self.store, self.images, self.verifying, self.scratch)

    def files(self, bands: Sequence[str]) -> tuple[str, ...]:
        """Names of the stored files behind these bands (``SCL`` allowed), in order, each once.

        Raises:
            MissingInputError: the product has no such band.
        """
        return tuple(dict.fromkeys(self._image(band).file for band in bands))

    def verify(self, file: str) -> Checked:
        """Verify one of :meth:`files`: its checksum, and that it is a whole JPEG 2000 image.

        A compressed member of a zip is unpacked by this.

        Raises:
            MissingInputError: it is listed but not there.
            ProductError: it differs from the manifest, is no image, is cut off or too large.
            OutputError: it cannot be unpacked for want of space.
        """
        image = next((image for image in self.images.values() if image.file == file), None)
        if image is None:
            raise MissingInputError(f"{self.store.location(file)}: is no image of this product.")
        href = self.store.location(file)
        listed = image.listed if self.verifying else None
        self.store.stamp(file)
        unpacked = self._unpacked(file)
        if unpacked is not None:
            unpack(self.store, file, unpacked)
        store: Store = self.store if unpacked is None else FolderStore("", str(unpacked.parent), (unpacked.name,))
        name = file if unpacked is None else unpacked.name
        checked = Checked(href=href, algorithm="none", digest="", ok=True)
        if listed is not None:
            checked = Checked(href=href, algorithm=listed.algorithm, digest=_digest(store, name, listed, href), ok=True)
        with store.open(name) as stream:
            check_complete(stream, href)
        self._note(file)
        return checked

    def read(self, bands: Sequence[str], geobox: GeoBox, resampling: Resampling = "bilinear") -> Pixels:
        """Read bands on a grid; see :meth:`groundshift.model.scene.Reader.read`.

        Raises:
            MissingInputError: the product has no such band, or lists its file and has it not.
            ProductError: a file differs from the manifest or does not decode.
            GridError: the grid has no coordinate system.
        """
        parts = [self._read(self.scene.bands[band], geobox, resampling) for band in bands if self._image(band)]
        dn, valid, saturated = (
            each[0][None] if len(parts) == 1 else np.stack(each) for each in zip(*parts, strict=True)
        )
        return Pixels(dn=dn, valid=valid, saturated=saturated)

    def read_classification(self, geobox: GeoBox) -> NDArray[np.uint8] | None:
        """Read the SCL on a grid, nearest neighbour, 0 outside; None when the product has none."""
        info = self.scene.classification
        if info is None:
            return None
        dn, valid = resample(self._source(info), info.geobox, np.dtype(info.dtype), geobox, "nearest")
        return np.where(valid, dn, 0).astype(np.uint8)

    def _image(self, band: str) -> StoredImage:
        if band not in self.images:
            raise MissingInputError(
                f"{self.scene.href}: has no band {band}: it has {', '.join(self.images) or 'none'}."
            )
        return self.images[band]

    def _read(
        self, info: BandInfo, geobox: GeoBox, resampling: Resampling
    ) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]:
        seen: list[tuple[Window, Stored]] = []

        def remembered(window: Window) -> Stored:
            seen.append((window, self._source(info)(window)))
            return seen[-1][1]

        dtype = np.dtype(info.dtype)
        dn, valid = resample(remembered, info.geobox, dtype, geobox, resampling)
        if dn.dtype == dtype and dtype.kind == "u":
            return dn, valid, valid & (dn == info.saturated)
        saturated = np.zeros(valid.shape, bool)
        if any((stored == info.saturated).any() for _, (stored, _) in seen):
            (_, (stored, usable)), *_ = seen
            flag = (stored == info.saturated).astype(np.float32)
            share, _ = resample(lambda _: (flag, usable), info.geobox, dtype, geobox, resampling)
            saturated = valid & (np.abs(share) > 1e-6)
        return dn, valid, saturated

    def _source(self, info: BandInfo) -> Source:
        return partial(self._window, info)

    def _window(self, info: BandInfo, window: Window) -> Stored:
        file = self.images[info.name].file
        path = self._verified(file)
        return read_tiles(opened(path, self.store.stamp(file), info), info, window)

    def _verified(self, file: str) -> str:
        """Path under which GDAL reads a file that some process of this run has verified, or this one does now."""
        key = self._key(file)
        path = self._ready.get(key)
        if path is None:
            unpacked = self._unpacked(file)
            if not self._note_of(file).exists() or (unpacked is not None and not unpacked.exists()):
                self.verify(file)
            path = str(unpacked) if unpacked is not None else self.store.in_place(file) or ""
            self._ready[key] = path
        return path

    def _key(self, file: str) -> str:
        """Name of a version of a file: another one as soon as it changes on disk."""
        identity = (self.store.href, file, self.store.stamp(file), self.verifying)
        return hashlib.sha256(repr(identity).encode()).hexdigest()[:24]

    def _unpacked(self, file: str) -> Path | None:
        if file in self.store.names and self.store.in_place(file) is None:
            return Path(self.scratch, f"{self._key(file)}.jp2")
        return None

    def _note_of(self, file: str) -> Path:
        return Path(self.scratch, f"{self._key(file)}.verified")

    def _note(self, file: str) -> None:
        """Tell the other processes that a file is verified; where that cannot be written, each verifies for itself."""
        note = self._note_of(file)
        try:
            note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            note.touch()
        except OSError:
            return


def _digest(store: Store, name: str, listed: Listed, href: str) -> str:
    """Digest of a file that matches the manifest; raises ProductError when it does not."""
    hashed = hasher(listed, href)
    size, head = 0, b""
    with store.open(name) as stream:
        for chunk in chunks(stream):
            hashed.update(chunk)
            size += len(chunk)
            head = head or chunk[:256]
    digest = str(hashed.hexdigest())
    if digest != listed.digest:
        raise mismatch(href, listed, digest, size, head)
    return digest


# --- opening -------------------------------------------------------------------------------------------------------


def is_safe(path: Path) -> bool:
    """Whether a path looks like a SAFE product: by its files or name, without reading any of them."""
    if path.is_dir():
        return _product_folder(path) is not None
    return path.name == _MANIFEST or _PRODUCT_XML.fullmatch(path.name) is not None or path.suffix.lower() == ".zip"


def open_safe(path: Path, options: OpenOptions | None = None) -> SafeReader:
    """Open a SAFE product; its metadata and the headers of its images are read, no pixel is.

    Args:
        path: the .SAFE folder (or a folder around it), its zip, or its MTD_MSIL2A.xml, MTD_MSIL1C.xml or manifest.safe.
        options: ``verify``, ``trust`` and ``scratch`` are used.

    Raises:
        MissingInputError: it is not there.
        ProductError: it is no SAFE product, is damaged or unsafe, or says too little to compute reflectance.
    """
    options = options or OpenOptions()
    store: Store = _open_store(path)
    xml = next(name for name in store.names if _PRODUCT_XML.fullmatch(name))
    root = _xml(store, xml)
    tile_root = _tile_root(store, root)
    manifest = _manifest(store, options.verify)
    identity = read_identity(root, tile_root, _bare_name(store, path), store.location(xml))
    radiometry, warnings = read_radiometry(root, identity, options.trust, store.location(xml))
    tile = read_tile(tile_root, store.location(xml)) if tile_root is not None else None
    chosen = _chosen_images(store, root, manifest, identity.level)
    infos = _band_infos(store, chosen, tile, radiometry, store.location(xml))
    images = {band: StoredImage(file, (manifest or {}).get(file)) for band, (file, _) in chosen.items()}
    warnings += _warnings(store, images, manifest, options.verify, identity.level, xml)
    scene = Scene(
        name=identity.name,
        href=str(path),
        kind="SAFE",
        bands={band: info for band, info in infos.items() if band != SCL},
        classification=infos.get(SCL),
        level=identity.level,
        platform=identity.platform,
        tile=identity.tile or _tile_of_images(chosen),
        relative_orbit=identity.relative_orbit,
        baseline=identity.baseline,
        sensing_time=(tile.sensing_time if tile else None) or identity.sensing_time,
        sun_zenith_deg=tile.sun_zenith_deg if tile else None,
        sun_azimuth_deg=tile.sun_azimuth_deg if tile else None,
        cloud_percent=cloud_percent(root, tile_root),
        nodata_percent=nodata_percent(root, tile_root),
        offset_rule=radiometry.offset_rule,
        warnings=warnings,
    )
    return SafeReader(scene, store, images, options.verify, _scratch(options.scratch))


def _open_store(path: Path) -> FolderStore | ZipStore:
    if not path.exists():
        raise MissingInputError(f"{path}: does not exist: expected a SAFE folder or its zip.")
    if path.is_dir() or path.name == _MANIFEST or _PRODUCT_XML.fullmatch(path.name):
        folder = _product_folder(path if path.is_dir() else path.parent)
        if folder is None:
            raise ProductError(f"{path}: is no SAFE product: it has no MTD_MSIL2A.xml or MTD_MSIL1C.xml.")
        return open_folder(folder.resolve(), str(path))
    store = open_zip(path.resolve(), str(path))
    prefixes = sorted(
        {name[: len(name) - len(name.rpartition("/")[2])] for name in store.names if _is_product_xml(name)}
    )
    if len(prefixes) != 1:
        found = (
            f"holds {len(prefixes)} products"
            if prefixes
            else "is no SAFE product: it has no MTD_MSIL2A.xml or MTD_MSIL1C.xml"
        )
        raise ProductError(f"{path}: {found}: expected the zip of one.")
    inside = {name[len(prefixes[0]) :]: each for name, each in store.members.items() if name.startswith(prefixes[0])}
    return replace(store, members=inside)


def _is_product_xml(name: str) -> bool:
    return name.count("/") <= 2 and _PRODUCT_XML.fullmatch(name.rpartition("/")[2]) is not None


def _product_folder(path: Path) -> Path | None:
    """The folder itself or the only one in it that has a product's XML."""
    if _has_product_xml(path):
        return path
    below = [folder for folder in sorted(path.iterdir()) if folder.is_dir() and _has_product_xml(folder)]
    return below[0] if len(below) == 1 else None


def _has_product_xml(folder: Path) -> bool:
    return any(_PRODUCT_XML.fullmatch(path.name) for path in folder.glob("*.xml"))


def _bare_name(store: Store, path: Path) -> str:
    """Product name by that of the folder or zip."""
    name = Path(store.root).name if isinstance(store, FolderStore) else path.name
    return re.sub(r"(\.SAFE)?(\.zip)?$", "", name, flags=re.IGNORECASE)


def _xml(store: Store, name: str) -> Element:
    if store.size(name) > MAX_XML_BYTES:
        raise ProductError(
            f"{store.location(name)}: {store.size(name) / 2**20:.0f} MB of metadata are refused: expected at most 64."
        )
    with store.open(name) as stream:
        return parse_xml(stream.read(), store.location(name))


def _tile_root(store: Store, root: Element) -> Element | None:
    """The tile's XML: its own file, or the product's where a crop was given the tile's in its place."""
    names = [name for name in store.names if _TILE_XML.fullmatch(name)]
    if names:
        return _xml(store, names[0])
    return root if local_name(root).endswith("_Tile_ID") else None


def _manifest(store: Store, verify: bool) -> dict[str, Listed] | None:
    if not verify or _MANIFEST not in store.names:
        return None
    with store.open(_MANIFEST) as stream:
        return read_manifest(stream.read(MAX_XML_BYTES + 1), store.location(_MANIFEST))


def _chosen_images(
    store: Store, root: Element, manifest: Mapping[str, Listed] | None, level: str
) -> dict[str, tuple[str, int]]:
    """The finest file of each band, listed or there, with its nominal resolution in metres; SCL only where it can be.

    A band that is listed at 10 m and absent must be told, not replaced by its coarser copy; that an SCL is listed in
    the XML of a product without manifest says little, since people cut products that way.
    """
    sure = {*store.names, *(manifest or ())}
    images: dict[str, tuple[str, int]] = {}
    for name in (*sorted(sure), *_listed_in_xml(root, store, level)):
        match = _IMAGE.search(name.rpartition("/")[2]) if "IMG_DATA/" in name else None
        if match is None:
            continue
        band = match["band"].upper()
        if band == SCL and name not in sure:
            continue
        native = BANDS[band].resolution_m if band != SCL else 20
        resolution = int(match["resolution"] or native)
        if band not in images or resolution < images[band][1]:
            images[band] = name, resolution
    granules = {file.split("/")[1] for file, _ in images.values() if file.count("/") > 1}
    if len(granules) > 1:
        raise ProductError(
            f"{store.href}: holds {len(granules)} tiles: expected a product of one (split it by granule)."
        )
    if not images:
        raise ProductError(f"{store.href}: lists no band image and holds none: download it again.")
    order = (*BANDS, SCL)
    return dict(sorted(images.items(), key=lambda item: order.index(item[0])))


def _listed_in_xml(root: Element, store: Store, level: str) -> list[str]:
    """Image files that the product's XML names and that are not there; old products give their names without a path."""
    there = {name.rpartition("/")[2] for name in store.names}
    listed = []
    for granule in elements(root, "Granule", "Granules"):
        for element in elements(granule, "IMAGE_FILE", "IMAGE_FILE_2A", "IMAGE_ID", "IMAGE_ID_2A"):
            name = f"{(element.text or '').strip()}.jp2"
            if "/" not in name:
                name = f"GRANULE/{granule.get('granuleIdentifier', level)}/IMG_DATA/{name}"
            if name.rpartition("/")[2] not in there:
                listed.append(inner_path(name, store.href))
    return listed


def _band_infos(
    store: Store, chosen: Mapping[str, tuple[str, int]], tile: Tile | None, radiometry: Radiometry, xml: str
) -> dict[str, BandInfo]:
    """What is known of each image. In a file of 15 bits, whatever saturated was cut to its largest value."""
    infos = {}
    headers = {band: _header(store, file) for band, (file, _) in chosen.items()}
    grids = {band: _grid(store, band, *chosen[band], header, tile) for band, header in headers.items()}
    for band, (file, resolution) in chosen.items():
        geobox = grids[band] or _scaled(grids, chosen, resolution)
        if geobox is None:
            raise ProductError(
                f"{store.location(file)}: neither this file nor the metadata tell its grid: download again."
            )
        header = headers[band]
        bits = header.bits if header else (8 if band == SCL else 16)
        infos[band] = BandInfo(
            name=band,
            href=store.location(file),
            geobox=geobox,
            dtype="uint8" if bits <= 8 else "uint16",
            scale=1.0 if band == SCL else 1 / radiometry.quantification,
            offset=0.0 if band == SCL else band_offset(radiometry, band, xml),
            nodata=0 if band == SCL else radiometry.nodata,
            saturated=None if band == SCL else min(radiometry.saturated, 2.0**bits - 1),
            resolution_m=pixel_size_m(geobox),
        )
    return infos


def _header(store: Store, file: str) -> Header | None:
    """Header of an image; None where it is absent or damaged, which is told when the band is used."""
    if file not in store.names:
        return None
    with store.open(file) as stream:
        head = stream.read(HEADER_BYTES)
    try:
        return read_header(head, store.location(file))
    except OversizeError:
        raise
    except ProductError:
        return None


def _grid(
    store: Store, band: str, file: str, resolution: int, header: Header | None, tile: Tile | None
) -> GeoBox | None:
    """Grid of an image: the tile's where its size is the image's, else the image's own."""
    stated = tile.grids.get(resolution) if tile else None
    if header is None:
        return stated
    shape = header.height, header.width
    if stated is not None and tuple(stated.shape) == shape:
        return stated
    return _own_grid(store, band, file, shape)


def _own_grid(store: Store, band: str, file: str, shape: tuple[int, int]) -> GeoBox | None:
    """Grid that a JP2 carries, as in crops and resampled copies; the pixel grid where it carries none."""
    nominal = GeoBox(shape, Affine.identity(), None)
    path = store.in_place(file) or f"/vsizip/{{{store.href}}}/{file}"
    info = BandInfo(name=band, href=store.location(file), geobox=nominal, dtype="uint16")
    try:
        dataset = opened(path, store.stamp(file), info)
    except ProductError:
        return None
    if dataset.crs is None:
        return nominal
    code = dataset.crs.to_epsg()
    return GeoBox(shape, dataset.transform, f"EPSG:{code}" if code else dataset.crs.to_wkt())


def _scaled(
    grids: Mapping[str, GeoBox | None], chosen: Mapping[str, tuple[str, int]], resolution: int
) -> GeoBox | None:
    """Grid of an image that cannot be read, from the extent of one that can."""
    for band, grid in grids.items():
        if grid is not None:
            ratio = resolution / chosen[band][1]
            shape = tuple(max(1, round(n / ratio)) for n in grid.shape)
            return GeoBox(shape, grid.affine * Affine.scale(ratio), grid.crs)
    return None


def _tile_of_images(chosen: Mapping[str, tuple[str, int]]) -> str | None:
    matches = (re.search(r"T(\d\d[A-Z]{3})_", file.rpartition("/")[2]) for file, _ in chosen.values())
    return next((match[1] for match in matches if match), None)


def _warnings(
    store: Store,
    images: Mapping[str, StoredImage],
    manifest: Mapping[str, Listed] | None,
    verify: bool,
    level: str,
    xml: str,
) -> tuple[GroundshiftWarning, ...]:
    found = _unverified(store, images.values(), manifest, verify) + _changed_metadata(store, manifest, xml)
    if level == "L2A" and SCL not in images:
        found.append(CloudWarning(f"{store.href}: has no scene classification (SCL), so its clouds are not known."))
    return tuple(found)


def _unverified(
    store: Store, images: Iterable[StoredImage], manifest: Mapping[str, Listed] | None, verify: bool
) -> list[GroundshiftWarning]:
    if not verify:
        return [UnverifiedWarning(f"{store.href}: read without verifying checksums, as asked (--no-verify).")]
    if manifest is None:
        return [UnverifiedWarning(f"{store.href}: has no manifest.safe, so its files could not be verified.")]
    loose = [image.file.rpartition("/")[2] for image in images if image.listed is None]
    if loose:
        return [UnverifiedWarning(f"{store.href}: the manifest does not list {', '.join(loose)}: not verified.")]
    return []


def _changed_metadata(store: Store, manifest: Mapping[str, Listed] | None, xml: str) -> list[GroundshiftWarning]:
    """Metadata that differ from the manifest were edited: the user should know, and may have done it."""
    changed: list[GroundshiftWarning] = []
    for name in (name for name in store.names if name == xml or _TILE_XML.fullmatch(name)):
        listed = (manifest or {}).get(name)
        if listed is None:
            continue
        try:
            _digest(store, name, listed, store.location(name))
        except ProductError:
            changed.append(UnverifiedWarning(f"{store.location(name)}: differs from the product's manifest."))
    return changed


def _scratch(wanted: str | None) -> str:
    """Folder for unpacked files and notes: the caller's, or a temporary one that goes when this process ends."""
    if wanted is not None:
        return wanted
    path = Path(tempfile.gettempdir(), f"groundshift-{os.getpid()}-{secrets.token_hex(8)}")
    atexit.register(_remove, path, os.getpid())
    return str(path)


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)
