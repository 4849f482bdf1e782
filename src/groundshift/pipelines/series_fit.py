"""What a pair of dates teaches, as a unit of work: fits of several pairs run beside each other and beside reading."""

from __future__ import annotations

from dataclasses import dataclass

from groundshift.errors import NoDataError
from groundshift.pipelines import fitting, ingest, pair_model
from groundshift.pipelines import plan as pair_plan
from groundshift.pipelines.fitting import Block
from groundshift.pipelines.ingest import Stack
from groundshift.pipelines.job import DetectSection, KindsSection
from groundshift.pipelines.pair_model import PairModel
from groundshift.pipelines.series_job import SeriesDetectSection, SeriesNormaliseSection

_ENOUGH_VALID = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """A pair to be fitted."""

    stacks: tuple[Stack, Stack]
    bands: tuple[str, ...]
    pixel_m: float | None
    detect: SeriesDetectSection
    normalise: SeriesNormaliseSection
    compared_px: int
    dates: tuple[str, str]

    def __str__(self) -> str:
        return f"fitting {self.dates[0]} to {self.dates[1]}"


def run(work: Fit) -> tuple[PairModel | None, str]:
    """The model of the pair, or why the two dates cannot be compared. A task for a worker."""
    try:
        sample = _sample(work)
        fitted = fitting.fit(sample, work.bands, work.pixel_m, DetectSection(), work.normalise, KindsSection())
        method, weights = work.detect.method, work.detect.network_weights
        model = pair_model.make(fitted, sample, work.bands, method, weights=weights, compared_px=work.compared_px)
        return model, ""
    except NoDataError as error:
        return None, str(error)


def _sample(work: Fit) -> list[Block]:
    """Blocks of the pair until there are pixels enough, or twice as many were looked at as are wanted."""
    section, shape = work.normalise, work.stacks[0].mask.shape[1:]
    found: list[Block] = []
    usable = looked_at = 0
    for window in pair_plan.sample_windows((shape[0], shape[1]), section.sample_pixels, section.seed):
        block = ingest.read_block(work.stacks, window)
        if block.valid.any():
            found.append(block)
            usable, looked_at = usable + int(block.valid.sum()), looked_at + block.valid.size
        enough = looked_at >= section.sample_pixels and usable >= _ENOUGH_VALID * section.sample_pixels
        if enough or looked_at >= 2 * section.sample_pixels:
            break
    if not found:
        raise NoDataError("no pixel is usable at both dates")
    return found
