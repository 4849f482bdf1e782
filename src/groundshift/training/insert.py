"""Changes put into an image: of any size, shape and kind, in spectra of real and drawn ground, with soft borders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from groundshift.training.covers import COVERS, spectrum
from groundshift.training.disturb import covers, vegetation, water
from groundshift.training.fields import SIZE, Bank, Image
from groundshift.training.places import BAND_IDS, BANDS

_LARGEST = SIZE * SIZE // 3
_HUGE = 0.25
"""Share of the images in which one change covers a third to nine tenths: a part of what is larger than the image."""
_SMALL, _MANY_SMALL = 40, 0.3
"""Pixels that no change of an image exceeds, and the share of the images of which this is so."""
_MOST = 9
_FLOODS = ("lake", "turbid water", "brown water", "shallow", "mud", "wetland")
_BARE = ("brown soil", "dark soil", "stubble", "dry grass", "laterite", "gravel", "river sand", "burnt", "pale sand")
_BUILT = ("white roof", "metal roof", "concrete", "built", "asphalt", "tiles", "blue roof", "greenhouse", "quarry")
_DARKER = np.array([0.75, 0.7, 0.75, 0.65, 0.5, 0.45, 0.4, 0.42, 0.85, 1.1], np.float32)
"""(band) reflectance after over before of burnt plants."""


@dataclass(frozen=True, eq=False)
class Inserted:
    """An image with changes."""

    image: Image
    """(10, y, x)"""
    amount: Image
    """(y, x) share of the pixel that changed, 0 to 1."""


@dataclass(frozen=True, eq=False)
class Elsewhere:
    """Ground of another place to take changes from."""

    image: Image
    """(10, y, x)"""
    clear: NDArray[np.bool_]


def inserted(rng: np.random.Generator, bank: Bank, image: Image, other: Elsewhere) -> Inserted:
    """Put up to nine changes into an image, none now and then."""
    out, amount = image.copy(), np.zeros(image.shape[1:], np.float32)
    small = rng.random() < _MANY_SMALL
    count = int(min(_MOST, rng.geometric(0.15 if small else 0.3)))
    sizes = np.exp(rng.uniform(np.log(2), np.log(_SMALL if small else _LARGEST), count))
    if not small and rng.random() < _HUGE:
        sizes[0] = rng.uniform(0.3, 0.9) * SIZE * SIZE
    for size in sizes:
        if amount.mean() > 0.5:
            break
        mask = _shape(rng, bank, image, float(size))
        if mask is None or not mask.any():
            continue
        new, weight = _content(rng, bank, image, other, small=size < 40)
        soft = _softened(rng, mask, float(size)) * weight
        share = np.float32(1 if rng.random() < 0.5 else rng.uniform(0.3, 1))
        out = out + (soft * share) * (new - out)
        amount = np.maximum(amount, soft)
    return Inserted(np.asarray(out, np.float32), amount)


def _softened(rng: np.random.Generator, mask: NDArray[np.bool_], size: float) -> Image:
    sigma = rng.uniform(0.35, 0.8) if size < 300 or rng.random() < 0.7 else rng.uniform(1, 3)
    soft = ndimage.gaussian_filter(mask.astype(np.float32), sigma, truncate=3)
    soft[soft < 0.01] = 0
    return np.asarray(soft)


def _shape(rng: np.random.Generator, bank: Bank, image: Image, size: float) -> NDArray[np.bool_] | None:
    """A blob, a box, a line, or what lies together in the image, of about so many pixels."""
    kind = rng.random()
    if size >= 30 and kind < 0.3:
        return _together(rng, image, size)
    if kind < 0.55:
        return _box(rng, size)
    if kind < 0.63 and size < 600:
        return _line(rng, size)
    return _blob(rng, bank, size)


def _offsets(rng: np.random.Generator) -> tuple[Image, Image]:
    y0, x0 = rng.uniform(-0.05, 1.05, 2) * SIZE
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    return y - np.float32(y0), x - np.float32(x0)


def _blob(rng: np.random.Generator, bank: Bank, size: float) -> NDArray[np.bool_]:
    dy, dx = _offsets(rng)
    turn, flat = rng.uniform(0, np.pi), np.sqrt(rng.uniform(0.25, 1))
    along, across = dy * np.cos(turn) - dx * np.sin(turn), dy * np.sin(turn) + dx * np.cos(turn)
    radius = np.sqrt(size / np.pi)
    ragged = bank.crop(rng, bank.smooth[4:], float(rng.choice([0.7, 1.5]))) * radius * rng.uniform(0, 0.7)
    distance = np.hypot(along / flat, across * flat) + ragged
    return np.asarray(distance <= np.partition(distance.ravel(), int(size) - 1)[int(size) - 1])


def _box(rng: np.random.Generator, size: float) -> NDArray[np.bool_]:
    dy, dx = _offsets(rng)
    turn, flat = rng.uniform(0, np.pi), np.sqrt(rng.uniform(0.3, 1))
    along, across = dy * np.cos(turn) - dx * np.sin(turn), dy * np.sin(turn) + dx * np.cos(turn)
    half = np.sqrt(size) / 2
    return np.asarray((np.abs(along) <= half * flat) & (np.abs(across) <= half / flat))


def _line(rng: np.random.Generator, size: float) -> NDArray[np.bool_]:
    dy, dx = _offsets(rng)
    turn, width = rng.uniform(0, np.pi), rng.uniform(0.5, 2)
    along, across = dy * np.cos(turn) - dx * np.sin(turn), dy * np.sin(turn) + dx * np.cos(turn)
    bend = rng.normal(0, 0.003) * along**2
    return np.asarray((np.abs(across + bend) <= width) & (np.abs(along) <= size / (4 * width)))


def _together(rng: np.random.Generator, image: Image, size: float) -> NDArray[np.bool_] | None:
    """Ground of one kind around a random pixel: a field, a stand of trees, a lake."""
    green, tone = covers(image)
    y, x = rng.integers(0, SIZE, 2)
    same = np.abs(green - green[y, x]) <= 1
    if rng.random() < 0.6:
        same &= np.abs(tone - tone[y, x]) <= 1
    labels, _ = ndimage.label(ndimage.binary_opening(same))
    mask = (labels == labels[y, x]) & same if labels[y, x] else same
    dy, dx = np.mgrid[:SIZE, :SIZE]
    distance = np.where(mask, np.hypot(dy - y, dx - x), np.inf).ravel()
    least = min(int(size), int(mask.sum())) - 1
    return None if least < 1 else mask & (distance.reshape(SIZE, SIZE) <= np.partition(distance, least)[least])


def _content(
    rng: np.random.Generator, bank: Bank, image: Image, other: Elsewhere, *, small: bool
) -> tuple[Image, Image]:
    """What comes there, (10, y, x), and where it can, (y, x) 0 to 1."""
    kinds: list[Callable[[], tuple[Image, Image]]] = [
        lambda: (other.image, other.clear.astype(np.float32)),
        lambda: (_plain(rng, bank, image, _real_pixel(rng, other)), np.ones(image.shape[1:], np.float32)),
        lambda: (_plain(rng, bank, image, _real_pixel(rng, Elsewhere(image, other.clear))), _ones(image)),
        lambda: (_burnt(rng, bank, image), np.clip(3 * vegetation(image), 0, 1)),
        lambda: (_plain(rng, bank, image, _named(rng, _FLOODS), smooth=True), 1 - water(image)),
        lambda: (_plain(rng, bank, image, _named(rng, _BARE)), _ones(image)),
        lambda: (_plain(rng, bank, image, _named(rng, _BUILT)), _ones(image)),
        lambda: (_plain(rng, bank, image, _named(rng, tuple(COVERS))), _ones(image)),
        lambda: (_faded(rng, image), np.clip(3 * vegetation(image), 0, 1)),
    ]
    chance = np.array([0.2, 0.14, 0.14, 0.12, 0.1, 0.1, 0.08, 0.06, 0.06])
    if small:
        chance = np.array([0.1, 0.15, 0.2, 0.08, 0.05, 0.12, 0.22, 0.06, 0.02])
    return kinds[rng.choice(len(kinds), p=chance)]()


def _ones(image: Image) -> Image:
    return np.ones(image.shape[1:], np.float32)


def _real_pixel(rng: np.random.Generator, other: Elsewhere) -> Image:
    rows, columns = np.nonzero(other.clear)
    if not len(rows):
        return other.image[:, SIZE // 2, SIZE // 2]
    k = rng.integers(len(rows))
    return other.image[:, rows[k], columns[k]]


def _named(rng: np.random.Generator, names: tuple[str, ...]) -> Image:
    colour = spectrum(names[rng.integers(len(names))])[BAND_IDS]
    return np.asarray(colour * np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.08, len(BANDS))), np.float32)


def _plain(rng: np.random.Generator, bank: Bank, image: Image, colour: Image, *, smooth: bool = False) -> Image:
    """One colour with texture: some of what was there, some of its own."""
    tone = np.log(image.sum(axis=0) + 0.05)
    old = np.clip(tone - ndimage.uniform_filter(tone, 9), -0.5, 0.5) * np.float32(
        rng.uniform(0, 0.1 if smooth else 0.7)
    )
    own = bank.crop(rng, bank.smooth[:6]) * np.float32(rng.uniform(0, 0.04 if smooth else 0.15))
    return np.asarray(colour[:, None, None] * np.exp(old + own)[None], np.float32)


def _burnt(rng: np.random.Generator, bank: Bank, image: Image) -> Image:
    """Plants after a fire: darker above all in the near infrared, more here and less there."""
    severity = rng.uniform(0.4, 1.5) + rng.uniform(0, 0.3) * bank.crop(rng, bank.smooth[4:])
    factor = np.log(_DARKER) + rng.normal(0, 0.12, len(BANDS))
    return np.asarray(image * np.exp(factor[:, None, None] * np.clip(severity, 0.2, 2)[None]), np.float32)


def _faded(rng: np.random.Generator, image: Image) -> Image:
    """Plants that went or came: towards bare ground, or towards dense green."""
    names = _BARE[:4] if rng.random() < 0.7 else ("crop", "pasture", "broadleaf")
    share = np.float32(rng.uniform(0.5, 0.9))
    return np.asarray(image * (1 - share) + share * _named(rng, names)[:, None, None], np.float32)


def magnitude(before: Image, after: Image, present: NDArray[np.bool_]) -> Image:
    """(y, x) how much two images differ: root mean square over the bands of logarithms of (reflectance + 0.03)."""
    one, two = (np.log(np.maximum(image[present], 0) + np.float32(0.03)) for image in (before, after))
    return np.asarray(np.sqrt(((one - two) ** 2).mean(axis=0)))


def peculiar(before: Image, after: Image, present: NDArray[np.bool_], among: NDArray[np.bool_]) -> Image:
    """(y, x) how much two images differ beside what half of some pixels have in common: as :func:`magnitude`."""
    one, two = (np.log(np.maximum(image[present], 0) + np.float32(0.03)) for image in (before, after))
    difference = two - one
    if among.any():
        difference -= np.median(difference[:, among], axis=1)[:, None, None]
    return np.asarray(np.sqrt((difference**2).mean(axis=0)))
