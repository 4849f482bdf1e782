"""A change job: every option and step of the main job by name, as a TOML file and as an object.

The command line, ``groundshift run job.toml``, ``S2-CD`` and the library all end in one :class:`ChangeJob`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from groundshift.model.bands import parse_bands


class Section(BaseModel):
    """Options that belong together; frozen, and nothing that is not listed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


def _bands(value: object) -> object:
    return parse_bands(value) if isinstance(value, str | list | tuple) else value


def _listed(value: object) -> object:
    return [word for word in value.split(",") if word.strip()] if isinstance(value, str) else value


Bands = Annotated[tuple[str, ...], BeforeValidator(_bands)]
"""Names of bands as people write them: ``B3,B4,B8``."""
Classes = Annotated[tuple[Annotated[int, Field(ge=0, le=11)], ...], BeforeValidator(_listed)]
"""SCL codes: ``0,1,3``."""


class InputSection(Section):
    """The two images and how to read them."""

    before: str
    """Earlier image: SAFE folder or zip, STAC item, raster, folder of rasters, FOLDER@DATE."""
    after: str
    """Later image."""
    band_order: Bands | None = None
    """Bands of a plain raster in file order."""
    scale: Annotated[float, Field(gt=0)] | None = None
    """DN of reflectance 1.0 in a plain raster: reflectance = (DN + offset) / scale."""
    offset: float | None = None
    """Added to the DN of a plain raster before scaling."""
    mask_before: str | None = None
    """0/1 raster, 1 = usable."""
    mask_after: str | None = None
    """0/1 raster, 1 = usable."""
    trust: Literal["metadata", "pixels"] | None = None
    """Whom to believe when the offset audit finds a contradiction; none: it is an error."""
    verify: bool = True
    """Verify the checksum of each band file before its first use."""


class GridSection(Section):
    """The grid on which the two are compared, and the grid of the results."""

    bands: Bands = ("B02", "B03", "B04", "B08")
    """Bands to compare (SatCen S2-CD: any combination; default B2, B3, B4, B8)."""
    aoi: str | None = None
    """Area of interest: WKT, or path of a vector file."""
    resolution: Annotated[float, Field(gt=0)] | None = None
    """Pixel size in metres; none: the pixel grid of the finest chosen band of BEFORE."""
    projection: str = "native"
    """CRS of the results: native (that of BEFORE), EPSG:n, or WKT."""


class MaskSection(Section):
    """What of the scene classification is not usable."""

    classes: Classes = (0, 1, 3, 8, 9, 10)
    """SCL codes that are masked (notes: no data, saturated, cloud shadow, clouds, cirrus)."""
    cloud_dilation_m: Annotated[float, Field(ge=0, le=5000)] = 150.0
    """Growth of clouds (8, 9, 10), metres: 100 to 200 in the literature."""
    shadow_dilation_m: Annotated[float, Field(ge=0, le=5000)] = 80.0
    """Growth of cloud shadows (3), metres: 60 to 100 in the literature."""


class NormaliseSection(Section):
    """Relative radiometric normalisation of one date to the other."""

    method: Literal["orthogonal", "robust", "none"] = "orthogonal"
    """Regression on pseudo-invariant pixels: orthogonal (total least squares), robust (Theil-Sen), or none."""
    sample_pixels: Annotated[int, Field(ge=1000, le=50_000_000)] = 2_000_000
    """Pixels that the statistics are fitted on, at most."""
    extent: Literal["full", "aoi"] = "full"
    """Where they lie: the whole pair (an area that is mostly flooded says little of no change), or the area alone."""
    seed: int = 0
    """Seed of every random choice."""


class DetectSection(Section):
    """The statistics of no change and what counts as change."""

    method: Literal["cva", "irmad", "statistical", "network", "ensemble"] = "cva"
    """cva, irmad; or, with PROBABILITY.tif, what has likely changed by the method statistical, network or ensemble."""
    network_weights: str | None = None
    """ONNX file that groundshift models train change wrote; none: the network that comes with groundshift."""
    normalization: Literal["full", "diag"] = "full"
    """full: whitened by the covariance of no change; diag: band by band."""
    estimator: Literal["robust", "textbook"] = "robust"
    """robust: statistics of what did not change; textbook: mean and standard deviation, chi-squared (for parity)."""
    context: Literal["region", "none"] = "region"
    """region: change is a region, noise is not; none: pixel by pixel."""
    confidence: Annotated[float, Field(gt=1, lt=100)] = 99.99
    """Percent of no-change pixels that must not be called change."""
    fdr: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Benjamini-Hochberg false-discovery rate instead of a fixed confidence (pixel by pixel)."""
    min_area: Annotated[float, Field(ge=0)] = 0.0
    """Minimum mapping unit in square metres (pixels without georeference)."""

    @field_validator("confidence", mode="before")
    @classmethod
    def _percent(cls, value: object) -> object:
        number = value.strip().replace(",", ".") if isinstance(value, str) else value
        try:
            share = 0 < float(number) <= 1  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            return number
        if share:
            raise ValueError(
                f"it is in percent, so {number} would call nearly everything change; write 99.99, not 0.9999"
            )
        return number


class KindsSection(Section):
    """Kinds of change: k-means on amplitude and angle."""

    classes: Annotated[int, Field(ge=1, le=254)] = 4
    """Number of kinds (SatCen S2-CD: 4)."""
    reference_vector: str = "first"
    """Reference of the angle: first (1,0,0,...), uniform, ndvi, mean, or numbers such as 0,0,-1,1."""
    smooth_px: Annotated[int, Field(ge=0, le=50)] = 1
    """Radius of the majority filter that takes the speckle out of the kinds, pixels; 0: none. What changed stays so."""


class OutputSection(Section):
    """Where the results go and as what."""

    outdir: Annotated[str, Field(min_length=1)]
    """Folder of the results."""
    format: str = "COG"
    """COG, or any GDAL driver that writes: GTiff, PNG, HFA ..."""
    p_value: bool = False
    """Write p-value.tif as well."""
    force: bool = False
    """Replace the results of another run."""


class RunSection(Section):
    """How the work is done; does not change the result."""

    memory: Annotated[str, Field(pattern=r"^\s*(\d{8,}|\d+([.,]\d+)?\s*[kKmMgGtT])(i?[bB])?\s*$")] = "2G"
    """Memory of all processes together: 2G, 800M. With the scheduler of a cluster: of each worker."""
    workers: Annotated[int, Field(ge=1, le=256)] | None = None
    """Processes; none: one a core. With a scheduler: how many workers to wait for."""
    scheduler: Annotated[str, Field(pattern=r"^(local|[a-z]+://\S+)$")] | None = None
    """Dask workers instead: address of their scheduler (tcp://host:8786), or local for such a cluster here."""
    strict: bool = False
    """Named warnings become errors."""


class ChangeJob(Section):
    """One run of ``groundshift change``."""

    input: InputSection
    grid: GridSection = GridSection()
    mask: MaskSection = MaskSection()
    normalise: NormaliseSection = NormaliseSection()
    detect: DetectSection = DetectSection()
    kinds: KindsSection = KindsSection()
    output: OutputSection
    run: RunSection = RunSection()
