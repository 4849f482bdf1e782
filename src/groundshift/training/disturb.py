"""What differs between two images of unchanged ground: season, light, air, calibration, view, and noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from groundshift.testing.atmosphere import HAZE_SHAPE, to_top
from groundshift.testing.spectra import NOISE_SHAPE, VIGOUR
from groundshift.training.fields import Bank, Image
from groundshift.training.places import BAND_IDS, BLUE, GREEN, NIR, RED

_BRIGHTEST = 1.6
_COVERS = 6


def season(rng: np.random.Generator, bank: Bank, image: Image, *, far: bool = False) -> Image:
    """Greener or drier plants and wetter or drier soil, each cover and parcel in its own way; far: months apart."""
    green, wet = vegetation(image), water(image)
    kind = covers(image)
    strength = rng.uniform(0.3, 0.8) if far else rng.choice([0.05, 0.15, 0.3, 0.6], p=[0.4, 0.3, 0.2, 0.1])
    table = rng.normal(0, strength) + rng.normal(0, 0.4 * strength, (_COVERS, _COVERS))
    vigour = table[kind].astype(np.float32) + bank.crop(rng, bank.smooth[8:]) * np.float32(0.2 * strength)
    if rng.random() < (0.7 if far else 0.4):
        vigour += bank.crop(rng, bank.parcels, float(rng.choice([0.5, 1.0]))) * np.float32(0.4 * strength)
    tone = rng.normal(0, 0.5 * strength) + rng.normal(0, 0.15 * strength, (_COVERS, _COVERS))
    factor = VIGOUR[BAND_IDS][:, None, None] * (np.clip(vigour, -1, 0.8) * green)[None]
    factor = factor + (np.clip(tone[kind], -0.4, 0.4) * (1 - green) * (1 - wet)).astype(np.float32)[None]
    return np.asarray(image * np.exp(factor), np.float32)


def light(rng: np.random.Generator, bank: Bank, image: Image) -> Image:
    """Another sun: the contrast of slopes, light on hills, a view from the other side."""
    out = image
    if rng.random() < 0.5:
        tone = np.log(out[[GREEN, NIR]].mean(axis=0) + 0.02)
        relief = tone - ndimage.gaussian_filter(tone, rng.choice([3.0, 8.0]))
        out = out * np.exp(np.clip(relief, -0.7, 0.7) * np.float32(rng.normal(0, rng.choice([0.1, 0.3]))))
    if rng.random() < 0.3:
        tone = np.log(out[[GREEN, NIR]].mean(axis=0) + 0.02)
        side = ndimage.sobel(tone, 0) * rng.normal() + ndimage.sobel(tone, 1) * rng.normal()
        out = out * np.exp(np.clip(side * rng.normal(0, 0.04), -0.5, 0.3)).astype(np.float32)
    if rng.random() < 0.35:
        slope = ndimage.sobel(bank.crop(rng, bank.smooth[6:]), int(rng.integers(2)))
        out = out * (1 + np.clip(slope * rng.normal(0, 0.06), -0.3, 0.3)).astype(np.float32)
    if rng.random() < 0.3:
        gains = rng.normal(0, 0.04, (_COVERS, _COVERS))
        out = out * np.exp(gains[covers(image)]).astype(np.float32)
    return np.asarray(out, np.float32)


def low_sun(rng: np.random.Generator, image: Image) -> Image:
    """A sun that stands lower: shadows of what is high beside it, more contrast, darker and bluer shade."""
    tone = np.log(image[[GREEN, NIR]].mean(axis=0) + 0.02)
    high = np.abs(tone - ndimage.uniform_filter(tone, 5))
    turn, length = rng.uniform(0, 2 * np.pi), int(rng.integers(1, 4))
    cast = np.zeros_like(high)
    for step in range(1, length + 1):
        by = (round(step * np.sin(turn)), round(step * np.cos(turn)))
        cast = np.maximum(cast, np.roll(high, by, (0, 1)))
    shade = np.clip(cast * rng.uniform(0.5, 2), 0, 1) * rng.uniform(0.1, 0.5)
    colour = np.linspace(0.8, 1.1, len(image), dtype=np.float32)[:, None, None]
    return np.asarray(image * (1 - shade[None] * colour), np.float32)


def air(rng: np.random.Generator, bank: Bank, image: Image) -> Image:
    """Haze, cirrus that no mask knows, and at times the whole atmosphere."""
    out = image
    shape = HAZE_SHAPE[BAND_IDS][:, None, None]
    if rng.random() < 0.15:
        out = to_top(out, BAND_IDS)
    if rng.random() < 0.5:
        field = np.clip(0.7 + rng.choice([0.1, 0.3, 0.5]) * bank.crop(rng, bank.smooth[11:], 0.5), 0, 2)
        out = out + shape * np.float32(rng.exponential(0.012)) * field * (1 - out)
    if rng.random() < 0.08:
        veil = np.clip(bank.crop(rng, bank.smooth[6:], 0.7) - rng.uniform(0.2, 1.5), 0, 1)
        share = (veil * rng.uniform(0.02, 0.15)).astype(np.float32)
        out = out * (1 - share) + share * np.float32(0.65)
    return np.asarray(out, np.float32)


def calibration(rng: np.random.Generator, image: Image, strength: float) -> Image:
    """Gain and offset of each band."""
    bands = (len(image), 1, 1)
    gain = np.exp(rng.normal(0, 0.10 * strength) + rng.normal(0, 0.04 * strength, bands))
    offset = rng.normal(0, 0.004 * strength) + rng.normal(0, 0.002 * strength, bands)
    return np.asarray(image * gain + offset, np.float32)


def view(rng: np.random.Generator, image: Image) -> Image:
    """A shift of a fraction of a pixel, and another sharpness."""
    out = image
    if rng.random() < 0.75:
        reach = rng.choice([0.3, 0.6, 1.0], p=[0.5, 0.4, 0.1])
        out = shifted(out, *rng.uniform(-reach, reach, 2))
    if rng.random() < 0.3:
        sigma = rng.uniform(0.2, 0.6)
        out = ndimage.gaussian_filter(out, (0, sigma, sigma), truncate=2.5)
    return np.asarray(out, np.float32)


def noise(rng: np.random.Generator, image: Image) -> Image:
    """Noise of sensor and ground, partly the same in all bands, now and then heavy-tailed or of two pixels."""
    size = image.shape[1:]
    added = rng.standard_normal(image.shape, np.float32) * NOISE_SHAPE[BAND_IDS][:, None, None]
    added = added * np.float32(0.8) + rng.standard_normal(size, np.float32)[None] * np.float32(0.6)
    if rng.random() < 0.3:
        added = added / np.sqrt(rng.chisquare(4, size) / 4).astype(np.float32)[None]
    if rng.random() < 0.4:
        added = ndimage.uniform_filter(added, (0, 2, 2)) * np.float32(1.8)
    level = np.float32(rng.choice([0.0008, 0.002, 0.004], p=[0.3, 0.5, 0.2]))
    return np.asarray(image + added * (level + np.float32(rng.uniform(0, 0.03)) * np.abs(image)), np.float32)


def disturbed(rng: np.random.Generator, bank: Bank, image: Image, *, real: bool, far: bool = False) -> Image:
    """Another image of the same ground.

    Args:
        rng: random numbers.
        bank: random fields.
        image: (10, y, x) reflectance.
        real: of another real date already, so that less is added.
        far: of another season; where not real.
    """
    out = image
    if not real:
        if far or rng.random() < 0.85:
            out = season(rng, bank, out, far=far)
        out = light(rng, bank, out)
        if far and rng.random() < 0.4:
            out = low_sun(rng, out)
        out = view(rng, out)
    if not real or rng.random() < 0.5:
        out = air(rng, bank, out)
        out = calibration(rng, out, float(rng.choice([0.2, 1.0, 2.0], p=[0.45, 0.4, 0.15])))
    return np.clip(noise(rng, out), 0, _BRIGHTEST)


def vegetation(image: Image) -> Image:
    """(y, x) share of green plants, 0 to 1, of red and near infrared."""
    red, nir = image[RED], image[NIR]
    return np.asarray(np.clip(((nir - red) / np.maximum(nir + red, 0.02) - 0.2) / 0.6, 0, 1), np.float32)


def water(image: Image) -> Image:
    """(y, x) 1 where green is brighter than a dark near infrared."""
    return np.asarray((image[GREEN] > image[NIR]) & (image[NIR] < 0.1), np.float32)


def covers(image: Image) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(y, x) kinds of ground by greenness and by brightness, six of each."""
    smooth = ndimage.uniform_filter(image[[BLUE, RED, NIR]], (0, 3, 3))
    ndvi = (smooth[2] - smooth[1]) / np.maximum(smooth[2] + smooth[1], 0.02)
    tone = np.log(smooth.sum(axis=0) + 0.05)
    green, bright = (np.digitize(each, np.percentile(each, (10, 30, 50, 70, 90))) for each in (ndvi, tone))
    return green, bright


def shifted(image: Image, rows: float, columns: float) -> Image:
    """An image (band, y, x) displaced by up to a pixel and a half, cubic (Catmull-Rom)."""
    return _shifted(_shifted(image, rows, 1), columns, 2)


def _shifted(image: Image, by: float, axis: int) -> Image:
    whole = int(np.floor(-by))
    f = -by - whole
    taps = (-0.5 * f + f**2 - 0.5 * f**3, 1 - 2.5 * f**2 + 1.5 * f**3,
            0.5 * f + 2 * f**2 - 1.5 * f**3, -0.5 * f**2 + 0.5 * f**3)  # fmt: skip
    width = [(0, 0)] * image.ndim
    width[axis] = (4, 4)
    padded = np.pad(image, width, mode="edge")
    out = np.zeros_like(image)
    index: list[slice] = [slice(None)] * image.ndim
    for tap, place in zip(taps, (-1, 0, 1, 2), strict=True):
        start = 4 + whole + place
        index[axis] = slice(start, start + image.shape[axis])
        out += np.float32(tap) * padded[tuple(index)]
    return out
