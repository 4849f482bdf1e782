"""A mosaic job: every option of ``groundshift mosaic`` by name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from groundshift.pipelines.job import Bands, Classes, RunSection, Section


class ScenesSection(Section):
    """The scenes, and how to read them."""

    scenes: Annotated[tuple[str, ...], Field(min_length=1)]
    """SAFE folders or zips, STAC items, folders of either, rasters, FOLDER@DATE, or a list that select wrote."""
    dates: str | None = None
    """Only scenes sensed from one day to another, both included: 2023-06-01/2023-08-31."""
    max_cloud: Annotated[float, Field(ge=0, le=100)] | None = None
    """Only scenes whose metadata tell of at most this percentage of cloud."""
    band_order: Bands | None = None
    """Bands of a plain raster in file order."""
    scale: Annotated[float, Field(gt=0)] | None = None
    """DN of reflectance 1.0 in a plain raster: reflectance = (DN + offset) / scale."""
    offset: float | None = None
    """Added to the DN of a plain raster before scaling."""
    trust: Literal["metadata", "pixels"] | None = None
    """Whom to believe when the offset audit finds a contradiction; none: it is an error."""
    verify: bool = True
    """Verify the checksum of each band file before its first use."""

    @field_validator("dates")
    @classmethod
    def _interval(cls, value: str | None) -> str | None:
        if value is not None:
            interval(value)
        return value


class MosaicGridSection(Section):
    """The grid of the mosaic."""

    bands: Bands = ("B04", "B03", "B02", "B08")
    """Bands of the mosaic in file order: red, green, blue, near infrared."""
    aoi: str | None = None
    """Area of interest: WKT, or path of a vector file."""
    resolution: Annotated[float, Field(gt=0)] | None = None
    """Pixel size in metres; none: that of the finest chosen band."""
    projection: str = "native"
    """CRS of the mosaic: native (that of most of the scenes), EPSG:n, or WKT."""


class MaskingSection(Section):
    """What of a scene is not clear."""

    mask: Literal["auto", "scl", "unet", "s2cloudless", "ukis-csmask", "omnicloudmask", "none"] = "auto"
    """Cloud mask: scl (the scene classification of the product), unet (ours), s2cloudless, ukis-csmask, omnicloudmask
    (extras), none; auto: scl where the product has one, else unet."""
    weights: str | None = None
    """File or folder of the weights, for masks that take them."""
    shadows: bool = True
    """Look for shadows where the sun throws them, beside those of the mask."""
    classes: Classes = (0, 1, 3, 7, 8, 9, 10)
    """SCL codes that are masked: as for change, and unclassified (7), which CDSE and S2Mosaic mask as well."""
    cloud_dilation_m: Annotated[float, Field(ge=0, le=5000)] = 150.0
    """Growth of clouds (8, 9, 10), metres: 100 to 200 in the literature."""
    shadow_dilation_m: Annotated[float, Field(ge=0, le=5000)] = 80.0
    """Growth of cloud shadows (3), metres: 60 to 100 in the literature."""


class CloudsSection(MaskingSection):
    """What of a scene is not clear."""

    lenient: Classes = (0, 1, 3, 8, 9, 10)
    """SCL codes that stay masked where nothing is clear by the first set, and nothing is grown there (of other masks:
    all but what they grew by); empty: such pixels stay without data."""
    second_opinion: bool = True
    """Where three dates or more see a place: what looks like cloud beside the others is masked, and what looks the
    same on three dates is ground (needs blue, red and near infrared among the bands)."""


class ComposeSection(Section):
    """Which pixel, or what of all of them; colours; seams."""

    method: Literal["newest", "best", "weighted", "median", "mean", "percentile", "medoid", "geomedian"] = "best"
    """newest clear pixel, best available one (far from clouds, clear scene, new), or a statistic of all clear ones."""
    preset: Literal["force", "apex", "cdse"] | None = None
    """As others do it: best pixel by the scores of FORCE or APEx, or the lower quartile of CDSE's quarterly mosaics."""
    percentile: Annotated[float, Field(ge=0, le=100)] = 25.0
    """Of ``percentile``, band by band (CDSE quarterly mosaics: 25)."""
    balance: Literal["global", "none"] = "global"
    """One least-squares adjustment of gain and offset of every scene over all overlaps, or none."""
    blend: Literal["multiband", "feather", "none"] = "multiband"
    """How scenes go over into each other where the pixel of one was chosen."""


class MosaicOutputSection(Section):
    """Where the results go and as what."""

    outdir: str
    """Folder of the results."""
    format: str = "COG"
    """COG, or any GDAL driver that writes."""
    eight_bit: bool = False
    """Write mosaic-8bit.tif as well: three bands for the eye, one tone curve for all."""
    force: bool = False
    """Replace the results of another run."""


PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "force": {"compose": {"method": "best"}},
    "apex": {"compose": {"method": "best"}},
    "cdse": {
        "compose": {"method": "percentile", "percentile": 25.0, "balance": "none"},
        "clouds": {
            "classes": (1, 3, 7, 8, 9, 10),
            "lenient": (),
            "shadows": False,
            "cloud_dilation_m": 0.0,
            "shadow_dilation_m": 0.0,
            "second_opinion": False,
        },
    },
}
"""What each preset says; an option that is given beside it counts more. Scores of ``force`` and ``apex``:
:data:`groundshift.composite.scores.SCORES`. ``cdse``: the algorithm page of the quarterly mosaics of the Copernicus
Data Space Ecosystem, which masks these classes, seeks no other shadows, grows nothing, and adjusts no colours."""


class MosaicJob(Section):
    """One run of ``groundshift mosaic``."""

    input: ScenesSection
    grid: MosaicGridSection = MosaicGridSection()
    clouds: CloudsSection = CloudsSection()
    compose: ComposeSection = ComposeSection()
    output: MosaicOutputSection
    run: RunSection = RunSection()

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, given: Any) -> Any:
        """Fill in what a preset says where nothing else was said."""
        compose = given.get("compose") if isinstance(given, Mapping) else None
        preset = compose.get("preset") if isinstance(compose, Mapping) else None
        for section, values in PRESETS.get(str(preset), {}).items():
            own = given.get(section) or {}
            if isinstance(own, Mapping):
                given = {**given, section: {**values, **own}}
        return given

    @model_validator(mode="after")
    def _preset_has_its_method(self) -> MosaicJob:
        preset = self.compose.preset
        method = None if preset is None else PRESETS[preset]["compose"]["method"]
        if preset is not None and self.compose.method != method:
            raise ValueError(
                f"the preset {preset} is for the method {method}, not {self.compose.method}: leave out one of the two"
            )
        return self

    @model_validator(mode="after")
    def _eight_bit_has_colours(self) -> MosaicJob:
        if self.output.eight_bit and len(self.grid.bands) not in (1, *range(3, 20)):
            raise ValueError("an 8-bit picture has one band or three: choose other --bands, or leave out --eight-bit")
        return self


def interval(text: str) -> tuple[date, date]:
    """First and last day of ``2023-06-01/2023-08-31``; a single day is both.

    Raises:
        ValueError: they are no days, or the wrong way round.
    """
    words = text.split("/")
    try:
        first, last = (date.fromisoformat(word.strip()) for word in (words[0], words[-1]))
    except ValueError:
        raise ValueError(f"days are written 2023-06-01/2023-08-31, not {text!r}") from None
    if len(words) > 2 or last < first:
        raise ValueError(f"days are written 2023-06-01/2023-08-31, earlier first, not {text!r}")
    return first, last
