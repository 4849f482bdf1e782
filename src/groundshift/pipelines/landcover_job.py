"""Jobs of land cover: every option of ``groundshift landcover train`` and ``predict`` by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from groundshift.pipelines.job import Bands, RunSection, Section
from groundshift.pipelines.mosaic_job import CloudsSection, MosaicGridSection, ScenesSection

STEPS: tuple[dict[str, Any], ...] = (
    {"use": "merge_days"},
    {"use": "indices", "names": ["NDVI", "NDWI", "NORM"]},
    {"use": "regular", "step_days": 16},
)
"""The chain when none is given: that of eo-learn's land cover of Slovenia, without a limit on how cloudy a date may be,
which leaves nothing of large areas."""


class SourceSection(ScenesSection):
    """What features are made of: scenes, an EOPatch folder, or a stack that holds them."""

    scenes: tuple[str, ...] = ()
    """Scenes of the series, a list of them that select wrote, or one EOPatch folder."""
    stack: str | None = None
    """Raster whose bands are features, such as groundshift features writes."""

    @model_validator(mode="after")
    def _one_of_both(self) -> SourceSection:
        if bool(self.scenes) == (self.stack is not None):
            raise ValueError("give either --series or --stack")
        return self


class SeriesGridSection(MosaicGridSection):
    """The grid of the series."""

    bands: Bands = ("B02", "B03", "B04", "B08", "B11", "B12")
    """Bands of each scene (eo-learn's land cover of Slovenia)."""


class ChainSection(Section):
    """From a series to features."""

    steps: tuple[dict[str, Any], ...] = STEPS
    """Named steps with their options, in order; of a stack there are none."""
    modules: tuple[str, ...] = ()
    """Python files whose functions become steps."""


class ReferenceSection(Section):
    """Where the classes are known."""

    path: str
    """Polygons of classes, or a map of them."""
    class_field: str | None = None
    """Field of the polygons that holds the class; none: the one whose name says so."""


class SamplesSection(Section):
    """Which pixels are learnt from."""

    erode_px: Annotated[int, Field(ge=0, le=50)] = 1
    """Pixels that are left out at the border of classes and polygons (eo-learn: 1)."""
    per_class: Annotated[int, Field(ge=2, le=10_000_000)] = 2000
    """Pixels of a class, at most: those of one field look alike, and more of them teach little."""
    seed: int = 0
    """Seed of every random choice."""


class ModelSection(Section):
    """The classifier."""

    kind: Literal["auto", "mlp", "lightgbm", "rf", "knn", "tempcnn"] = "auto"
    """mlp (a small network), lightgbm, rf (random forest), knn, tempcnn (needs the extra [train]); auto: mlp, rf
    or knn, whichever does better on parts that it was not trained with."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of it by the names that its class gives them; of auto, those of all three."""


class SplitsSection(Section):
    """How training and test pixels are kept apart when the model is judged."""

    kind: Literal["auto", "random", "polygon", "block", "knndm"] = "auto"
    """By polygon, by spatial block, at random, which flatters, or polygons or blocks dealt so that tests are as far
    from training as the pixels of the area are from the samples (knndm); auto: that."""
    folds: Annotated[int, Field(ge=2, le=50)] = 5
    """Parts, each of which is predicted by a model of the others."""
    block_m: Annotated[float, Field(gt=0)] | None = None
    """Side of a block, metres; none: 5 km, or a tenth of the longer side of a smaller area."""


class ModelOutputSection(Section):
    """Where the model goes."""

    out: Annotated[str, Field(min_length=1)]
    """Folder of the model."""
    force: bool = False
    """Replace a model that is there."""


class TrainJob(Section):
    """One run of ``groundshift landcover train``."""

    input: SourceSection
    grid: SeriesGridSection = SeriesGridSection()
    clouds: CloudsSection = CloudsSection()
    chain: ChainSection = ChainSection()
    truth: ReferenceSection
    samples: SamplesSection = SamplesSection()
    model: ModelSection = ModelSection()
    splits: SplitsSection = SplitsSection()
    output: ModelOutputSection
    run: RunSection = RunSection()


class SmoothSection(Section):
    """From class probabilities to a map."""

    method: Literal["bilateral", "bayes", "majority", "none"] = "bilateral"
    """Bilateral or Bayesian smoothing of the probabilities that the map is made of, or a majority filter of the map."""
    min_area: Annotated[float, Field(ge=0)] = 0.0
    """Minimum mapping unit in square metres: what is smaller goes to the neighbour with the highest probability."""


class MapOutputSection(Section):
    """Where the results go and as what."""

    outdir: Annotated[str, Field(min_length=1)]
    """Folder of the results."""
    format: str = "COG"
    """COG, or any GDAL driver that writes."""
    polygons: str | None = None
    """Write the map as polygons too: classes.gpkg, .fgb or .parquet, in the folder of the results."""
    confidence: Annotated[float, Field(gt=50, lt=100)] = 90.0
    """Percent of pixels whose confidence set holds the true class, on data like that of the training."""
    force: bool = False
    """Replace the results of another run."""


class ModelRefSection(Section):
    """The model."""

    path: str
    """Folder that groundshift landcover train wrote."""
    prior: str | None = None
    """Shares of the classes in the area, as name=share,name=share; none: as the model saw them."""
    modules: tuple[str, ...] = ()
    """Python file with the steps of your own that the model was trained with: a model never brings a program along."""


class PredictJob(Section):
    """One run of ``groundshift landcover predict``."""

    model: ModelRefSection
    input: SourceSection
    grid: SeriesGridSection = SeriesGridSection()
    clouds: CloudsSection = CloudsSection()
    smooth: SmoothSection = SmoothSection()
    output: MapOutputSection
    run: RunSection = RunSection()
