"""``groundshift change``: what changed between two images."""

from __future__ import annotations

from typing import Any

from groundshift.cli.execute import execute
from groundshift.cli.layout import examples
from groundshift.cli.options import ARGUMENTS, GROUPS, job_of
from groundshift.cli.signature import Options, reads
from groundshift.pipelines import jobfile
from groundshift.pipelines.job import ChangeJob

EXAMPLES = examples(
    "groundshift change demo/products/*.zip --outdir flood",
    "groundshift change demo/products/*.zip --outdir flood20 -r 20 -b B3,B8,B11 --save-config job.toml",
)
_OPTIONS = Options(ChangeJob, GROUPS, ARGUMENTS)


@reads(_OPTIONS)
def change(*, as_json: bool, quiet: bool, save_config: str | None, debug: bool, **given: Any) -> None:
    """What changed between two images: a map of kinds of change, with the evidence in a report.

    BEFORE and AFTER are Sentinel-2 products (SAFE folder or zip), STAC items, rasters, or folders of rasters.
    """
    job = job_of(_OPTIONS.values(given))
    if save_config is not None:
        jobfile.save(job, save_config)
    execute(job, as_json=as_json, quiet=quiet)
