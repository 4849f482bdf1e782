"""Drawn ground: the covers of a biome laid along patterns, so that a network sees more than the real scenes hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from groundshift.training.covers import BIOMES, SNOWY, WATER, spectrum
from groundshift.training.fields import Bank, Image, standard


def drawn_structure(rng: np.random.Generator, bank: Bank) -> tuple[Image, Image]:
    """Noise, ridges or parcels, and another noise: two fields of mean 0 and deviation 1."""
    zoom = float(rng.choice([0.5, 1.0, 1.5, 2.0]))
    kind = rng.random()
    base = bank.crop(rng, bank.smooth, zoom)
    if kind < 0.4:
        pattern = bank.crop(rng, bank.parcels, zoom) + 0.4 * base
    elif kind < 0.7:
        pattern = -np.abs(base) + 0.2 * bank.crop(rng, bank.smooth)
    else:
        pattern = base
    return standard(pattern), standard(bank.crop(rng, bank.smooth, float(rng.choice([1.0, 2.0]))))


def painted(rng: np.random.Generator, bank: Bank, structure: tuple[Image, Image]) -> tuple[Image, NDArray[np.bool_]]:
    """Covers of one biome along a pattern, with soft borders, tone and texture: (13, y, x) reflectance, and snow."""
    pattern, tone = structure
    biome = BIOMES[rng.integers(len(BIOMES))]
    count = min(int(rng.integers(1, 6)), len(biome))
    names = [biome[i] for i in rng.permutation(len(biome))[:count]]
    cuts = np.sort(rng.uniform(-1.6, 1.6, count - 1))
    softness = rng.choice([0.02, 0.1, 0.4])
    weights = np.ones((1, *pattern.shape), np.float32)
    if count > 1:
        steps = 1 / (1 + np.exp(-np.clip((pattern[None] - cuts[:, None, None]) / softness, -30, 30)))
        edges = np.concatenate([np.ones((1, *pattern.shape)), steps, np.zeros((1, *pattern.shape))])
        weights = np.maximum(edges[:-1] - edges[1:], 0).astype(np.float32)
    spectra = np.stack([spectrum(name) for name in names])
    spectra *= rng.normal(1, 0.06, spectra.shape).astype(np.float32)
    spectra *= rng.lognormal(0, 0.2, (count, 1)).astype(np.float32)
    image = np.tensordot(spectra.T, weights, axes=1).astype(np.float32)
    wet = sum(weights[i] for i, name in enumerate(names) if name in WATER) + np.zeros_like(pattern)
    rough = np.float32(rng.uniform(0.02, 0.18)) * (1 - 0.85 * np.minimum(wet, 1))
    fine = bank.crop(rng, bank.smooth[:5]) * np.float32(0.6) + tone
    image = image * np.exp(np.clip(rough * fine, -1.2, 0.8))[None]
    snow = sum(weights[i] for i, name in enumerate(names) if name in SNOWY) + np.zeros_like(pattern)
    return image.astype(np.float32), snow > 0.5
