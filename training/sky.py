"""Clouds over clear ground as a sensor sees them: thickness, brightness, shadows where the sun throws them, air."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ground import PASS, PATH, SIZE, Bank, Image, Patch, sky_share
from groundshift.training.fields import BANK, window

CLEAR, CLOUD, THIN, SHADOW, SNOW, IGNORE = 0, 1, 2, 3, 4, 255
_SEEN, _DOUBTFUL, _OPAQUE = 0.055, 0.02, 0.33
"""Share of the light that a cloud throws back: from which it is thin cloud, may be, is thick."""
_WATER = np.array([0.93, 0.94, 0.94, 0.95, 0.95, 0.95, 0.95, 0.95, 0.95, 0.6, 0.0, 0.62, 0.46], np.float32)
_ICE = np.array([0.93, 0.94, 0.94, 0.95, 0.95, 0.95, 0.95, 0.95, 0.94, 0.8, 0.0, 0.36, 0.27], np.float32)
"""(band) brightness of an endless cloud of droplets, of ice."""
_BACK = 0.13
"""Share of the light scattered backward, for an optical thickness of 1 (two-stream, asymmetry 0.85)."""


@dataclass(frozen=True, eq=False)
class Example:
    """What the network learns from."""

    image: Image
    """(13, y, x) reflectance as a product of that level holds it."""
    present: NDArray[np.bool_]
    label: NDArray[np.uint8]
    """(y, x) CLEAR, CLOUD, THIN, SHADOW, SNOW or IGNORE."""
    trust: float
    """1 for simulated truth, less for labels of products."""


@dataclass(frozen=True, eq=False)
class _Layer:
    thickness: Image
    shade: Image
    """(y, x) optical thickness that the sun passes on its way to the ground."""
    relief: Image
    ice: bool
    height_m: float


def simulate(
    rng: np.random.Generator, bank: Bank, patch: Patch, textures: list[Image], pixel_m: float = 20.0
) -> Example:
    """Throw clouds on a patch, look at it through the air, and say what is where."""
    azimuth = rng.uniform(0, 2 * np.pi)
    tangent = np.tan(np.radians(rng.uniform(18, 72)))
    away = np.array([np.cos(azimuth), -np.sin(azimuth)]) * tangent
    layers = [_layer(rng, bank, textures, away, pixel_m) for _ in range(_how_many(rng))]
    ground = patch.reflectance
    sky = sky_share(rng)[:, None, None]
    shade = sum((layer.shade for layer in layers), np.zeros(ground.shape[1:], np.float32))
    direct = np.exp(-shade * np.float32(rng.uniform(0.3, 0.6)))[None]
    lit = (1 - sky) * direct + sky * np.float32(rng.uniform(0.75, 1.15)) ** (direct < 0.5)
    surface = ground * lit
    air = (PATH * rng.normal(1, 0.05, 13).astype(np.float32) * np.float32(rng.uniform(0.55, 1.7)))[:, None, None]
    through = (PASS ** np.float32(rng.uniform(0.7, 1.3)))[:, None, None]
    top = air * (1 - 0.35 * (1 - direct)) + through * surface
    seen = np.zeros(ground.shape[1:], np.float32)
    for layer in sorted(layers, key=lambda each: each.height_m):
        top, share = _cover(rng, top, layer, air)
        seen = 1 - (1 - seen) * (1 - share)
    if rng.random() < 0.25:
        haze = bank.crop(rng, bank.smooth[10:], 0.3)
        strength = rng.uniform(0, 0.045) * np.clip(0.6 + 0.4 * haze, 0, 1.6)
        top = top + (strength * np.linspace(1.3, 0.3, 13)[:, None, None] * (top < 0.5)).astype(np.float32)
    label = _label(seen, direct[0], patch)
    return _product(rng, top, air, through, patch.present, label)


def _how_many(rng: np.random.Generator) -> int:
    draw = rng.random()
    return 0 if draw < 0.22 else 1 if draw < 0.82 else 2


def _layer(
    rng: np.random.Generator, bank: Bank, textures: list[Image], away: NDArray[np.float64], pixel_m: float
) -> _Layer:
    kind = rng.choice(6, p=[0.36, 0.13, 0.08, 0.16, 0.05, 0.22])
    zoom = float(rng.choice([0.35, 0.5, 0.75, 1.0, 1.5, 2.2], p=[0.15, 0.2, 0.2, 0.2, 0.15, 0.1]))
    low, high = ((400, 3500), (800, 5000), (300, 2500), (6000, 12000), (5000, 12000), (400, 5000))[kind]
    height = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    shift = away * height / pixel_m
    turn, start = int(rng.integers(8)), rng.uniform(0, BANK, 2)
    pick = bank.streaks if kind in (3, 4) else bank.smooth[6:]
    main, fine, broad = (fields[rng.integers(len(fields))] for fields in (pick, bank.smooth[3:9], bank.smooth[10:]))
    texture = textures[rng.integers(len(textures))]
    share, soft = rng.uniform(0.05, 0.97), rng.uniform(0.15, 1.0)
    peak = float(np.exp(rng.uniform(np.log(2), np.log(60))))
    if kind == 3:
        peak = float(np.exp(rng.uniform(np.log(0.5), np.log(6))))
    width = rng.uniform(0.8, 4.0)
    level = -1.2 + 3.4 * (1 - share)

    def thickness(y0: float, x0: float) -> Image:
        def part(field: Image, scale: float) -> Image:
            return window(field, y0 * scale, x0 * scale, zoom * scale, SIZE, 0)

        if kind == 5:
            t = window(texture if not turn & 4 else texture.T, y0, x0, zoom, SIZE)
            return t * np.float32(peak / 20)
        base = part(main, 1.0) + 0.5 * part(broad, 0.5)
        if kind == 0:  # cumulus
            body = np.maximum(base + 0.25 * part(fine, 1.5) - level, 0)
            return peak * (body / soft) ** 1.3
        if kind == 1:  # cells
            cells = 1.2 - 2.2 * np.abs(part(main, 1.4)) + 0.4 * part(fine, 1.0)
            return peak * np.maximum(cells - 0.4 * level, 0)
        if kind == 2:  # a sheet with holes
            return peak * np.maximum(0.9 + 0.35 * base - 0.25 * level, 0)
        if kind == 3:  # cirrus
            return peak * np.maximum(base - 0.6 * level, 0) * 0.6
        line = np.abs(
            (np.arange(SIZE) * zoom + x0 - 256) * np.cos(width)
            + ((np.arange(SIZE) * zoom + y0 - 256) * np.sin(width))[:, None]
        )
        return 0.35 * peak * np.exp(-((line / width) ** 2)) * np.clip(0.8 + 0.6 * part(fine, 1.0), 0, 2)

    if kind == 4:
        start = 256 - zoom * rng.uniform(0.2, 0.8, 2) * SIZE
    y0, x0 = start
    cloud = np.clip(thickness(y0, x0), 0, 120).astype(np.float32)
    shade = np.clip(thickness(y0 - shift[0] * zoom, x0 - shift[1] * zoom), 0, 120).astype(np.float32)
    soften = float(rng.choice([0.0, 0.5, 1.2]))
    if soften:
        cloud = ndimage.gaussian_filter(cloud, soften)
    shade = ndimage.gaussian_filter(shade, 0.4 + height / 6000)
    bulge = ndimage.gaussian_filter(np.log1p(cloud), 1.0)
    gy, gx = np.gradient(bulge)
    direction = away / max(float(np.hypot(*away)), 1e-6)
    relief = -(gy * direction[0] + gx * direction[1]) * rng.uniform(0, 0.9)
    return _Layer(cloud, shade, np.clip(relief, -0.45, 0.35).astype(np.float32), bool(height > 5500), height)


def _cover(rng: np.random.Generator, top: Image, layer: _Layer, air: Image) -> tuple[Image, Image]:
    """What a cloud adds and what it lets through; and the share of the light it throws back."""
    x = _BACK * layer.thickness
    share = x / (1 + x)
    colour = (
        (_ICE if layer.ice else _WATER)
        * rng.normal(1, 0.03, 13).astype(np.float32)
        * np.float32(rng.uniform(0.75, 1.15))
    )
    high = float(np.clip((layer.height_m - 2500) / 9000, 0, 1))
    colour[10] = high**1.5 * 0.75
    colour[9] = (0.25 + 0.6 * high) * rng.uniform(0.8, 1.2)
    colour[11:] *= rng.uniform(0.7, 1.25)
    light = np.clip(1 + layer.relief, 0.3, 1.4) * share
    added = colour[:, None, None] * light[None]
    passed = (1 - share[None]) ** np.float32(1.4)
    return (top - 0.5 * air) * passed + 0.5 * air + added, share


def _label(seen: Image, direct: Image, patch: Patch) -> NDArray[np.uint8]:
    label = np.full(seen.shape, CLEAR, np.uint8)
    label[patch.snow] = SNOW
    label[direct < 0.85] = IGNORE
    water = (patch.reflectance[2] < 0.06) & (patch.reflectance[7] < 0.04)
    label[(direct < 0.62) & ~water] = SHADOW
    label[seen >= _DOUBTFUL] = IGNORE
    label[seen >= _SEEN] = THIN
    label[seen >= _OPAQUE] = CLOUD
    return label


def _product(
    rng: np.random.Generator,
    top: Image,
    air: Image,
    through: Image,
    present: NDArray[np.bool_],
    label: NDArray[np.uint8],
) -> Example:
    """As L1C, or as L2A with an imperfect correction and without the cirrus band; coarse bands are smooth."""
    present = present.copy()
    if rng.random() < 0.5:
        error = rng.normal(0, 0.15, (13, 1, 1)).astype(np.float32) * air
        top = (top - air + error) / through
        top = np.maximum(top, np.float32(rng.choice([-0.02, 0.0, 0.0001])))
        present[10] = False
    for band in (0, 9, 10):
        coarse = top[band, : SIZE // 3 * 3, : SIZE // 3 * 3].reshape(SIZE // 3, 3, SIZE // 3, 3).mean(axis=(1, 3))
        padded = np.pad(coarse, (0, 1), mode="edge")
        top[band] = np.repeat(np.repeat(padded, 3, 0), 3, 1)[:SIZE, :SIZE]
    if rng.random() < 0.12:
        top = ndimage.zoom(ndimage.zoom(top, (1, 1 / 3, 1 / 3), order=1), (1, 3, 3), order=1)
        top = np.pad(top, ((0, 0), (0, 3), (0, 3)), mode="edge")[:, :SIZE, :SIZE]
    image = np.where(present[:, None, None], np.clip(top, -0.1, 1.8), 0).astype(np.float32)
    return Example(image, present, label, 1.0)
