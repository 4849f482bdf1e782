"""Examples of pairs with and without change, made on the fly, and the pool that batches are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from groundshift.change.network import stretch
from groundshift.training.disturb import disturbed
from groundshift.training.fields import SIZE, Bank, Image
from groundshift.training.insert import Elsewhere, inserted, magnitude, peculiar
from groundshift.training.painting import drawn_structure, painted
from groundshift.training.places import BAND_IDS, BANDS, Cut, Place, cut

DRAWN = 0.22
"""Share of the examples on drawn ground."""
UNCHANGED = 0.3
"""Share of the examples without any change."""
TWICE = 0.35
"""Share of the examples on two real dates, where a place has them."""
FAR = 0.4
"""Share of those whose dates are of different seasons, where a place has such dates."""
FAR_DRAWN = 0.08
"""Share of the examples of one date whose other date is drawn as of another season."""
_OUTSTANDING, _OUTSTANDING_FAR = 5.0, 2.0
"""Times the usual difference of a real pair from which on nobody knows whether its ground has changed."""
_LEAST_OUTSTANDING = 0.25
_HIDING = 0.7
"""Share of the usual difference within which a change is hidden."""
_UNKNOWN = 255
_VISIBLE, _HIDDEN = 0.16, 0.06
"""Difference from which an inserted change is one, and up to which it is none; between, nobody can say."""
_FOUR = ("B02", "B03", "B04", "B08")


@dataclass(frozen=True, eq=False)
class Example:
    """A pair and its truth."""

    before: Image
    """(10, y, x) reflectance; absent bands are 0."""
    after: Image
    present: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    truth: NDArray[np.uint8]
    """(y, x) 1 changed, 0 not, 255 not known."""


class Maker:
    """Makes examples of places and of drawn ground."""

    def __init__(self, places: Sequence[Place], bank: Bank, rng: np.random.Generator) -> None:
        self._places, self._bank, self._rng = places, bank, rng
        weight = np.array([place.weight for place in places])
        self._chance = weight / weight.sum() if len(places) else weight

    def make(self) -> Example:
        """One example."""
        rng, bank = self._rng, self._bank
        base = self._ground(twice=rng.random() < TWICE, far=rng.random() < FAR)
        other = self._ground(twice=False)
        after = base.before if base.after is None else base.after
        present, planted, amount = base.present, after, np.zeros((SIZE, SIZE), np.float32)
        if rng.random() >= UNCHANGED:
            elsewhere = Elsewhere(other.before, other.clear)
            if not (other.present | ~present).all():
                present = present & other.present
            found = inserted(rng, bank, after, elsewhere)
            planted, amount = np.clip(found.image, 0, None), found.amount
        before = disturbed(rng, bank, base.before, real=True)
        changed = disturbed(rng, bank, planted, real=base.after is not None, far=rng.random() < FAR_DRAWN)
        unplanted = base.clear & (amount < 0.25)
        truth = _truth(
            after, planted, amount, present, _usual(peculiar(before, changed, present, unplanted), unplanted)
        )
        truth[_doubtful(base, present) & (truth == 0)] = _UNKNOWN
        gain = np.float32(np.exp(rng.normal(0, 0.1)))
        dates = (before * gain, changed * gain)
        if rng.random() < 0.5:
            dates = dates[::-1]
        mask = present[:, None, None]
        return Example(dates[0] * mask, dates[1] * mask, present, base.clear, truth)

    def _ground(self, *, twice: bool, far: bool = False) -> Cut:
        rng = self._rng
        for _ in range(20):
            if not len(self._places) or rng.random() < DRAWN:
                break
            found = cut(rng, self._places[rng.choice(len(self._places), p=self._chance)], twice=twice, far=far)
            if found is not None:
                return found
        image, _ = painted(rng, self._bank, drawn_structure(rng, self._bank))
        return Cut(image[BAND_IDS], None, np.ones(len(BANDS), bool), np.ones((SIZE, SIZE), bool))


def _truth(before: Image, after: Image, amount: Image, present: NDArray[np.bool_], usual: float) -> NDArray[np.uint8]:
    """1 where at least half of a pixel changed and it can be seen; 255 at rims and where it hardly can.

    What changed by less than the ground usually differs anyway cannot be seen.
    """
    seen = magnitude(before, after, present)
    wide = ndimage.uniform_filter(seen, 3)
    truth = np.full(amount.shape, _UNKNOWN, np.uint8)
    truth[(amount >= 0.5) & (np.minimum(seen, wide) >= max(_VISIBLE, _HIDING * usual))] = 1
    truth[(amount < 0.25) | (wide < _HIDDEN)] = 0
    return truth


def _usual(differences: Image, among: NDArray[np.bool_]) -> float:
    return float(np.median(differences[among])) if among.any() else 0.0


def _doubtful(pair: Cut, present: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(y, x) True where two real dates differ far more than most of their ground: unmasked cloud, or change."""
    if pair.after is None:
        return np.zeros(pair.clear.shape, bool)
    differences = ndimage.uniform_filter(peculiar(pair.before, pair.after, present, pair.clear), 3)
    times = _OUTSTANDING_FAR if pair.far else _OUTSTANDING
    return np.asarray(differences > max(_LEAST_OUTSTANDING, times * _usual(differences, pair.clear)))


class Pool:
    """Examples kept in memory, the oldest replaced by new ones."""

    def __init__(self, size: int) -> None:
        self._images = np.zeros((size, 2, len(BANDS), SIZE, SIZE), np.float16)
        self._present = np.zeros((size, len(BANDS)), bool)
        self._valid = np.zeros((size, SIZE, SIZE), bool)
        self._truth = np.zeros((size, SIZE, SIZE), np.uint8)
        self.written = 0

    def __len__(self) -> int:
        """Examples in it."""
        return min(self.written, len(self._truth))

    def put(self, example: Example) -> None:
        """Add one."""
        slot = self.written % len(self._truth)
        self._images[slot] = example.before, example.after
        self._present[slot], self._valid[slot], self._truth[slot] = example.present, example.valid, example.truth
        self.written += 1

    def batch(
        self, rng: np.random.Generator, count: int
    ) -> tuple[Image, Image, NDArray[np.float32], NDArray[np.uint8]]:
        """Draw, turn, drop bands: both dates (date, n, 11, y, x), bands present (n, 10), truth with 255 (n, y, x)."""
        dates = np.zeros((2, count, len(BANDS) + 1, SIZE, SIZE), np.float32)
        told = np.zeros((count, len(BANDS)), np.float32)
        truth = np.zeros((count, SIZE, SIZE), np.uint8)
        for k, slot in enumerate(rng.choice(len(self), count, replace=False)):
            present = self._present[slot] & kept(rng, self._present[slot])
            turn, flip = int(rng.integers(4)), bool(rng.integers(2))
            gain = np.float32(np.exp(rng.normal(0, 0.08)))
            images = stretch(self._images[slot][:, present].astype(np.float32) * gain)
            valid = self._valid[slot] & ~hole(rng)
            images, valid, label = (
                _posed(each, turn, flip=flip) for each in (images * valid, valid, self._truth[slot])
            )
            dates[:, k, np.flatnonzero(present)] = images
            dates[:, k, -1] = valid
            told[k] = present
            truth[k] = np.where(valid, label, _UNKNOWN)
        return dates[0], dates[1], told, truth


def _posed(array: NDArray, turn: int, *, flip: bool) -> NDArray:  # type: ignore[type-arg]
    turned = np.rot90(array, turn, (-2, -1))
    return turned[..., ::-1, :] if flip else turned


def kept(rng: np.random.Generator, present: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Bands that a user may ask for: the four of 10 m, all, colours alone, or a few at random."""
    kind = rng.random()
    if kind < 0.5:
        keep = np.isin(BANDS, _FOUR)
    elif kind < 0.75:
        keep = np.ones(len(BANDS), bool)
    elif kind < 0.82:
        keep = np.isin(BANDS, _FOUR[:3])
    else:
        keep = rng.random(len(BANDS)) < 0.5
    return keep if (keep & present).sum() >= 3 else np.ones(len(BANDS), bool)


def hole(rng: np.random.Generator) -> NDArray[np.bool_]:
    """(y, x) True where nothing is known, as under clouds or beyond the swath; nowhere, mostly."""
    out = np.zeros((SIZE, SIZE), bool)
    if rng.random() < 0.75:
        return out
    y, x = np.mgrid[:SIZE, :SIZE]
    if rng.random() < 0.4:
        out |= y * rng.normal() + x * rng.normal() > rng.uniform(20, 110)
    for _ in range(int(rng.integers(0, 4))):
        row, column = rng.uniform(0, SIZE, 2)
        out |= np.hypot(y - row, x - column) < rng.uniform(2, 25)
    return out
