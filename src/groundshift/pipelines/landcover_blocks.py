"""The passes over the pixels of a land-cover map, each a task for any worker: take samples, predict a block.

Law: how the area is cut into blocks changes nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import ProductError
from groundshift.io import models
from groundshift.io.planes import Planes
from groundshift.landcover.trained import Trained
from groundshift.landcover.uncertainty import STEP as ROUND
from groundshift.landcover.uncertainty import certainty, confidence_sets
from groundshift.model.grid import Window, blocks
from groundshift.model.legend import NO_DATA
from groundshift.pipelines.landcover_features import Features

STEP = 1 / 50_000
"""Value of a stored 1 of a probability in planes."""
_PART = 1 << 16
"""Pixels that are classified at once."""
_SIDE = 512
"""Of a block of a map that is made small."""
UNKNOWN = 65_535
"""Stored where there is no data."""
MOST_COUNT = 254
"""Clear observations that are told apart: what is stored for more."""


@dataclass(frozen=True, eq=False)
class Extract:
    """Some pixels of a block whose features are wanted."""

    features: Features
    window: Window
    rows: NDArray[np.int64]
    """(n,) of the whole grid."""
    columns: NDArray[np.int64]

    def __str__(self) -> str:
        return f"taking samples in rows {self.window.y0} to {self.window.y1}"


def extract(work: Extract) -> NDArray[np.float32]:
    """Features (n, f) of pixels; NaN where they are not known. A task for a worker."""
    values, _ = work.features.read(work.window)
    return np.ascontiguousarray(values[:, work.rows - work.window.y0, work.columns - work.window.x0].T)


@dataclass(frozen=True, eq=False)
class Said:
    """What is known of each pixel, as it is exported; uint8, 255 = no data."""

    chances: Planes
    """(class, y, x) probabilities in steps of 0.004."""
    evidence: Planes
    """(5, y, x): highest probability, margin and entropy in steps of 0.004, size of the confidence set; clear
    observations, 0 where there is no data."""
    sets: Planes
    """(class, y, x): 1 where the class is in the confidence set."""
    codes: Planes
    """(1, y, x): the most likely class; 255 = no data."""


@dataclass(frozen=True, eq=False)
class Predict:
    """A block that is to be classified."""

    features: Features
    window: Window
    model: str
    """Folder of the model."""
    weights: str
    """SHA-256 of its weights: another model in that folder is another one."""
    shares: tuple[float, ...] | None
    """Of the classes in the area, where they are not those that the model expects."""
    probabilities: Planes
    """(class, y, x) uint16."""
    said: Said
    limits: tuple[float, ...]
    """The greatest score (1 - p) of each class in its confidence sets."""

    @property
    def key(self) -> str:
        """Name in the journal."""
        return f"predict:{self.window.y0}:{self.window.y1}:{self.window.x0}:{self.window.x1}"

    def __str__(self) -> str:
        return f"classifying rows {self.window.y0} to {self.window.y1}"


def predict_block(work: Predict) -> str:
    """Probabilities of the classes of a block, written to planes; returns its key. A task for a worker."""
    values, seen = work.features.read(work.window)
    known = np.isfinite(values).any(axis=0) & (seen > 0)
    trained = _model(work.model, work.weights, work.shares)
    classes = len(trained.card.codes)
    found = np.full((classes, *known.shape), np.nan, np.float32)
    if known.any():
        # Where all is known, as it mostly is, nothing need be picked out.
        flat, out = values.reshape(len(values), -1), found.reshape(classes, -1)
        chosen = np.arange(flat.shape[1]) if known.all() else np.flatnonzero(known)
        # Part by part: what a classifier needs on its way is many times what it says.
        for start in range(0, len(chosen), _PART):
            part = slice(start, start + _PART) if known.all() else chosen[start : start + _PART]
            out[:, part] = trained.predict_proba(flat[:, part].T, work.features.names).T
    del values
    sure, sets = certainty(found, trained.card.codes), confidence_sets(found, work.limits)
    for k in range(classes):
        fine = np.rint(np.nan_to_num(found[k]) / STEP)
        work.probabilities.write(work.window, np.where(known, fine, UNKNOWN).astype(np.uint16), k)
        coarse = np.rint(fine.astype(np.float32) * np.float32(STEP / ROUND))
        work.said.chances.write(work.window, np.where(known, coarse, NO_DATA).astype(np.uint8), k)
        work.said.sets.write(work.window, np.where(known, sets.members[k], np.uint8(NO_DATA)), k)
    work.said.codes.write(work.window, sure.codes, 0)
    count = np.where(known, np.minimum(seen, MOST_COUNT), 0).astype(np.uint8)
    for k, layer in enumerate((sure.highest, sure.margin, sure.entropy, sets.size, count)):
        work.said.evidence.write(work.window, layer, k)
    return work.key


def look(codes: Planes) -> tuple[NDArray[np.uint8], int]:
    """A map (1, y, x) as small as a picture, and how many pixels a side one of its cells has. A task for a worker."""
    from groundshift.report.pictures import LabelQuicklook

    small = LabelQuicklook(codes.shape[1:])
    for window in blocks(codes.shape[1:], _SIDE):
        small.add(window, codes.read(window, 0).astype(np.uint8))
    return small.result()[0], small.step


@lru_cache(maxsize=2)
def _model(folder: str, expected: str, shares: tuple[float, ...] | None) -> Trained:
    card, weights = models.load(folder)
    if hashlib.sha256(weights).hexdigest() != expected:
        raise ProductError(f"{folder}: the model was replaced while a map was made with it: run it again.")
    return Trained(card if shares is None else replace(card, shares=shares), weights)
