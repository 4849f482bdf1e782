"""A features job: every option of ``groundshift features`` by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from groundshift.pipelines.job import Classes, RunSection, Section
from groundshift.pipelines.mosaic_job import ScenesSection


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _whole(value: object) -> object:
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


class StackSection(Section):
    """What the stack holds, and on which grid."""

    features: Annotated[str, Field(min_length=1)] = "default"
    """Bands of the stack in file order: default (the twenty), or a list such as B2,B8,NDVI,slope,pca:1-3,
    glcm:B8:entropy+contrast."""
    indices: Annotated[tuple[str, ...], BeforeValidator(_listed)] | None = None
    """Indices of your own, such as GNDVI=(B8-B3)/(B8+B3), to be named in the list."""
    dem: str | None = None
    """Elevation model, a raster in metres."""
    roads: str | None = None
    """Vector file of lines: a band that is 1 where one of them touches a pixel."""
    sharpen: Literal["guided", "none"] = "guided"
    """How bands of larger pixels come to the grid: guided by the bands that have its pixels, or by interpolation."""
    aoi: str | None = None
    """Area of interest: WKT, or path of a vector file."""
    resolution: Annotated[float, Field(gt=0)] | None = None
    """Pixel size in metres; none: that of the finest band."""
    projection: str = "native"
    """CRS of the stack: native (that of most of the scenes), EPSG:n, or WKT."""


class TextureSection(Section):
    """Grey-level co-occurrence matrices."""

    window: Annotated[int, Field(ge=3, le=63)] = 7
    """Side of the window, pixels, odd."""
    levels: Annotated[int, Field(ge=2, le=128)] = 32
    """Grey levels, between the 1st and the 99th percentile of the whole image."""
    distance: Annotated[int, Field(ge=1, le=16)] = 1
    """Pixels between the two of a pair."""
    directions: Annotated[Literal[1, 2, 4], BeforeValidator(_whole)] = 4
    """Directions that are averaged: 4 (0, 45, 90, 135 degrees), 2 (0, 90) or 1 (0)."""
    fitted: str | None = None
    """The manifest of another stack, whose components and grey levels are used, so that the two can be compared."""

    @field_validator("window")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("a window has an odd number of pixels, so that it has a middle")
        return value


class ClearSection(Section):
    """What of a scene is not clear, and becomes no data."""

    mask: Literal["auto", "scl", "unet", "s2cloudless", "ukis-csmask", "omnicloudmask", "none"] = "auto"
    """Cloud mask, as for mosaic: scl (the classes of the product), unet (ours), others (extras), none; auto: scl where
    the product has one, none for plain rasters, which somebody has cut out and looked at, else unet."""
    weights: str | None = None
    """File or folder of the weights, for masks that take them."""
    shadows: bool = True
    """Look for shadows where the sun throws them, beside those of the mask."""
    classes: Classes = (0, 1, 3, 8, 9, 10)
    """SCL codes that are masked, as for change."""
    cloud_dilation_m: Annotated[float, Field(ge=0, le=5000)] = 150.0
    """Growth of clouds (8, 9, 10), metres."""
    shadow_dilation_m: Annotated[float, Field(ge=0, le=5000)] = 80.0
    """Growth of cloud shadows (3), metres."""


class StackOutputSection(Section):
    """Where the stack goes."""

    out: Annotated[str, Field(min_length=1)]
    """The stack, a Cloud Optimized GeoTIFF."""
    plot: str | None = None
    """Picture (PNG) of every band."""

    @field_validator("out")
    @classmethod
    def _tif(cls, value: str) -> str:
        if Path(value).suffix.lower() not in (".tif", ".tiff"):
            raise ValueError("it should end in .tif")
        return value

    @field_validator("plot")
    @classmethod
    def _png(cls, value: str | None) -> str | None:
        if value is not None and Path(value).suffix.lower() != ".png":
            raise ValueError("it should end in .png")
        return value


class FeaturesJob(Section):
    """One run of ``groundshift features``."""

    input: ScenesSection
    stack: StackSection = StackSection()
    texture: TextureSection = TextureSection()
    clouds: ClearSection = ClearSection()
    output: StackOutputSection
    run: RunSection = RunSection()
