"""Synthetic Sentinel-2 scenes and pairs with known truth: any window, any size, from a seed.

The law of the generator: cutting into blocks changes nothing. Every value is a function of options and place, so a
full tile is written strip by strip in bounded memory, and two processes draw the same image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundshift.errors import UsageError
from groundshift.model.bands import BANDS
from groundshift.model.grid import Window
from groundshift.model.scl import SceneClass
from groundshift.testing import spectra
from groundshift.testing.atmosphere import HAZE_SHAPE, haze, to_top
from groundshift.testing.changes import Blobs, Changed, blobs, changes
from groundshift.testing.clouds import CLOUD_SPECTRUM, SHADOW_DEPTH, Sky, shadow_offset_px, sky
from groundshift.testing.landscape import Ground, ground
from groundshift.testing.noise import add_fractal_row, add_smooth_row, filtered, gaussian, tail_scale
from groundshift.testing.spectra import TRUTH_NO_DATA, Change

_POINT_SPREAD_PX = 0.55
_CHANGE_FINE, _CHANGE_BROAD = 0.06, 0.08
_SWATH_LEAN = 0.22
"""Columns per row by which the swath's edge leans."""
_BAND_ID = {name: band.band_id for name, band in BANDS.items()}


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name} = {value}: expected {low} to {high}.")


@dataclass(frozen=True, kw_only=True)
class SceneOptions:
    """The ground and the sensor: what both dates of a pair share."""

    seed: int = 1
    """Of everything: two scenes of the same options are equal."""
    shape: tuple[int, int] = (600, 600)
    """(rows, columns) at 10 m, multiples of 6, up to the 10980 of a tile."""
    texture: float = 1.0
    """Strength of the texture within parcels, 0..3; 1 looks natural."""
    band_correlation: float = 0.6
    """Correlation between bands of texture and of date-to-date noise, 0..0.99."""
    noise: float = 0.005
    """Standard deviation of what differs from date to date, in reflectance; bands differ by ``NOISE_SHAPE``."""
    tail_dof: int | None = None
    """Even degrees of freedom of Student's t noise (4, 6 ...); None: Gaussian."""
    noise_range_px: float = 0.0
    """Correlation range of the noise in pixels, 0..5; 0: white."""

    def __post_init__(self) -> None:
        rows, columns = self.shape
        if min(rows, columns) < 6 or max(rows, columns) > 10980 or rows % 6 or columns % 6:
            raise UsageError(f"a scene of {rows} x {columns} pixels: expected multiples of 6 from 6 to 10980.")
        _within("texture", self.texture, 0, 3)
        _within("band_correlation", self.band_correlation, 0, 0.99)
        _within("noise", self.noise, 0, 0.1)
        _within("noise_range_px", self.noise_range_px, 0, 5)
        if self.tail_dof is not None and (self.tail_dof < 4 or self.tail_dof % 2):
            raise UsageError(f"tail_dof = {self.tail_dof}: expected an even number from 4 on.")


@dataclass(frozen=True, kw_only=True)
class DateOptions:
    """What is peculiar to one date."""

    gain: float = 1.0
    """Factor of the atmosphere on reflectance, 0.5..2."""
    offset: float = 0.0
    """Added reflectance, the same in all bands, -0.1..0.1."""
    haze: float = 0.0
    """Mean brightness of haze, stronger in short waves and growing over the image, 0..0.2."""
    season: float = 0.0
    """How much green covers thickened, relative, -0.5..0.5; each parcel in its own way."""
    shift_px: tuple[float, float] = (0.0, 0.0)
    """(rows, columns) by which the image is displaced, each -2..2."""
    cloud_share: float = 0.0
    """Share of the image under cloud, 0..0.9."""
    cloud_height_m: float = 1500.0
    sun_zenith_deg: float = 42.6
    sun_azimuth_deg: float = 49.0
    nodata_share: float = 0.0
    """Share of the image beyond the swath's edge, on its left, 0..0.9."""
    saturated_spots: int = 0
    """Number of glinting spots of a few pixels that saturate the sensor."""

    def __post_init__(self) -> None:
        _within("gain", self.gain, 0.5, 2)
        _within("offset", self.offset, -0.1, 0.1)
        _within("haze", self.haze, 0, 0.2)
        _within("season", self.season, -0.5, 0.5)
        _within("shift_px (rows)", self.shift_px[0], -2, 2)
        _within("shift_px (columns)", self.shift_px[1], -2, 2)
        _within("cloud_share", self.cloud_share, 0, 0.9)
        _within("cloud_height_m", self.cloud_height_m, 0, 12_000)
        _within("sun_zenith_deg", self.sun_zenith_deg, 0, 80)
        _within("sun_azimuth_deg", self.sun_azimuth_deg, 0, 360)
        _within("nodata_share", self.nodata_share, 0, 0.9)
        _within("saturated_spots", self.saturated_spots, 0, 100_000)


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """Two dates of one ground, and what changed between them."""

    scene: SceneOptions = field(default_factory=SceneOptions)
    before: DateOptions = field(default_factory=DateOptions)
    after: DateOptions = field(default_factory=lambda: DateOptions(gain=1.05, offset=0.004, haze=0.001, season=0.003))
    changed: float = 0.01
    """Share of the image under planted blobs, 0..0.35."""
    kinds: tuple[Change, ...] = (Change.FLOOD, Change.CLEAR_CUT, Change.BURN, Change.CONSTRUCTION)
    """Kinds of the blobs, drawn with equal chance."""
    edge_px: float = 2.0
    """Width of the soft rims of changes, 0.5..20."""
    flood_height: float = 0.0
    """How far the river rose, 0..5: 1 reaches about 300 m from the bank on flat ground; beside ``changed``."""
    harvest_share: float = 0.0
    """Share of the cereal and maize parcels harvested in between, 0..1; beside ``changed``."""

    def __post_init__(self) -> None:
        _within("changed", self.changed, 0, 0.35)
        _within("edge_px", self.edge_px, 0.5, 20)
        _within("flood_height", self.flood_height, 0, 5)
        _within("harvest_share", self.harvest_share, 0, 1)
        if not self.kinds or Change.NONE in self.kinds:
            raise UsageError("kinds of change: expected at least one, and none of them NONE.")


@dataclass(frozen=True, kw_only=True)
class SyntheticScene:
    """One date; what :func:`~groundshift.testing.safe.write_safe` writes. Windows count pixels of the resolution."""

    options: SceneOptions
    date: DateOptions
    number: int
    """0 for the date before, 1 for the date after: dates differ in noise and clouds."""
    pair: PairOptions | None = None
    """Changes that have happened by this date."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) at 10 m."""
        return self.options.shape

    @property
    def sun(self) -> tuple[float, float]:
        """(zenith, azimuth), degrees."""
        return self.date.sun_zenith_deg, self.date.sun_azimuth_deg

    @property
    def saturates(self) -> bool:
        """Whether some pixel is saturated."""
        return self.date.saturated_spots > 0

    def reflectance(self, window: Window, bands: Sequence[str], resolution_m: int = 10) -> NDArray[np.float32]:
        """Surface reflectance of a window.

        Args:
            window: rows and columns at ``resolution_m``.
            bands: canonical names.
            resolution_m: 10, 20 or 60, not finer than any of the bands.

        Returns:
            (band, y, x) float32, 1.0 = 100 %; NaN where there is no data, infinite where saturated.

        Raises:
            UsageError: a band is asked for finer than it is.
        """
        return self._look(window, bands, resolution_m, top=False)

    def top_of_atmosphere(self, window: Window, bands: Sequence[str], resolution_m: int = 10) -> NDArray[np.float32]:
        """The same as Level-1C has it."""
        return self._look(window, bands, resolution_m, top=True)

    def valid(self, window: Window, resolution_m: int = 10) -> NDArray[np.bool_]:
        """(y, x): the whole pixel lies within the swath."""
        fine = _at_10m(window, resolution_m)
        rows = np.arange(fine.y0, fine.y1)[:, np.newaxis]
        columns = np.arange(fine.x0, fine.x1)[np.newaxis, :]
        inside = np.asarray(columns >= self._swath_edge(rows))
        factor = resolution_m // 10
        grouped = inside.reshape(window.shape[0], factor, window.shape[1], factor)
        return np.asarray(grouped.all(axis=(1, 3)))

    def scl(self, window: Window) -> NDArray[np.uint8]:
        """(y, x) scene classification at 20 m: what most of the pixel is, under clouds and shadows."""
        fine, margin = _at_10m(window, 20), self._margin
        result: NDArray[np.uint8] = _majority(self._classes(_widened(fine, margin))[margin:-margin, margin:-margin])
        if self._sky is not None:
            cloud, shadow = (a[::2, ::2] for a in self._sky.opacity(fine.y0, fine.x0, fine.shape))
            result[shadow >= 0.15] = SceneClass.CLOUD_SHADOW
            for least, code in (
                (0.03, SceneClass.CIRRUS),
                (0.2, SceneClass.CLOUD_MEDIUM),
                (0.6, SceneClass.CLOUD_HIGH),
            ):
                result[cloud >= least] = code
        result[self._saturated(fine)[::2, ::2]] = SceneClass.SATURATED
        result[~self.valid(window, 20)] = SceneClass.NO_DATA
        return result

    def _look(self, window: Window, bands: Sequence[str], resolution_m: int, *, top: bool) -> NDArray[np.float32]:
        for name in bands:
            if name not in BANDS or BANDS[name].resolution_m > resolution_m:
                raise UsageError(f"band {name} at {resolution_m} m: expected a band name, and no finer than it is.")
        fine = _at_10m(window, resolution_m)
        result = np.empty((len(bands), *window.shape), np.float32)
        surface = Surface(self, fine)
        for layer, name in enumerate(bands):
            clean = surface.band(_BAND_ID[name])
            if top:
                clean = to_top(clean[np.newaxis], np.array([_BAND_ID[name]]))[0]
            native = BANDS[name].resolution_m
            seen = _mean(clean, native // 10)
            seen += surface.noise(name, seen.shape)
            result[layer] = _mean(seen, resolution_m // native)
        result[:, ~self.valid(window, resolution_m)] = np.nan
        if self.saturates:
            factor = resolution_m // 10
            hot = self._saturated(fine).reshape(window.shape[0], factor, window.shape[1], factor).any(axis=(1, 3))
            result[:, hot & self.valid(window, resolution_m)] = np.inf
        return result

    def _classes(self, window: Window) -> NDArray[np.uint8]:
        """(y, x) at 10 m: scene classification of the ground."""
        land, changed = self._ground(window)
        classes = spectra.COVER_SCL[land.cover]
        if changed is not None:
            classes = np.where(changed.truth > 0, spectra.CHANGE_SCL[changed.truth], classes)
        return np.asarray(classes, np.uint8)

    def _painted(self, surface: Surface, band_id: int) -> NDArray[np.float32]:
        """(y, x) at 10 m: reflectance of one band on the ground of a widened window, before blur and atmosphere."""
        options, land, wide = self.options, surface.land, surface.wide
        own = band_texture(options.seed + 301 + band_id, wide.y0, wide.x0, *wide.shape)
        tables = spectra.COVER_SPECTRA[:, band_id].copy(), _tone(band_id), spectra.PARCEL_SPREAD
        season = np.float32(self.date.season) * _phenology(band_id)
        parts = texture_parts(options)
        field: NDArray[np.float32] = _signal(
            land.cover, land.vigour, land.brightness, surface.fine, surface.broad, own, parts, tables, season,
            spectra.FINE_TEXTURE, spectra.BROAD_TEXTURE,
        )  # fmt: skip
        if surface.changed is not None:
            target = spectra.CHANGE_SPECTRA[:, band_id].copy()
            _mix(field, surface.changed.amount, surface.changed.kind, target, surface.fine, surface.broad, parts[0])
        return field

    def _textures(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(fine, broad) textures that all bands share."""
        drawn: tuple[NDArray[np.float32], NDArray[np.float32]]
        drawn = textures(self.options.seed + 201, window.y0, window.x0, *window.shape)
        return drawn

    def _ground(self, window: Window) -> tuple[Ground, Changed | None]:
        """Ground and changes of a window at 10 m; the last is kept, since all resolutions ask for the same."""
        if self._kept.get("window") != window:
            self._kept.clear()
            self._kept.update(window=window, drawn=self._draw_ground(window))
        drawn: tuple[Ground, Changed | None] = self._kept["drawn"]
        return drawn

    def _draw_ground(self, window: Window) -> tuple[Ground, Changed | None]:
        land = ground(self.options.seed, window.y0, window.x0, window.shape, river_row(self.shape))
        if self.pair is None or self._blobs is None:
            return land, None
        pair = self.pair
        place = window.y0, window.x0
        return land, changes(self._blobs, land, *place, pair.edge_px, pair.flood_height, pair.harvest_share)

    @cached_property
    def _kept(self) -> dict[str, Any]:
        return {}

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key in self.__dataclass_fields__}

    def _swath_edge(self, rows: NDArray[np.int_]) -> NDArray[np.float64]:
        """First column within the swath."""
        if self.date.nodata_share == 0:
            return np.zeros(rows.shape)
        middle = self.date.nodata_share * self.shape[1]
        lean = min(_SWATH_LEAN, 1.9 * min(middle, self.shape[1] - middle) / self.shape[0])
        return np.asarray(middle - lean * (rows - self.shape[0] / 2), np.float64)

    def _saturated(self, fine: Window) -> NDArray[np.bool_]:
        """(y, x) at 10 m: within a glinting spot of 4 x 4 pixels, which coincides with pixels of 20 m."""
        hot = np.zeros(fine.shape, bool)
        rng = np.random.default_rng([self.options.seed, 6, self.number])
        for y, x in rng.integers(0, np.array(self.shape) // 4, (self.date.saturated_spots, 2)) * 4:
            hot[max(0, y - fine.y0) : max(0, y + 4 - fine.y0), max(0, x - fine.x0) : max(0, x + 4 - fine.x0)] = True
        return hot

    @property
    def _margin(self) -> int:
        """Pixels beyond a window that its blur and displacement look at."""
        return 2 + math.ceil(max(abs(self.date.shift_px[0]), abs(self.date.shift_px[1])))

    @cached_property
    def _blobs(self) -> Blobs | None:
        if self.pair is None:
            return None
        seed = self.options.seed
        return blobs(seed, seed, self.shape, self.pair.changed, self.pair.kinds, river_row(self.shape))

    @cached_property
    def _sky(self) -> Sky | None:
        date = self.date
        away = shadow_offset_px(date.cloud_height_m, date.sun_zenith_deg, date.sun_azimuth_deg)
        return sky(self.options.seed * 31 + 17 + 1000 * self.number, self.shape, date.cloud_share, away)


class Surface:
    """A window at 10 m, with everything that its bands share."""

    def __init__(self, scene: SyntheticScene, window: Window) -> None:
        self.scene, self.window = scene, window
        date = scene.date
        self.margin = scene._margin
        self.wide = wide = _widened(window, self.margin)
        self.land, self.changed = scene._ground(wide)
        self.fine, self.broad = scene._textures(wide)
        rows = np.arange(window.y0, window.y1) / scene.shape[0]
        columns = np.arange(window.x0, window.x1) / scene.shape[1]
        self.haze = haze(rows, columns, date.haze)
        self.sky = scene._sky.opacity(window.y0, window.x0, window.shape) if scene._sky else None
        self.shared: dict[int, NDArray[np.float32]] = {}

    def band(self, band_id: int) -> NDArray[np.float32]:
        """Reflectance of one band without noise, at 10 m."""
        date, field = self.scene.date, self.scene._painted(self, band_id)
        seen = filtered(field, _taps(date.shift_px[0], self.margin), _taps(date.shift_px[1], self.margin))
        return self._through(seen, band_id)

    def _through(self, seen: NDArray[np.float32], band_id: int) -> NDArray[np.float32]:
        """Shadow, atmosphere and cloud."""
        date = self.scene.date
        if self.sky is not None:
            seen = seen * (1 - SHADOW_DEPTH[band_id] * self.sky[1])
        seen = np.float32(date.gain) * seen + np.float32(date.offset) + HAZE_SHAPE[band_id] * self.haze
        if self.sky is not None:
            seen += self.sky[0] * (CLOUD_SPECTRUM[band_id] - seen)
        return seen

    def noise(self, name: str, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Date-to-date noise of one band at its own resolution."""
        options, factor = self.scene.options, BANDS[name].resolution_m // 10
        y0, x0 = self.window.y0 // factor, self.window.x0 // factor
        seed = (options.seed * 1009 + 97 * self.scene.number + factor) * 64
        if factor not in self.shared:
            self.shared[factor] = gaussian(seed, y0, x0, shape, options.noise_range_px)
        own = gaussian(seed + 1 + _BAND_ID[name], y0, x0, shape, options.noise_range_px)
        rho = options.band_correlation
        mixed = np.float32(math.sqrt(rho)) * self.shared[factor] + np.float32(math.sqrt(1 - rho)) * own
        if options.tail_dof is not None:
            mixed *= tail_scale(seed + 63, y0, x0, *shape, options.tail_dof)
        result: NDArray[np.float32] = np.float32(options.noise) * spectra.NOISE_SHAPE[_BAND_ID[name]] * mixed
        return result


@dataclass(frozen=True, kw_only=True)
class SyntheticPair:
    """Two dates and the truth between them."""

    options: PairOptions
    before: SyntheticScene
    after: SyntheticScene

    def truth(self, window: Window) -> NDArray[np.uint8]:
        """(y, x) at 10 m: codes of :class:`Change`, 255 where one of the two dates has no data."""
        _, changed = self.after._ground(window)
        truth = np.zeros(window.shape, np.uint8) if changed is None else changed.truth
        truth[~(self.before.valid(window) & self.after.valid(window))] = TRUTH_NO_DATA
        return truth

    def amount(self, window: Window) -> NDArray[np.float32]:
        """(y, x) at 10 m: share of the pixel that changed, 0..1; above 0 in the soft rims that the truth leaves out."""
        _, changed = self.after._ground(window)
        return np.zeros(window.shape, np.float32) if changed is None else changed.amount


def pair(options: PairOptions) -> SyntheticPair:
    """Return two dates of one ground; nothing is drawn before a window is asked for."""
    before = SyntheticScene(options=options.scene, date=options.before, number=0)
    after = SyntheticScene(options=options.scene, date=options.after, number=1, pair=options)
    return SyntheticPair(options=options, before=before, after=after)


def whole(shape: tuple[int, int], resolution_m: int = 10) -> Window:
    """The window that covers a scene of that shape at 10 m."""
    return Window(0, shape[0] * 10 // resolution_m, 0, shape[1] * 10 // resolution_m)


def _at_10m(window: Window, resolution_m: int) -> Window:
    if resolution_m not in (10, 20, 60):
        raise UsageError(f"{resolution_m} m: expected 10, 20 or 60.")
    f = resolution_m // 10
    return Window(window.y0 * f, window.y1 * f, window.x0 * f, window.x1 * f)


def _widened(window: Window, margin: int) -> Window:
    return Window(window.y0 - margin, window.y1 + margin, window.x0 - margin, window.x1 + margin)


def river_row(shape: tuple[int, int]) -> float:
    """A river runs near the middle of every scene."""
    return 0.55 * shape[0]


def _mean(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    if factor == 1:
        return values
    rows, columns = values.shape[0] // factor, values.shape[1] // factor
    result: NDArray[np.float32] = _block_mean(values, rows, columns, factor)
    return result


def texture_parts(options: SceneOptions) -> tuple[np.float32, np.float32]:
    """Heights of the texture that all bands share, and of that which each has for itself."""
    rho = options.band_correlation
    return np.float32(options.texture * math.sqrt(rho)), np.float32(options.texture * math.sqrt(1 - rho))


def _tone(band_id: int) -> NDArray[np.float32]:
    """(cover) how the parcel's vigour shows in a band: thickening in green covers, brightness elsewhere."""
    tone: NDArray[np.float32] = np.where(spectra.VEGETATED, spectra.VIGOUR[band_id], np.float32(0.5))
    return tone.astype(np.float32)


def _phenology(band_id: int) -> NDArray[np.float32]:
    """(cover) relative change of a band per unit of season."""
    table: NDArray[np.float32] = np.where(spectra.VEGETATED, spectra.VIGOUR[band_id], np.float32(0)).astype(np.float32)
    return table


def _taps(shift_px: float, margin: int) -> NDArray[np.float32]:
    """Point spread, displaced by a shift: one filter both blurs and moves."""
    taps = np.exp(-0.5 * ((np.arange(-margin, margin + 1) + shift_px) / _POINT_SPREAD_PX) ** 2)
    result: NDArray[np.float32] = (taps / taps.sum()).astype(np.float32)
    return result


@njit(cache=True, nogil=True)
def _block_mean(values, rows, columns, factor):  # type: ignore[no-untyped-def]
    result = np.empty((rows, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            total = np.float32(0)
            for k in range(factor):
                for m in range(factor):
                    total += values[i * factor + k, j * factor + m]
            result[i, j] = total / np.float32(factor * factor)
    return result


@njit(cache=True, nogil=True)
def _majority(classes):  # type: ignore[no-untyped-def]
    """(y, x) at 20 m: the most frequent of four codes, the first of equals."""
    rows, columns = classes.shape[0] // 2, classes.shape[1] // 2
    result = np.empty((rows, columns), np.uint8)
    for i in range(rows):
        for j in range(columns):
            four = (
                classes[2 * i, 2 * j],
                classes[2 * i, 2 * j + 1],
                classes[2 * i + 1, 2 * j],
                classes[2 * i + 1, 2 * j + 1],
            )
            best = 0
            for a in four:
                votes = 0
                for b in four:
                    votes += a == b
                if votes > best:
                    best = votes
                    result[i, j] = a
    return result


@njit(cache=True, nogil=True)
def textures(seed, y0, x0, rows, columns):  # type: ignore[no-untyped-def]
    """(fine, broad) textures that all bands share, each about unit variance."""
    fine = np.zeros((rows, columns), np.float32)
    broad = np.zeros((rows, columns), np.float32)
    for i in range(rows):
        add_smooth_row(fine[i], np.float32(2.6), seed, y0 + i, x0, 2.3)
        add_fractal_row(broad[i], np.float32(3.4), seed + 1, y0 + i, x0, 60.0, 3)
    return fine, broad


@njit(cache=True, nogil=True)
def band_texture(seed, y0, x0, rows, columns):  # type: ignore[no-untyped-def]
    """Texture that one band has for itself, about unit variance."""
    field = np.zeros((rows, columns), np.float32)
    for i in range(rows):
        add_smooth_row(field[i], np.float32(2.6), seed, y0 + i, x0, 3.7)
    return field


@njit(cache=True, nogil=True)
def _signal(cover, vigour, brightness, fine, broad, own, parts, tables, season, fine_share, broad_share):  # type: ignore[no-untyped-def]
    """Reflectance of one band on the ground."""
    spectrum, tone, spread = tables
    shared, single = parts
    rows, columns = cover.shape
    field = np.empty((rows, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            c = cover[i, j]
            parcel = spread[c] * (vigour[i, j] * tone[c] + np.float32(0.6) * brightness[i, j])
            texture = shared * (fine_share[c] * fine[i, j] + broad_share[c] * broad[i, j])
            texture += single * fine_share[c] * own[i, j]
            grown = season[c] * (np.float32(1) + np.float32(0.5) * vigour[i, j])
            value = spectrum[c] * (np.float32(1) + parcel) * (np.float32(1) + texture) * (np.float32(1) + grown)
            field[i, j] = max(value, np.float32(0.2) * spectrum[c])
    return field


@njit(cache=True, nogil=True)
def _mix(field, amount, kind, target, fine, broad, texture):  # type: ignore[no-untyped-def]
    """Replace the changed share of each pixel, in place."""
    rows, columns = field.shape
    for i in range(rows):
        for j in range(columns):
            share = amount[i, j]
            if share > 0:
                grain = texture * (np.float32(_CHANGE_FINE) * fine[i, j] + np.float32(_CHANGE_BROAD) * broad[i, j])
                field[i, j] += share * (target[kind[i, j]] * (np.float32(1) + grain) - field[i, j])
