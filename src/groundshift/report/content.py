"""What a report says: plain facts, without layout. The pipeline fills a :class:`ChangeReport`, the page renders it.

Shares are percent, areas hectares, reflectance 1.0 = 100 %, angles degrees, times UTC. ``None`` means that the fact
is not known or not defined (areas without georeference, statistics of an empty set); the page then says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Role = Literal["before", "after"]


@dataclass(frozen=True, kw_only=True)
class InputRow:
    """One of the two images: what it is and how its numbers became reflectance."""

    role: Role
    name: str
    href: str
    kind: str
    """``SAFE``, ``STAC``, ``raster``, ``memory``."""
    platform: str | None = None
    tile: str | None = None
    relative_orbit: int | None = None
    baseline: str | None = None
    """As people write it: ``05.10``."""
    sensing_time: datetime | None = None
    level: str | None = None
    offset_rule: str = ""
    """In words: which offset was applied, and what decided it."""
    verification: str = ""
    """In words: which files were checked, by which algorithm, with what result."""
    cloud_percent: float | None = None


@dataclass(frozen=True, kw_only=True)
class GridFacts:
    """The pixel grid of the results."""

    crs: str | None
    """In words, ``EPSG:32756 (WGS 84 / UTM zone 56S)``; None without georeference."""
    rows: int
    columns: int
    pixel_size_m: float | None

    @property
    def pixels(self) -> int:
        """Pixels of the whole grid."""
        return self.rows * self.columns


@dataclass(frozen=True, kw_only=True)
class KindRow:
    """One kind of change."""

    code: int
    color: tuple[int, int, int]
    """RGB 0..255 of the legend of ``S2-CD.tif`` (:func:`groundshift.model.legend.change_legend`)."""
    pixels: int
    hectares: float | None
    mean_amplitude: float | None
    mean_angle_deg: float | None
    mean_change: tuple[float, ...]
    """After minus before per band of the report, reflectance; empty when not known."""
    mean_before: tuple[float, ...] = ()
    """Mean reflectance before, per band; empty when not known."""
    d_ndvi: float | None = None
    d_ndwi: float | None = None
    d_nbr: float | None = None
    hint: str = ""
    """What such a change often is: ``vegetation loss``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NormalisationRow:
    """How one band of one date was brought to the other: reference = gain * adjusted + offset."""

    band: str
    gain: float
    offset: float
    """Reflectance."""
    r2: float | None
    pixels: int
    """Pseudo-invariant pixels that the line was fitted on."""
    before: NDArray[np.floating]
    """(n,) reflectance before normalisation, a sample of at most 3000 of those pixels."""
    after: NDArray[np.floating]
    """(n,) reflectance of the same pixels at the later date, before normalisation."""
    adjusted: Role = "before"
    """Which date was changed."""


@dataclass(frozen=True, kw_only=True)
class CalibrationRow:
    """What the law of no change promised at one level, and what held-out no-change pixels did."""

    confidence_percent: float
    realised_percent: float | None
    """Share of held-out no-change pixels that this level would call change."""
    pixels: int
    """Held-out pixels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NoChangeFacts:
    """The amplitude of all compared pixels against the law of no change."""

    edges: NDArray[np.floating]
    """(n + 1,) bin edges of the amplitude, rising."""
    counts: NDArray[np.integer]
    """(n,) compared pixels in each bin."""
    law: NDArray[np.floating]
    """(n,) probability density of the amplitude of no change at the bin centres, per unit amplitude."""
    thresholds: tuple[tuple[str, float], ...] = ()
    """(what it is, amplitude)."""
    calibration: tuple[CalibrationRow, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class PolarSample:
    """At most 20000 compared pixels in the plane of amplitude and angle."""

    amplitude: NDArray[np.floating]
    """(n,) in standard deviations of no change."""
    angle_deg: NDArray[np.floating]
    """(n,) 0..180, to the reference vector."""
    kind: NDArray[np.integer]
    """(n,) 0 no change, 1..k kinds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ChangeReport:
    """Everything that the page of one change run shows."""

    title: str
    created: datetime
    version: str
    method: str
    """One or two sentences: statistic, context, what was fitted."""
    confidence_percent: float
    """Asked: share of unchanged pixels that must not be called change."""
    least_probability: float | None = None
    """Probability from which on a pixel is called change; None: regions or the amplitude decide."""
    compared_pixels: int
    """Pixels usable at both dates."""
    compared_ha: float | None
    changed_pixels: int
    changed_ha: float | None
    no_data_percent: float
    """Share of the grid that could not be compared, for any reason."""
    masked_percent: float | None = None
    """The part of it that is cloud, cirrus or cloud shadow at either date."""
    grid: GridFacts
    bands: tuple[str, ...]
    inputs: tuple[InputRow, ...] = ()
    kinds: tuple[KindRow, ...] = ()
    normalisation: tuple[NormalisationRow, ...] = ()
    no_change: NoChangeFacts | None = None
    polar: PolarSample | None = None
    shift_px: tuple[float, float] | None = None
    """(dx, dy) of AFTER against BEFORE in pixels; None: not measured."""
    composition: str = ""
    """What the colours of the pictures are: ``natural colours (B04, B03, B02)``."""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """PNG of ``before``, ``after``, ``change``: the bare pictures, all of one shape, without title or legend."""
    warnings: tuple[tuple[str, str], ...] = ()
    """(name, message)."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Value by dotted name as in a job file: ``detect.confidence``."""
    files: tuple[tuple[str, str, int], ...] = ()
    """(name, what it is, bytes)."""
    timings: tuple[tuple[str, float], ...] = ()
    """(stage, seconds)."""
    peak_memory_bytes: int | None = None

    @property
    def changed_percent(self) -> float | None:
        """Changed share of what could be compared; None when nothing could."""
        return 100 * self.changed_pixels / self.compared_pixels if self.compared_pixels else None

    def image(self, role: Role) -> InputRow | None:
        """The row of one date, if it is there."""
        return next((row for row in self.inputs if row.role == role), None)
