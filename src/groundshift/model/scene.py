"""A scene: what is known of one image before a pixel of it is read; and the contract of everything that reads one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.errors import GroundshiftWarning

Resampling = Literal["nearest", "bilinear", "cubic", "average"]
"""``average`` when coarsening: the mean of valid pixels where at least half of them are valid."""


@dataclass(frozen=True, kw_only=True)
class BandInfo:
    """One raster band as stored: reflectance = (DN + offset) * scale."""

    name: str
    """Canonical band name, or ``SCL``."""
    href: str
    """Where the pixels lie: a path, or ``archive.zip!member``; for messages and provenance."""
    geobox: GeoBox
    """Native pixel grid of the stored raster (``crs`` is None without georeference)."""
    dtype: str
    """numpy name of the stored type."""
    scale: float = 1.0
    """Reflectance per DN, for example 1e-4."""
    offset: float = 0.0
    """Added to a DN before scaling, in DN, for example -1000."""
    nodata: float | None = None
    """DN that means no data, tested before the offset; None: validity comes from a mask."""
    saturated: float | None = None
    """DN that means saturated."""
    resolution_m: float | None = None
    """Pixel size in metres, None without georeference."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One image of one place at one time; pixels are fetched through its :class:`Reader`."""

    name: str
    """Product name without ending; unique enough to name in a message."""
    href: str
    """What the user gave."""
    kind: str
    """``SAFE``, ``STAC``, ``raster``, ``memory``."""
    bands: Mapping[str, BandInfo]
    """Spectral bands by canonical name."""
    classification: BandInfo | None = None
    """The SCL raster, where there is one."""
    level: str | None = None
    """``L1C`` or ``L2A``; None when nothing says so."""
    platform: str | None = None
    """``S2A`` ... ``S2D``."""
    tile: str | None = None
    """MGRS tile without the T: ``56HKH``."""
    relative_orbit: int | None = None
    baseline: tuple[int, int] | None = None
    """Processing baseline, (5, 10) for 05.10."""
    sensing_time: datetime | None = None
    """UTC, aware."""
    sun_zenith_deg: float | None = None
    sun_azimuth_deg: float | None = None
    cloud_percent: float | None = None
    nodata_percent: float | None = None
    """Share of no data that the metadata declare."""
    offset_rule: str = ""
    """By what rule scale and offset were decided, as a sentence for the report."""
    warnings: tuple[GroundshiftWarning, ...] = ()
    """What was odd when the scene was opened."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pixels:
    """A window of stored values on a grid."""

    dn: NDArray[np.generic]
    """(band, y, x): stored type when nothing was resampled, else float32; arbitrary where not valid."""
    valid: NDArray[np.bool_]
    """(band, y, x): True = a measurement (neither nodata nor masked by the file's own mask)."""
    saturated: NDArray[np.bool_]
    """(band, y, x): True = the sensor saturated; such pixels are valid but not usable."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One verified input file, for the manifest."""

    href: str
    algorithm: str
    """As the product's manifest names it, or ``none`` when there was nothing to verify against."""
    digest: str
    ok: bool


@runtime_checkable
class Reader(Protocol):
    """Opens one scene and reads windows of it; holds paths and metadata only, so it can be sent to a process."""

    @property
    def scene(self) -> Scene:
        """What is known of the scene."""
        ...

    def files(self, bands: Sequence[str]) -> tuple[str, ...]:
        """Names of the stored files behind these bands (``SCL`` allowed), in order, each once."""
        ...

    def verify(self, file: str) -> Checked:
        """Verify one of :meth:`files` against the product's manifest, before its first use.

        Raises:
            MissingInputError: it is listed but not there.
            ProductError: it does not match, or is no raster.
        """
        ...

    def read(self, bands: Sequence[str], geobox: GeoBox, resampling: Resampling = "bilinear") -> Pixels:
        """Read bands on a grid.

        Law: reading any split of ``geobox`` and putting the parts together equals reading it whole. Where the
        grid coincides with a band's own, stored values come back unchanged. Outside the image: not valid.

        Raises:
            MissingInputError, ProductError: a file is missing or does not decode; never zeros.
        """
        ...

    def read_classification(self, geobox: GeoBox) -> NDArray[np.uint8] | None:
        """Read the SCL on a grid, nearest neighbour, 0 outside; None when the scene has none."""
        ...


@dataclass(frozen=True, kw_only=True)
class OpenOptions:
    """How to open something whose files do not say it all."""

    band_order: tuple[str, ...] | None = None
    """Canonical names of the bands of a plain raster, in file order."""
    scale: float | None = None
    """DN that is reflectance 1.0 (10000, 65535 ...): reflectance = (DN + offset) / scale."""
    offset: float | None = None
    """Added to a DN before scaling."""
    mask: str | None = None
    """Path of a 0/1 raster, 1 = usable."""
    trust: Literal["metadata", "pixels"] | None = None
    """Whom to believe when the offset audit finds metadata and pixels in contradiction."""
    verify: bool = True
    """Verify checksums before first use."""
    scratch: str | None = None
    """Folder for members unpacked from an archive; None: a temporary folder of the system."""
