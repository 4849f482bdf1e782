"""The statistic of change: squared distance of a pixel's difference, in units of what its noise is expected to be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from groundshift.change.noise import NoiseModel
from groundshift.change.statistic_kernels import distance2, scaled_distance2
from groundshift.errors import InputError

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Statistic:
    """D^2 of after - before, divided by the expected noise of the pixel where a model of it is given."""

    mean: Float64
    """(p,) centre of differences that did not change."""
    whitener: Float64
    """(p, p) lower triangular: rows turn differences into white ones; zero for bands that have no part."""
    noise: NoiseModel | None = None
    """Fitted with the same whitener; None: all pixels are as noisy as each other."""

    def __post_init__(self) -> None:
        p = np.size(self.mean)
        if np.shape(self.mean) != (p,) or np.shape(self.whitener) != (p, p) or p < 1:
            raise InputError(
                f"mean and whitener of a statistic are (p,) and (p, p), "
                f"not {np.shape(self.mean)} and {np.shape(self.whitener)}"
            )
        # Inverses of triangular matrices carry rounding errors above the diagonal.
        if np.abs(np.triu(self.whitener, 1)).max() > _ROUNDING * np.abs(self.whitener).max():
            raise InputError("the whitener of a statistic is lower triangular")
        if self.noise is not None and self.noise.bands != p:
            raise InputError(f"the noise model is of {self.noise.bands} bands and the statistic of {p}")

    @property
    def bands(self) -> int:
        """Bands p of the images."""
        return int(np.size(self.mean))

    @property
    def halo_px(self) -> int:
        """Pixels around a block that it depends on."""
        return 0 if self.noise is None else 1

    def evaluate(self, before: ArrayLike, after: ArrayLike, valid: NDArray[np.bool_]) -> Float32:
        """Return the statistic (y, x) as float32; 0 where not valid.

        ``before`` and ``after`` are (p, y, x), on one grid and normalised to each other; they are finite where
        ``valid`` (y, x) is True, and may hold anything elsewhere. Beyond the edge nothing is valid: a block needs
        ``halo_px`` more pixels on each side, whose own results are to be left out. Works without the GIL.
        Law: a pixel gets the same bits in every block that holds it and its halo.
        """
        old, new = (np.ascontiguousarray(image, dtype=np.float32) for image in (before, after))
        usable = np.ascontiguousarray(valid, dtype=np.bool_)
        if old.shape != (self.bands, *usable.shape) or new.shape != old.shape or usable.ndim != 2:
            raise InputError(
                f"before, after and valid are ({self.bands}, y, x) twice and (y, x), "
                f"not {old.shape}, {new.shape} and {usable.shape}"
            )
        out = np.empty(usable.shape, np.float32)
        mean, whitener = self._single
        if self.noise is None:
            distance2((old, new), usable, mean, whitener, out)
        else:
            factor = np.float32(np.log(self.noise.factor))
            scaled_distance2((old, new), usable, mean, whitener, self.noise.curve, factor, out)
        return out

    @cached_property
    def _single(self) -> tuple[Float32, Float32]:
        return np.asarray(self.mean, np.float32), np.ascontiguousarray(self.whitener, dtype=np.float32)
