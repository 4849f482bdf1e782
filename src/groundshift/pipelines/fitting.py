"""What a pair teaches of itself: normalisation, statistics of no change and noise, fitted together on sample blocks.

Two rounds. After the first, what was found changed in the sample is left out of the second, so that a large burn or
flood does not shape the statistics of what did not change.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from groundshift.change import irmad, noise, polar, regions
from groundshift.change import nochange as law_of_no_change
from groundshift.change.nochange import NoChange, NoChangeOptions
from groundshift.change.statistic import Statistic
from groundshift.errors import GroundshiftWarning, NoDataError
from groundshift.model.grid import Window
from groundshift.numerics.robust import McdOptions, mcd, median_mad
from groundshift.pipelines.job import DetectSection, KindsSection, NormaliseSection
from groundshift.radiometry import normalise
from groundshift.radiometry.normalise import Normalisation, NormaliseOptions

GROWTH_M = 20.0
"""Length over which a region grows into its soft rim; at least two pixels."""
_REST = 0.3
"""Share of the sample that must stay unchanged for another round to make sense."""
_FLAT = 1e-7
"""Spread of differences, reflectance, that is none: half of them are the same."""
_MARGIN_PX = 2
"""Rim of a change that the second round leaves out as well."""


@dataclass(frozen=True, eq=False)
class Block:
    """A contiguous part of the pair: reflectance as read, and what is usable at both dates."""

    before: NDArray[np.float32]
    """(p, y, x)"""
    after: NDArray[np.float32]
    """(p, y, x) not yet normalised."""
    valid: NDArray[np.bool_]
    """(y, x)"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What one block says; NaN and 0 where not valid."""

    statistic: NDArray[np.float32]
    """(y, x) on the scale of chi-squared; 0 where not valid. Its regions decide."""
    amplitude: NDArray[np.float32]
    """(y, x) length of the normalised difference, in standard deviations of no change."""
    angle: NDArray[np.float32]
    """(y, x) degrees to the reference vector."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """Everything that was learnt; it can be sent to a process."""

    normalisation: Normalisation
    rotation: irmad.IrmadModel | None
    """Of ``irmad``; None: the bands themselves are compared."""
    nochange: NoChange
    """Centre, scatter and law of the contrast where nothing changed."""
    statistic: Statistic
    reference: NDArray[np.float64]
    """(p,) direction of angle 0."""
    threshold: float
    """Statistic at the asked confidence under the light tail of chi-squared: 1 on the ladder of levels."""
    alpha: float
    """Share of unchanged pixels that may be called change."""
    growth_px: int
    unchanged_shares: tuple[tuple[float, float], ...] = ()
    """(confidence, share of held-out pixels of the unchanged sample beyond it) pixel by pixel, percent."""
    unchanged_px: int = 0
    """Held-out pixels."""

    @property
    def halo_px(self) -> int:
        """Pixels that a block must know beyond its border."""
        return self.statistic.halo_px

    @property
    def region_options(self) -> regions.RegionOptions:
        """How regions are found in the statistic."""
        return regions.RegionOptions(growth_px=self.growth_px)

    @property
    def warnings(self) -> tuple[GroundshiftWarning, ...]:
        """What the fit was not sure of."""
        return (*self.normalisation.warnings, *self.nochange.warnings)

    def contrast(self, before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float32]:
        """(p, ...) what is compared: differences after minus before, or MAD variates with ``irmad``."""
        return _contrast(self.rotation, before, self.normalised(after))

    def normalised(self, after: NDArray[np.float32]) -> NDArray[np.float32]:
        """AFTER (p, ...) brought to the scale of BEFORE."""
        return normalise.apply(self.normalisation, after)

    def measured_statistic(self, block: Block) -> NDArray[np.float32]:
        """(y, x) the statistic alone; 0 where not valid."""
        contrast = self.contrast(block.before, block.after)
        return self.statistic.evaluate(block.before, block.before + contrast, block.valid)

    def measure(self, block: Block, inner: Window | None = None) -> Measured:
        """Evaluate a block; ``inner`` cuts the halo off again."""
        contrast = self.contrast(block.before, block.after)
        statistic = self.statistic.evaluate(block.before, block.before + contrast, block.valid)
        cut = (slice(0, None), slice(0, None)) if inner is None else inner.slices
        valid, contrast = block.valid[cut], np.ascontiguousarray(contrast[:, *cut])
        amplitude = np.sqrt(self.nochange.distance2(contrast))
        _, angle = polar.amplitude_angle(self.nochange.standardise(contrast), self.reference)
        amplitude[~valid] = np.nan
        angle[~valid] = np.nan
        return Measured(statistic=np.ascontiguousarray(statistic[cut]), amplitude=amplitude, angle=angle)

    def p_value(self, amplitude: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability of a larger amplitude where nothing changed, pixel by pixel."""
        return self.nochange.p_value(amplitude * amplitude)


def fit(
    blocks: Sequence[Block],
    bands: Sequence[str],
    pixel_m: float | None,
    detect: DetectSection,
    normalise_by: NormaliseSection,
    kinds: KindsSection,
) -> Fitted:
    """Fit everything on sample blocks.

    Args:
        blocks: contiguous windows, spread over the pair.
        bands: canonical names.
        pixel_m: pixel size; None without georeference.
        detect, normalise_by, kinds: the options of the job.

    Raises:
        NoDataError: too few usable pixels, with the counts.
    """
    growth_px = max(2, round(GROWTH_M / pixel_m)) if pixel_m else 2
    keep, cleaned = [block.valid for block in blocks], False
    fitted = _round(blocks, keep, bands, growth_px, detect, normalise_by)
    changed = changed_in(blocks, fitted)
    if detect.estimator == "robust":
        rest = [beyond(mask, block.valid) for block, mask in zip(blocks, changed, strict=True)]
        left, usable = (sum(int(mask.sum()) for mask in masks) for masks in (rest, keep))
        cleaned = left == usable
        if _REST * usable < left < usable:
            with contextlib.suppress(NoDataError):
                fitted = _round(blocks, rest, bands, growth_px, detect, normalise_by)
                changed = changed_in(blocks, fitted)
                keep, cleaned = rest, True
    fitted = replace(fitted, nochange=_law(_pooled(blocks, keep, fitted), detect, normalise_by.seed, cleaned=cleaned))
    reference = polar.reference_vector(kinds.reference_vector, bands)
    if reference is None:
        reference = polar.main_direction(fitted.nochange.standardise(_pooled(blocks, changed, fitted)))
    size = sum(int(mask.sum()) for mask in keep)
    return replace(
        fitted,
        reference=reference,
        unchanged_shares=tuple((level, 100 * share) for level, share in fitted.nochange.held_out),
        unchanged_px=max(0, min(size, 2 * NoChangeOptions().samples) - fitted.nochange.samples),
    )


def _round(
    blocks: Sequence[Block],
    keep: Sequence[NDArray[np.bool_]],
    bands: Sequence[str],
    growth_px: int,
    detect: DetectSection,
    normalise_by: NormaliseSection,
) -> Fitted:
    before = np.concatenate([block.before[:, mask] for block, mask in zip(blocks, keep, strict=True)], axis=1)
    after = np.concatenate([block.after[:, mask] for block, mask in zip(blocks, keep, strict=True)], axis=1)
    seed = normalise_by.seed
    normalisation = normalise.fit(before, after, NormaliseOptions(method=normalise_by.method, seed=seed), tuple(bands))
    brought = normalise.apply(normalisation, after)
    rotation = irmad.fit(before, brought) if detect.method == "irmad" else None
    core = _core(_contrast(rotation, before, brought), detect, seed)
    alpha = 1 - detect.confidence / 100
    fitted = Fitted(
        normalisation=normalisation,
        rotation=rotation,
        nochange=core,
        statistic=Statistic(np.array(core.location), _whitener(core)),
        reference=np.eye(len(bands))[0],
        threshold=_light_threshold(core, alpha),
        alpha=alpha,
        growth_px=growth_px,
    )
    if detect.context == "none" or detect.estimator == "textbook":
        return fitted
    return replace(fitted, statistic=_with_noise(blocks, keep, fitted, seed))


def _law(contrast: NDArray[np.float32], detect: DetectSection, seed: int, *, cleaned: bool = False) -> NoChange:
    """Centre, scatter and the law with its tail, of what did not change.

    ``cleaned``: regions of change are left out already, so that a heavy tail is that of no change itself.
    """
    options = NoChangeOptions(
        normalization=detect.normalization,
        estimator=detect.estimator,
        tail="whole" if cleaned else "auto",
        seed=seed,
    )
    return law_of_no_change.fit(contrast, options)


def _core(contrast: NDArray[np.float32], detect: DetectSection, seed: int) -> NoChange:
    """Centre and scatter of the inner half of the sample alone: near changes, which a reweighting step takes for the
    tail of no change, have no say in it. The law is chi-squared at the median."""
    p, n = contrast.shape
    spread = median_mad(contrast)[1] if n >= law_of_no_change.FEWEST_PER_BAND * p else np.zeros(p)
    if detect.estimator == "textbook" or spread.min() < _FLAT:
        return _law(contrast, detect, seed)
    found = mcd(contrast, McdOptions(reweight=False, subsample=60_000, seed=seed))
    core = NoChange(
        location=tuple(float(value) for value in found.location),
        covariance=tuple(tuple(float(value) for value in row) for row in found.covariance),
        law_scale=1.0,
        inverse_nu=0.0,
        unchanged_share=1.0,
        samples=n,
        normalization=detect.normalization,
    )
    scale = float(np.median(core.distance2(contrast))) / core.law.exceeded_by(0.5)
    return replace(core, covariance=tuple(tuple(scale * value for value in row) for row in core.covariance))


def _with_noise(blocks: Sequence[Block], keep: Sequence[NDArray[np.bool_]], fitted: Fitted, seed: int) -> Statistic:
    """The statistic that knows how noisy each kind of ground is."""
    parts = [
        (block.before, fitted.nochange.distance2(fitted.contrast(block.before, block.after)), block.valid, mask)
        for block, mask in zip(blocks, keep, strict=True)
    ]
    covariance = np.array(fitted.nochange.covariance)
    if fitted.nochange.normalization == "diag":
        covariance = np.diag(np.diag(covariance))
    try:
        return replace(fitted.statistic, noise=noise.fit(parts, covariance, np.random.default_rng(seed)))
    except NoDataError:
        return fitted.statistic


def _whitener(nochange: NoChange) -> NDArray[np.float64]:
    return nochange.whitener if nochange.normalization == "full" else np.diag(1 / nochange.sigma)


def _contrast(
    rotation: irmad.IrmadModel | None, before: NDArray[np.float32], brought: NDArray[np.float32]
) -> NDArray[np.float32]:
    if rotation is None:
        return brought - before
    _, variates = irmad.apply(rotation, before, brought)
    out = np.zeros(before.shape, np.float32)
    out[: len(variates)] = variates
    return out


def _light_threshold(nochange: NoChange, alpha: float) -> float:
    """What chi-squared (of correlated bands with ``diag``) exceeds with probability alpha, scaled to its median."""
    law = replace(nochange, inverse_nu=0.0, law_scale=1.0, tail=()).law
    return float(special.chdtri(len(nochange.kept), 0.5) * law.exceeded_by(alpha) / law.exceeded_by(0.5))


def changed_in(blocks: Sequence[Block], fitted: Fitted) -> list[NDArray[np.bool_]]:
    """Changed pixels of each block by regions, all blocks together as one tall image with rows of nothing between."""
    statistics = [fitted.measure(block).statistic for block in blocks]
    height = sum(len(statistic) + 1 for statistic in statistics)
    tall = np.zeros((height, max(statistic.shape[1] for statistic in statistics)), np.float32)
    starts = np.cumsum([0, *(len(statistic) + 1 for statistic in statistics)])
    for start, statistic in zip(starts, statistics, strict=False):
        tall[start : start + len(statistic), : statistic.shape[1]] = statistic
    area = sum(int(block.valid.sum()) for block in blocks)
    found = regions.detect(tall, fitted.threshold, fitted.alpha, area_px=area, options=fitted.region_options)
    return [
        found[start : start + len(statistic), : statistic.shape[1]]
        for start, statistic in zip(starts, statistics, strict=False)
    ]


def beyond(changed: NDArray[np.bool_], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What is valid and not within two pixels of a change."""
    near: NDArray[np.bool_] = ndimage.binary_dilation(changed, np.ones((3, 3), bool), _MARGIN_PX)
    return valid & ~near


def _pooled(blocks: Sequence[Block], masks: Sequence[NDArray[np.bool_]], fitted: Fitted) -> NDArray[np.float32]:
    """(p, n) contrast of the pixels of all masks."""
    parts = [
        fitted.contrast(block.before[:, mask], block.after[:, mask]) for block, mask in zip(blocks, masks, strict=True)
    ]
    return np.concatenate(parts, axis=1)
