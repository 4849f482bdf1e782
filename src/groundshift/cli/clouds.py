"""``groundshift clouds``: where the clouds, their shadows and snow of a scene are."""

from __future__ import annotations

from typing import Annotated

import typer

from groundshift.cli.execute import cell, print_json, print_table, print_warnings
from groundshift.cli.layout import Debug, Json, Quiet, examples
from groundshift.errors import UsageError
from groundshift.execution.progress import progress

EXAMPLES = examples(
    "groundshift clouds demo/products/*20210325*.zip --out clouds.tif",
    "groundshift clouds demo/products/*20210325*.zip --out grown.tif --cloud-dilation 150 --resolution 60",
)
_READ, _MASK, _RUN = "Reading", "Masking", "Running"


def clouds(
    *,
    scene: Annotated[
        str,
        typer.Argument(metavar="SCENE", help="SAFE folder or zip, STAC item, raster, folder of rasters, FOLDER@DATE."),
    ],
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE", help="The mask, a GeoTIFF.")],
    probabilities: Annotated[
        str | None,
        typer.Option("--probabilities", metavar="FILE", help="Write the probability of each class as well."),
    ] = None,
    aoi: Annotated[str | None, typer.Option("--aoi", metavar="WKT|FILE", help="Area of interest.")] = None,
    resolution: Annotated[
        float | None,
        typer.Option("--resolution", "-r", metavar="METRES", help="Pixel size [default: that of the mask]"),
    ] = None,
    mask: Annotated[
        str,
        typer.Option(
            "--mask",
            metavar="auto|scl|unet|...",
            help="scl, unet, s2cloudless, ukis-csmask, omnicloudmask; auto: scl where the product has one, else unet.",
            rich_help_panel=_MASK,
        ),
    ] = "auto",
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", metavar="FILE", help="Weights for the mask, where it takes them.", rich_help_panel=_MASK
        ),
    ] = None,
    mask_classes: Annotated[
        str | None,
        typer.Option(
            "--mask-classes",
            metavar="3,8,9,...",
            help="SCL codes that count, of 2, 3 (shadow), 8, 9 (cloud), 7, 10 (thin cloud), 11 (snow) "
            "[default: 3,8,9,10,11]",
            rich_help_panel=_MASK,
        ),
    ] = None,
    shadows: Annotated[
        bool,
        typer.Option("--shadows/--no-shadows", help="Seek shadows where the sun throws them.", rich_help_panel=_MASK),
    ] = True,
    cloud_dilation: Annotated[
        float, typer.Option("--cloud-dilation", metavar="METRES", help="Growth of clouds.", rich_help_panel=_MASK)
    ] = 0.0,
    shadow_dilation: Annotated[
        float, typer.Option("--shadow-dilation", metavar="METRES", help="Growth of shadows.", rich_help_panel=_MASK)
    ] = 0.0,
    band_order: Annotated[
        str | None,
        typer.Option(
            "--band-order", metavar="B2,B3,...", help="Bands of a plain raster in file order.", rich_help_panel=_READ
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option("--scale", metavar="DN", help="DN of reflectance 1 in a plain raster.", rich_help_panel=_READ),
    ] = None,
    offset: Annotated[
        float | None,
        typer.Option("--offset", metavar="DN", help="Added to a DN before scaling.", rich_help_panel=_READ),
    ] = None,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Do not verify checksums.", rich_help_panel=_READ)
    ] = False,
    memory: Annotated[
        str, typer.Option("--memory", metavar="2G", help="Memory of all processes together.", rich_help_panel=_RUN)
    ] = "2G",
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", help="Processes [default: one a core]", rich_help_panel=_RUN),
    ] = None,
    as_json: Annotated[bool, Json] = False,
    quiet: Annotated[bool, Quiet] = False,
    debug: Annotated[bool, Debug] = False,
) -> None:
    """Where the clouds of a scene are, and their shadows, and snow.

    The mask is a byte: 0 clear, 1 cloud, 2 thin cloud, 3 shadow, 4 snow, 255 no data.
    """
    from groundshift.model.bands import parse_bands
    from groundshift.model.scene import OpenOptions
    from groundshift.pipelines import clouds as pipeline
    from groundshift.pipelines.scene_mask import MaskOptions

    if scale is not None and not scale > 0:
        raise UsageError(f"--scale is {scale:g}: expected more than 0.")
    chosen = {} if mask_classes is None else {"classes": _codes(mask_classes)}
    job = pipeline.CloudsJob(
        scene=scene,
        out=out,
        options=MaskOptions(
            mask=mask,
            weights=weights,
            shadows=shadows,
            cloud_dilation_m=cloud_dilation,
            shadow_dilation_m=shadow_dilation,
            **chosen,
        ),
        reading=OpenOptions(
            band_order=None if band_order is None else parse_bands(band_order),
            scale=scale,
            offset=offset,
            verify=not no_verify,
        ),
        resolution=resolution,
        aoi=aoi,
        probabilities=probabilities,
        memory=memory,
        workers=workers,
    )
    result = pipeline.run(job, progress(quiet))
    print_warnings(result.warnings)
    summary = result.summary
    if as_json:
        print_json(summary)
    elif not quiet:
        print_table(["class", "% of data"], [[name, cell(share)] for name, share in summary["percent"].items()])
        print(f"no data: {cell(summary['nodata_percent'])} %")
        print(f"by: {summary['mask']}, pixels of {cell(summary['resolution_m'])} m")
        for name, path in summary["outputs"].items():
            print(f"{name}: {path}")


def _codes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(",") if word.strip())
    except ValueError:
        raise UsageError(f"--mask-classes is {text!r}: expected codes such as 3,8,9,10.") from None
