"""A series job: every option of ``groundshift series`` by name."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from groundshift.change.confirm import MOST_DATES, ConfirmOptions
from groundshift.pipelines.job import Bands, Classes, NormaliseSection, RunSection, Section
from groundshift.pipelines.mosaic_job import MaskingSection, ScenesSection


class SeriesInputSection(ScenesSection):
    """The scenes, and how to read them."""

    max_cloud: Annotated[float, Field(ge=0, le=100)] = 60.0
    """Dates with more cloud than this are skipped: percent of the area of interest that the scene covers."""
    orbits: Literal["same", "any"] = "same"
    """same: each date is paired with the previous usable one of the same tile and relative orbit; any: of the same
    tile, from whichever orbit (twice the dates, but the view differs)."""


class SeriesPixelsSection(Section):
    """The grid of the series."""

    bands: Bands = ("B02", "B03", "B04", "B08")
    """Bands to compare."""
    aoi: str | None = None
    """Area of interest: WKT, or path of a vector file."""
    resolution: Annotated[float, Field(gt=0)] | None = None
    """Pixel size in metres; none: that of the finest chosen band of the first scene."""


class SeriesCloudsSection(MaskingSection):
    """What of a scene is not clear."""

    shadows: bool = False
    """Look for shadows where the sun throws them, beside those of the mask: the near infrared is read once more."""
    classes: Classes = (0, 1, 3, 8, 9, 10)
    """SCL codes that are masked: as for change."""


class SeriesNormaliseSection(NormaliseSection):
    """Relative radiometric normalisation of each date to the one before."""

    sample_pixels: Annotated[int, Field(ge=1000, le=50_000_000)] = 1_000_000
    """Pixels that the statistics of a pair are fitted on, at most."""
    extent: Literal["aoi"] = "aoi"
    """Where they lie: only in the area of interest, since nothing else is read."""


class SeriesDetectSection(Section):
    """What counts as change."""

    method: Literal["ensemble", "network", "statistical"] = "ensemble"
    """network (ours, taught to look past light, air and season), statistical (the pair's own statistics of no change),
    or ensemble: both together, best on pairs that neither was made with."""
    network_weights: str | None = None
    """ONNX file that groundshift models train change wrote; none: the network that comes with groundshift."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability from which on a date differs from the one that it is compared with."""
    confirm: Annotated[str, Field(pattern=r"^\s*\d+\s*/\s*\d+\s*$")] = "2/3"
    """Dates that must still differ, of the next clear dates: k/n (as the alert systems GLAD and RADD wait for more)."""
    min_joint: Annotated[float, Field(ge=0, le=100)] = 5.0
    """Pairs with fewer jointly usable pixels than this percentage of the area are skipped."""
    min_area: Annotated[float, Field(ge=0)] | None = None
    """Smallest alert, square metres; none: four pixels. The rasters keep everything."""

    @field_validator("confirm")
    @classmethod
    def _possible(cls, value: str) -> str:
        needed, of = _numbers(value)
        if not 1 <= needed <= of <= MOST_DATES:
            raise ValueError(f"it is k/n, where 1 <= k <= n <= {MOST_DATES}")
        return value

    @property
    def rule(self) -> ConfirmOptions:
        """When a change is seen, and when it is believed."""
        needed, of = _numbers(self.confirm)
        return ConfirmOptions(threshold=self.threshold, needed=needed, of=of)


class SeriesOutputSection(Section):
    """Where the results go."""

    outdir: Annotated[str, Field(min_length=1)]
    """Folder of the results."""
    animation: bool = True
    """Draw the largest changes before and after as an animated GIF, from the scenes themselves."""
    force: bool = False
    """Replace the results of another run."""


class SeriesJob(Section):
    """One run of ``groundshift series``."""

    input: SeriesInputSection
    grid: SeriesPixelsSection = SeriesPixelsSection()
    clouds: SeriesCloudsSection = SeriesCloudsSection()
    normalise: SeriesNormaliseSection = SeriesNormaliseSection()
    detect: SeriesDetectSection = SeriesDetectSection()
    output: SeriesOutputSection
    run: RunSection = RunSection()


def _numbers(confirm: str) -> tuple[int, int]:
    needed, of = (int(word) for word in re.findall(r"\d+", confirm))
    return needed, of
