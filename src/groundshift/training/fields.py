"""Random fields made once and cut many times: smooth noise of several kinds, and parcels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

SIZE = 128
"""Side of what is drawn."""
BANK = 512
"""Side of a field; it repeats beyond its border."""
Image = NDArray[np.float32]


class Bank:
    """Random fields made once: smooth noise of several kinds, parcels."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.smooth = [fractal(rng, float(power)) for power in np.linspace(1.8, 3.6, 16)]
        self.streaks = [fractal(rng, 2.8, stretch=float(s)) for s in np.linspace(3, 9, 8)]
        self.puffs = [puffs(rng, float(width)) for width in np.geomspace(1.6, 7, 10)]
        self.parcels = [_parcels(rng, int(n)) for n in np.geomspace(150, 6000, 10)]

    def crop(self, rng: np.random.Generator, fields: list[Image], zoom: float = 1.0, size: int = SIZE) -> Image:
        """A random window of a random field, turned and mirrored at random; fields repeat beyond their border."""
        field = fields[rng.integers(len(fields))]
        y0, x0 = rng.integers(0, BANK, 2)
        return window(field, float(y0), float(x0), zoom, size, turn=int(rng.integers(8)))


def window(field: Image, y0: float, x0: float, zoom: float, size: int, turn: int = 0) -> Image:
    """A window of a periodic field, with ``zoom`` pixels of the field a pixel, bilinear."""
    if turn & 4:
        field = field.T
    rows, columns = (start + zoom * np.arange(size) for start in (y0, x0))
    if turn & 1:
        rows = rows[::-1]
    if turn & 2:
        columns = columns[::-1]
    if zoom == 1 and float(y0).is_integer() and float(x0).is_integer():
        return np.asarray(field[np.ix_(rows.astype(int) % BANK, columns.astype(int) % BANK)])
    r0, c0 = np.floor(rows).astype(int), np.floor(columns).astype(int)
    fr, fc = (rows - r0).astype(np.float32)[:, None], (columns - c0).astype(np.float32)
    top = field[np.ix_(r0 % BANK, c0 % BANK)] * (1 - fc) + field[np.ix_(r0 % BANK, (c0 + 1) % BANK)] * fc
    low = field[np.ix_((r0 + 1) % BANK, c0 % BANK)] * (1 - fc) + field[np.ix_((r0 + 1) % BANK, (c0 + 1) % BANK)] * fc
    return np.asarray(top * (1 - fr) + low * fr, np.float32)


def fractal(rng: np.random.Generator, power: float, stretch: float = 1.0) -> Image:
    """(512, 512) periodic noise of a power-law spectrum, mean 0, deviation 1."""
    ky, kx = np.fft.fftfreq(BANK)[:, None] * BANK, np.fft.rfftfreq(BANK)[None] * BANK
    if stretch != 1:
        angle = rng.uniform(0, np.pi)
        ky, kx = (ky * np.cos(angle) + kx * np.sin(angle)) * stretch, (-ky * np.sin(angle) + kx * np.cos(angle))
    k = np.hypot(ky, kx)
    k[0, 0] = 1
    amplitude = np.maximum(k, 1.5) ** (-power / 2)
    amplitude[0, 0] = 0
    noise = rng.standard_normal((BANK, BANK // 2 + 1)) + 1j * rng.standard_normal((BANK, BANK // 2 + 1))
    field = np.fft.irfft2(noise * amplitude, s=(BANK, BANK))
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def puffs(rng: np.random.Generator, width_px: float) -> Image:
    """(512, 512) periodic noise of one size of blobs, mean 0, deviation 1."""
    noise = rng.standard_normal((BANK, BANK))
    field = ndimage.gaussian_filter(noise, width_px, mode="wrap") - ndimage.gaussian_filter(
        noise, 2.5 * width_px, mode="wrap"
    )
    return np.asarray(field / field.std(), np.float32)


def _parcels(rng: np.random.Generator, count: int) -> Image:
    """(512, 512) random tone by parcel, periodic."""
    points = rng.uniform(0, BANK, (count, 2))
    tree = cKDTree(points, boxsize=BANK)
    stretch = rng.uniform(1, 2.5)
    y, x = np.mgrid[0:BANK, 0:BANK]
    _, nearest = tree.query(np.stack([y.ravel(), (x * stretch % BANK).ravel()], axis=1))
    return np.asarray(rng.standard_normal(count)[nearest].reshape(BANK, BANK), np.float32)


def standard(field: Image) -> Image:
    """Mean 0 and deviation 1, cut at three deviations."""
    return np.asarray(np.clip((field - field.mean()) / max(float(field.std()), 1e-4), -3, 3), np.float32)
