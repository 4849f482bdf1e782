"""``groundshift change``: what changed between two images."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from groundshift.cli.execute import execute
from groundshift.cli.layout import Debug, Json, Quiet, examples
from groundshift.cli.options import ARGUMENTS, GROUPS, OPTIONS, JobOption, job_of
from groundshift.pipelines import jobfile

EXAMPLES = examples(
    "groundshift change demo/products/*.zip --outdir flood",
    "groundshift change demo/products/*.zip --outdir flood20 -r 20 -b B3,B8,B11 --save-config job.toml",
)


def change(*, as_json: bool, quiet: bool, save_config: str | None, debug: bool, **given: Any) -> None:
    """What changed between two images: a map of kinds of change, with the evidence in a report.

    BEFORE and AFTER are Sentinel-2 products (SAFE folder or zip), STAC items, rasters, or folders of rasters.
    """
    values = {key: given[argument.lower()] for key, argument in ARGUMENTS.items()}
    job = job_of(values | {option.key: _value(option, given[option.name]) for option in OPTIONS})
    if save_config is not None:
        jobfile.save(job, save_config)
    execute(job, as_json=as_json, quiet=quiet)


def _value(option: JobOption, given: Any) -> Any:
    if option.const is None:
        return given
    return option.const if given else None


def _signature() -> inspect.Signature:
    """The parameters that typer reads: arguments, every option of the registry, and how to talk."""
    help_of = {key: field.description for key, field in jobfile.fields().items()}
    parameters = [
        _parameter(argument.lower(), Annotated[str, typer.Argument(metavar=argument, help=help_of[key])])
        for key, argument in ARGUMENTS.items()
    ]
    for heading, group in GROUPS.items():
        for option in group:
            info = typer.Option(
                *option.flags, metavar=option.metavar or None, help=option.help, rich_help_panel=heading
            )
            if option.const is not None:
                parameters.append(_parameter(option.name, Annotated[bool, info], False))
            elif jobfile.fields()[option.key].is_required():
                parameters.append(_parameter(option.name, Annotated[str, info]))
            else:
                parameters.append(_parameter(option.name, Annotated[str | None, info], None))
    save = typer.Option(
        "--save-config",
        metavar="JOB.TOML",
        help="Write the job to a file for groundshift run.",
        rich_help_panel="Results",
    )
    parameters += [
        _parameter("save_config", Annotated[str | None, save], None),
        _parameter("as_json", Annotated[bool, Json], False),
        _parameter("quiet", Annotated[bool, Quiet], False),
        _parameter("debug", Annotated[bool, Debug], False),
    ]
    return inspect.Signature(parameters)


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


change.__signature__ = _signature()  # type: ignore[attr-defined]
