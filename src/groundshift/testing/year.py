"""A year of Sentinel-2 images with a known map of classes: the ground of the synthetic scenes through the seasons.

The law of the generator holds: every value is a function of options, date and place, so that any window of any date may
be drawn alone. A date is a :class:`~groundshift.testing.scenes.SyntheticScene` and is written as a product like one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundshift.errors import UsageError
from groundshift.model.bands import BANDS
from groundshift.model.grid import Window
from groundshift.model.scl import SceneClass
from groundshift.testing import phenology, spectra
from groundshift.testing.changes import Changed
from groundshift.testing.geodesy import sun_position
from groundshift.testing.landscape import PARCELS_FROM, Ground, ground
from groundshift.testing.noise import hashed, smooth
from groundshift.testing.phenology import LandCover, Parcels
from groundshift.testing.safe import write_safe
from groundshift.testing.scenes import (
    DateOptions,
    SceneOptions,
    Surface,
    SyntheticScene,
    band_texture,
    river_row,
    texture_parts,
    textures,
    whole,
)

SERIES_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
TILE = "32UPU"
_PLACE = 11.5, 48.4
"""Longitude and latitude of the tile, for the sun."""
_MASKED = (SceneClass.NO_DATA, SceneClass.SATURATED, SceneClass.CLOUD_SHADOW, SceneClass.CLOUD_MEDIUM,
           SceneClass.CLOUD_HIGH, SceneClass.CIRRUS)  # fmt: skip
_STAND_PX = 44.0
_LAG_DAYS, _LAGS = 14.0, 5
"""Within a region spring comes earlier here and later there, by up to so many days; levels that are interpolated."""
_PATCHY = np.float32(0.22)
_SOIL_TONE = np.float32(0.18)
_GREEN_FROM = 0.35


@dataclass(frozen=True, kw_only=True)
class YearOptions:
    """A year over one landscape. Another seed is another place; another year has the same fields under other crops."""

    scene: SceneOptions = field(default_factory=lambda: SceneOptions(noise=0.006))
    year: int = 2021
    delay_days: float = 0.0
    """By which all seasons are late, -60..60: another climate."""
    amplitude: float = 1.0
    """Of the greenness, 0.5..1.3: a dry or a wet year."""
    sand: float = 0.0
    """Share of sand in the soil, 0..1: brighter and redder ground."""
    cloudiness: float = 0.45
    """Mean share of the sky under cloud, 0..0.8; more in winter. 0: no clouds at all."""

    def __post_init__(self) -> None:
        bounds = {"year": (2015, 2100), "delay_days": (-60, 60), "amplitude": (0.5, 1.3), "sand": (0, 1)}
        for name, (low, high) in {**bounds, "cloudiness": (0, 0.8)}.items():
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"{name} = {getattr(self, name)}: expected {low} to {high}.")


@dataclass(frozen=True, kw_only=True)
class SyntheticYear:
    """A year of images; nothing is drawn before a window is asked for."""

    options: YearOptions = field(default_factory=YearOptions)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) at 10 m."""
        return self.options.scene.shape

    def dates(self, every_days: int = 5) -> list[date]:
        """Days from the third of January on."""
        first = date(self.options.year, 1, 3)
        days = (first + timedelta(days=k) for k in range(0, 366, every_days))
        return [day for day in days if day.year == self.options.year]

    def scene(self, day: date) -> YearScene:
        """The image of one day."""
        return YearScene(options=self.options.scene, date=self._weather(day), number=day.toordinal(), year=self)

    def class_map(self, window: Window | None = None) -> NDArray[np.uint8]:
        """(y, x) at 10 m: codes of :class:`~groundshift.testing.phenology.LandCover`."""
        painted = self._painted(window or whole(self.shape))
        land: NDArray[np.uint8] = painted.parcels.land[painted.index]
        return land

    def parcel_map(self, window: Window | None = None) -> NDArray[np.int64]:
        """(y, x) at 10 m: a number above 0 for each field or stand; buildings, streets and gardens go by quarter."""
        window = window or whole(self.shape)
        painted = self._painted(window)
        land = painted.parcels.land[painted.index]
        town = np.isin(
            painted.land.cover, (spectra.Cover.ROOF, spectra.Cover.BUILT, spectra.Cover.ASPHALT, spectra.Cover.GARDEN)
        )
        quarter = _stands(self.options.scene.seed, window.y0, window.x0, *window.shape, land.astype(np.uint64))
        keys = np.where(town, quarter, painted.parcel)
        return np.asarray((keys >> np.uint64(12)).astype(np.int64) + 1)

    def series(
        self, window: Window | None = None, bands: Sequence[str] = SERIES_BANDS, days: Sequence[date] | None = None
    ) -> NDArray[np.float32]:
        """Reflectance of many days on the grid of 10 m: coarser bands are repeated, clouds are in it.

        Args:
            window: rows and columns at 10 m; None: everything.
            bands: canonical names.
            days: None: every fifth.

        Returns:
            (time, band, y, x) float32, 1.0 = 100 %.
        """
        window, days = window or whole(self.shape), self.dates() if days is None else days
        result = np.empty((len(days), len(bands), *window.shape), np.float32)
        for layers, day in zip(result, days, strict=True):
            scene = self.scene(day)
            for resolution_m in (10, 20, 60):
                chosen = [k for k, name in enumerate(bands) if BANDS[name].resolution_m == resolution_m]
                if chosen:
                    coarse, inside = _around(window, resolution_m // 10)
                    values = scene.reflectance(coarse, [bands[k] for k in chosen], resolution_m)
                    layers[chosen] = _repeated(values, resolution_m // 10)[:, *inside]
        return result

    def valid(self, window: Window | None = None, days: Sequence[date] | None = None) -> NDArray[np.bool_]:
        """(time, y, x) at 10 m: usable as the scene classification has it; cloud thinner than cirrus goes unnoticed."""
        window, days = window or whole(self.shape), self.dates() if days is None else days
        coarse, inside = _around(window, 2)
        usable = [~np.isin(self.scene(day).scl(coarse), _MASKED) for day in days]
        return np.stack([_repeated(layer[np.newaxis], 2)[0][inside] for layer in usable])

    def write_products(
        self, folder: str | os.PathLike[str], days: Sequence[date] | None = None, *, tile: str = TILE, **how: Any
    ) -> list[Path]:
        """Write a SAFE product of each day; ``how`` goes to :func:`~groundshift.testing.safe.write_safe`."""
        at = time(10, 10, 31, 24_000, tzinfo=UTC)
        return [
            write_safe(
                self.scene(day), folder, tile=tile, sensing_time=datetime.combine(day, at), relative_orbit=65, **how
            )
            for day in (self.dates() if days is None else days)
        ]

    def _weather(self, day: date) -> DateOptions:
        seed, number = self.options.scene.seed, np.array([day.toordinal()], np.uint64)
        draw = phenology.hashed_draws(seed + 997, 0, number, 8)[0]
        tilt = math.cos(2 * math.pi * (day.timetuple().tm_yday - 15) / 365)
        cloudiness = min(0.9, self.options.cloudiness * (1 + 0.35 * tilt))
        share = (0.5 - 0.5 * math.cos(math.pi * draw[0])) ** ((1 - cloudiness) / cloudiness) if cloudiness else 0.0
        zenith, azimuth = sun_position(datetime.combine(day, time(10, 10)), *_PLACE)
        return DateOptions(
            gain=1 + 0.05 * (draw[1] + draw[2] - 1),
            offset=0.008 * (draw[3] + draw[4] - 1),
            haze=0.015 * draw[5] ** 2,
            cloud_share=0.0 if share < 0.005 else min(0.9, share),
            cloud_height_m=800 + 2500 * draw[6],
            sun_zenith_deg=min(zenith, 75.0),
            sun_azimuth_deg=azimuth,
        )

    def _wet(self, day: date) -> float:
        """How much darker the soil is than when dry."""
        draw = phenology.hashed_draws(self.options.scene.seed + 998, 0, np.array([day.toordinal()], np.uint64), 1)
        return float(0.35 * draw[0, 0] * (1 + 0.3 * math.cos(2 * math.pi * day.timetuple().tm_yday / 365)))

    def _painted(self, window: Window) -> _Painted:
        """What all dates of a window share; the last three are kept: each resolution asks for its own."""
        kept = self._kept
        if window not in kept:
            while len(kept) > 2:
                kept.pop(next(iter(kept)))
            kept[window] = _Painted(self.options, window)
        return kept[window]

    @cached_property
    def _kept(self) -> dict[Window, _Painted]:
        return {}

    def __getstate__(self) -> dict[str, Any]:
        return {"options": self.options}


@dataclass(frozen=True, kw_only=True)
class YearScene(SyntheticScene):
    """One day of a year."""

    year: SyntheticYear

    @cached_property
    def day(self) -> date:
        """The day, in UTC."""
        return date.fromordinal(self.number)

    def _ground(self, window: Window) -> tuple[Ground, Changed | None]:
        return self.year._painted(window).land, None

    def _textures(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        painted = self.year._painted(window)
        return painted.fine, painted.broad

    def _painted(self, surface: Surface, band_id: int) -> NDArray[np.float32]:
        options, wide, land = self.options, surface.wide, surface.land
        painted, (green, values) = self.year._painted(wide), self._tables(wide)
        own = band_texture(options.seed + 301 + band_id, wide.y0, wide.x0, *wide.shape)
        tone = np.where(spectra.VEGETATED, spectra.VIGOUR[band_id], np.float32(0.5)).astype(np.float32)
        field: NDArray[np.float32] = _grown(
            (painted.index, land.cover, painted.lag),
            (green, np.ascontiguousarray(values[:, :, band_id])),
            (land.vigour, land.brightness, painted.soil),
            (surface.fine, surface.broad, own),
            texture_parts(options),
            (tone, spectra.PARCEL_SPREAD, spectra.FINE_TEXTURE, spectra.BROAD_TEXTURE, spectra.VIGOUR[band_id]),
        )
        return field

    def _classes(self, window: Window) -> NDArray[np.uint8]:
        painted, (green, _) = self.year._painted(window), self._tables(window)
        known, here = painted.parcels, green[:, _LAGS // 2]
        codes = np.where(here > _GREEN_FROM, SceneClass.VEGETATION, SceneClass.BARE).astype(np.uint8)
        codes[known.land == LandCover.WATER] = SceneClass.WATER
        classes: NDArray[np.uint8] = codes[painted.index]
        return classes

    def _tables(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(parcel, lag) green cover and (parcel, lag, band) reflectance of this day, for the parcels of a window."""
        known = self._kept.get("tables")
        if known is None or known[0] != window:
            options, parcels = self.year.options, self.year._painted(window).parcels
            first = self.day.timetuple().tm_yday - options.delay_days
            days = [first + _LAG_DAYS * (1 - 2 * k / (_LAGS - 1)) for k in range(_LAGS)]
            wet = self.year._wet(self.day)
            green = [phenology.greenness(parcels, day, options.amplitude) for day in days]
            values = [phenology.spectrum(parcels, day, g, wet) for day, g in zip(days, green, strict=True)]
            known = self._kept["tables"] = (
                window, np.stack(green, 1).astype(np.float32), np.stack(values, 1).astype(np.float32)
            )  # fmt: skip
        return known[1], known[2]


class _Painted:
    """A window of the landscape with everything that its dates share."""

    def __init__(self, options: YearOptions, window: Window) -> None:
        seed, place = options.scene.seed, (window.y0, window.x0, *window.shape)
        land = ground(seed, window.y0, window.x0, window.shape, river_row(options.scene.shape))
        stands = _stands(seed, *place, land.cover.astype(np.uint64))
        self.parcel: NDArray[np.uint64] = np.where(land.parcel < PARCELS_FROM, stands, land.parcel)
        keys, first, index = np.unique(self.parcel, return_index=True, return_inverse=True)
        self.index: NDArray[np.int32] = index.reshape(window.shape).astype(np.int32)
        tones = (2 * phenology.hashed_draws(seed + 431, 0, keys, 2) - 1).astype(np.float32)
        self.land = replace(land, vigour=tones[self.index, 0], brightness=tones[self.index, 1])
        cover = land.cover.ravel()[first]
        self.parcels: Parcels = phenology.parcels(seed, options.year, keys, cover, options.sand)
        self.fine, self.broad = textures(seed + 201, *place)
        self.lag = _broadly(seed + 401, *place, 520.0, 110.0)
        self.soil = _broadly(seed + 411, *place, 380.0, 60.0)


def _around(window: Window, factor: int) -> tuple[Window, tuple[slice, slice]]:
    """The pixels of a coarser grid that cover a window, and where it lies among theirs."""
    y0, x0 = window.y0 // factor, window.x0 // factor
    coarse = Window(y0, -(-window.y1 // factor), x0, -(-window.x1 // factor))
    return coarse, window.within(Window(y0 * factor, 0, x0 * factor, 0)).slices


def _repeated(values: NDArray[Any], factor: int) -> NDArray[Any]:
    return values if factor == 1 else values.repeat(factor, axis=1).repeat(factor, axis=2)


@njit(cache=True, nogil=True)
def _stands(seed, y0, x0, rows, columns, kind):  # type: ignore[no-untyped-def]
    """(y, x) keys of cells with winding borders, for what is not cut into parcels; different for each kind."""
    keys = np.empty((rows, columns), np.uint64)
    for i in range(rows):
        for j in range(columns):
            y, x = float(y0 + i), float(x0 + j)
            v = math.floor((y + 9.0 * smooth(seed + 421, y, x, 23.0)) / _STAND_PX)
            u = math.floor((x + 9.0 * smooth(seed + 422, y, x, 23.0)) / _STAND_PX)
            keys[i, j] = hashed(seed + 423, hashed(seed + 424, v, u), kind[i, j]) | np.uint64(256)
    return keys


@njit(cache=True, nogil=True)
def _broadly(seed, y0, x0, rows, columns, period, finer):  # type: ignore[no-untyped-def]
    """(y, x) smooth field in -1..1, most of it of the longer period."""
    field = np.empty((rows, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            y, x = float(y0 + i), float(x0 + j)
            field[i, j] = 0.7 * smooth(seed, y, x, period) + 0.3 * smooth(seed + 1, y, x, finer)
    return field


@njit(cache=True, nogil=True)
def _grown(places, tables, tones, patterns, parts, shares):  # type: ignore[no-untyped-def]
    """(y, x) reflectance of one band: the parcel's on a day earlier or later by the lag of the place, and texture."""
    (index, cover, lag), (green, value), (vigour, brightness, soil) = places, tables, tones
    (fine, broad, own), (shared, single), (tone, spread, fine_share, broad_share, thicker) = patterns, parts, shares
    one, half = np.float32(1), np.float32(0.5)
    field = np.empty(index.shape, np.float32)
    for i in range(index.shape[0]):
        for j in range(index.shape[1]):
            p, c = index[i, j], cover[i, j]
            level = (lag[i, j] + one) * half * np.float32(value.shape[1] - 1)
            k = min(max(int(level), 0), value.shape[1] - 2)
            t = level - np.float32(k)
            mean = value[p, k] + t * (value[p, k + 1] - value[p, k])
            plants = green[p, k] + t * (green[p, k + 1] - green[p, k])
            texture = shared * (fine_share[c] * fine[i, j] + broad_share[c] * broad[i, j])
            texture += single * fine_share[c] * own[i, j]
            patchy = shared * _PATCHY * plants * thicker * broad[i, j]
            parcel = spread[c] * (vigour[i, j] * tone[c] * half + np.float32(0.5) * brightness[i, j])
            ground = _SOIL_TONE * (one - plants) * soil[i, j]
            field[i, j] = mean * (one + texture) * max(np.float32(0.3), one + patchy + parcel + ground)
    return field
