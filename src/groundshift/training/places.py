"""Places that a network learns from: one or several dates of one ground, cut into windows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError
from groundshift.model.bands import BANDS as ALL_BANDS
from groundshift.training.fields import SIZE, Image

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
"""What the change network knows."""
BAND_IDS = np.array([ALL_BANDS[name].band_id for name in BANDS])
BLUE, GREEN, RED, NIR, SWIR = (BANDS.index(name) for name in ("B02", "B03", "B04", "B08", "B11"))
NEAR_DAYS = 8
"""Days between two dates at most, for their ground to count as unchanged but for light and air."""
_TRIES = 12


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """One ground at one or several dates, on one grid."""

    name: str
    bands: tuple[str, ...]
    """Of :data:`BANDS`, in their order."""
    images: Image
    """(date, band, y, x) reflectance, finite."""
    clear: NDArray[np.bool_]
    """(date, y, x) True = usable."""
    days: NDArray[np.float64]
    """(date,) day number; the difference tells which dates are near."""
    weight: float = 1.0
    """How often it is drawn, relative to others."""

    def __post_init__(self) -> None:
        dates, bands, rows, columns = self.images.shape
        if self.clear.shape != (dates, rows, columns) or bands != len(self.bands) or len(self.days) != dates:
            raise InputError(
                f"{self.name}: images, clear and days of shapes {self.images.shape}, {self.clear.shape} and "
                f"{self.days.shape} do not fit each other and {len(self.bands)} bands"
            )

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Dates whose ground counts as unchanged."""
        return [(i, j) for i, j in self._both if abs(self.days[i] - self.days[j]) <= NEAR_DAYS]

    @property
    def far_pairs(self) -> list[tuple[int, int]]:
        """Dates of different seasons, whose ground has mostly changed as plants do."""
        return [(i, j) for i, j in self._both if abs(self.days[i] - self.days[j]) > NEAR_DAYS]

    @property
    def _both(self) -> list[tuple[int, int]]:
        return list(permutations(range(len(self.days)), 2))


@dataclass(frozen=True, eq=False)
class Cut:
    """A window of a place, or drawn ground: what was there before, and unless it is one date, at another."""

    before: Image
    """(10, y, x) in the order of :data:`BANDS`; absent bands are 0."""
    after: Image | None
    present: NDArray[np.bool_]
    clear: NDArray[np.bool_]
    """(y, x) usable at both dates."""
    far: bool = False
    """The dates are of different seasons."""


def cut(rng: np.random.Generator, place: Place, *, twice: bool, far: bool = False) -> Cut | None:
    """A random window, turned at random; None where too little of it is clear.

    Args:
        rng: random numbers.
        place: mirrored at its borders where it is smaller than a window.
        twice: of two near dates, where the place has such.
        far: rather of two dates of different seasons, where it has such.
    """
    apart = place.far_pairs if twice and far else []
    pairs = apart or (place.pairs if twice else [])
    one, other = pairs[rng.integers(len(pairs))] if pairs else (int(rng.integers(len(place.days))), None)
    both = place.clear[one] if other is None else place.clear[one] & place.clear[other]
    rows, columns = both.shape
    factor = 2 if min(rows, columns) >= 2.5 * SIZE and rng.random() < 0.25 else 1
    for _ in range(_TRIES):
        y, x = (_mirrored(int(rng.integers(0, max(n - factor * SIZE, 0) + 1)), factor * SIZE, n) for n in both.shape)
        clear = both[y[:, None], x]
        if clear.mean() > 0.6:
            break
    else:
        return None
    turn = int(rng.integers(8))
    clear = _turned(clear if factor == 1 else clear.reshape(SIZE, 2, SIZE, 2).all(axis=(1, 3)), turn)
    dates = [_spread(_coarser(place.images[k][:, y[:, None], x], factor), place.bands, turn)
             for k in (one, other) if k is not None]  # fmt: skip
    present = np.isin(BANDS, place.bands)
    return Cut(dates[0], dates[1] if other is not None else None, present, clear, bool(apart))


def _coarser(image: Image, factor: int) -> Image:
    return image if factor == 1 else image.reshape(len(image), SIZE, factor, SIZE, factor).mean(axis=(2, 4))


def _spread(image: Image, bands: tuple[str, ...], turn: int) -> Image:
    out = np.zeros((len(BANDS), *image.shape[1:]), np.float32)
    for layer, name in zip(image, bands, strict=True):
        out[BANDS.index(name)] = _turned(layer, turn)
    return out


def _turned(layer: NDArray, turn: int) -> NDArray:  # type: ignore[type-arg]
    turned = np.rot90(layer, turn % 4)
    return np.ascontiguousarray(turned[::-1] if turn >= 4 else turned)


def _mirrored(start: int, size: int, length: int) -> NDArray[np.intp]:
    index = (start + np.arange(size)) % (2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)


def save(place: Place, path: Path) -> None:
    """Write a place as a compressed numpy file."""
    kept = {name: getattr(place, name) for name in ("clear", "days")}
    np.savez_compressed(
        path, name=place.name, bands=place.bands, weight=place.weight, images=place.images.astype(np.float16), **kept
    )


def load(path: Path) -> Place:
    """Read what :func:`save` wrote, or any such file: arrays by the names of the fields.

    Raises:
        InputError: it is not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            return Place(
                name=str(held["name"]),
                bands=tuple(map(str, held["bands"])),
                images=held["images"].astype(np.float32),
                clear=held["clear"].astype(bool),
                days=held["days"].astype(np.float64),
                weight=float(held["weight"]) if "weight" in held else 1.0,
            )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not a place to train on ({error})") from error
