"""``groundshift series``: the probability of change along a series of dates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from groundshift.cli.execute import cell, print_json, print_table, print_warnings
from groundshift.cli.layout import examples
from groundshift.cli.options import (
    AOI,
    BANDS,
    CLOUD_WEIGHTS,
    CLOUDS,
    FORCE,
    MASK_CLASSES,
    MIN_AREA,
    NETWORK_WEIGHTS,
    NO_VERIFY,
    OUTDIR,
    PLAIN_RASTERS,
    REGRESSION,
    RESOLUTION,
    RESUME,
    RUNNING,
    SAMPLE_PIXELS,
    SEED,
    TRUST,
    WHICH_SCENES,
    JobOption,
)
from groundshift.cli.signature import Options, reads
from groundshift.errors import PartialError
from groundshift.execution.progress import progress
from groundshift.pipelines import jobfile
from groundshift.pipelines.series_job import SeriesJob

EXAMPLES = examples(
    "groundshift series demo/products/*.zip --outdir along",
    "groundshift series demo/products/*.zip --outdir along20 --resolution 20 --confirm 1/1 --json",
)
_OPTIONS = Options(
    SeriesJob,
    {
        "Results": (OUTDIR, JobOption(("--no-animation",), "output.animation", const=False), FORCE),
        "Scenes": (
            *WHICH_SCENES,
            JobOption(("--orbits",), "input.orbits", "same|any"),
            *PLAIN_RASTERS,
            TRUST,
            NO_VERIFY,
        ),
        "Grid": (BANDS, AOI, RESOLUTION),
        "Masking": (
            CLOUDS,
            CLOUD_WEIGHTS,
            JobOption(("--shadows",), "clouds.shadows", const=True),
            *MASK_CLASSES,
        ),
        "Detection": (
            JobOption(("--method",), "detect.method", "ensemble|network|statistical"),
            NETWORK_WEIGHTS,
            JobOption(("--threshold",), "detect.threshold", "PROBABILITY"),
            JobOption(("--confirm",), "detect.confirm", "K/N"),
            JobOption(("--min-joint",), "detect.min_joint", "PERCENT"),
            MIN_AREA,
            REGRESSION,
            SAMPLE_PIXELS,
            SEED,
        ),
        "Running": (RESUME, *RUNNING),
    },
    {"input.scenes": "SCENES..."},
)
_NAMED = 5
"""Of what could not be done, in the last line."""


@reads(_OPTIONS)
def series(*, as_json: bool, quiet: bool, save_config: str | None, debug: bool, **given: Any) -> None:
    """Where and when something changed along a series: the probability of change between each date and the one before.

    Started again with more dates it goes on where it was, and so does a run that was interrupted.
    """
    job = _OPTIONS.job(_OPTIONS.values(given))
    if save_config is not None:
        jobfile.save(job, save_config)
    execute(job, as_json=as_json, quiet=quiet)


def execute(job: SeriesJob, *, as_json: bool, quiet: bool) -> None:
    """Run a series job and print what came out."""
    from groundshift.pipelines import series as pipeline

    result = pipeline.run(job, progress(quiet))
    print_warnings(result.warnings)
    if as_json:
        print_json(result.summary)
    elif not quiet:
        _print(result.summary)
    summary = result.summary
    lost = [scene["reason"] for scene in summary["skipped"] if scene["lost"]]
    failed = [f"{each['date']}, {each['what']}: {each['reason']}" for each in summary["failed"]]
    if lost:
        raise PartialError(_partial(len(lost), "scene", "could not be read", [*lost, *failed]))
    if failed:
        raise PartialError(_partial(len(failed), "part", "could not be computed", failed))


def _partial(count: int, what: str, happened: str, named: Sequence[str]) -> str:
    more = f"; and {len(named) - _NAMED} more, all in manifest.json" if len(named) > _NAMED else ""
    told = "; ".join(named[:_NAMED])
    return f"{count} {what}{'s' * (count > 1)} {happened}, the rest is done: {told}{more}"


def _print(summary: Mapping[str, Any]) -> None:
    header = ["field of view", "before", "after", "jointly usable %", "changed %"]
    rows = [
        [view["name"], pair["before"], pair["after"], cell(pair["joint_percent"]), cell(pair["changed_percent"])]
        for view in summary["fields"]
        for pair in view["pairs"]
    ]
    print_table(header, rows)
    for view in summary["fields"]:
        for pair in view["pairs"]:
            if pair["reason"]:
                print(f"skipped: {view['name']} {pair['before']} to {pair['after']}: {pair['reason']}")
    for each in summary["failed"]:
        print(f"not computed: {each['field']} {each['date']}, {each['what']}: {each['reason']}")
    for scene in (*summary["skipped"], *summary["dropped"]):
        print(f"not used: {scene['name']}: {scene['reason']}")
    for view in summary["fields"]:
        print(
            f"{view['name']}: {view['alerts']:,} alerts on {cell(view['alerts_ha'])} ha, of which "
            f"{view['alerts_confirmed']:,} on {cell(view['alerts_confirmed_ha'])} ha are confirmed"
        )
    for name, path in summary["outputs"].items():
        print(f"{name}: {path}")
