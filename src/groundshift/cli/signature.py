"""Commands whose options are the fields of a job: the parameters that typer reads, and the job that is made of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic

import typer

from groundshift.cli.layout import Debug, Json, Quiet, Save
from groundshift.cli.options import Group, JobOption, explained
from groundshift.errors import UsageError
from groundshift.pipelines.jobfile import J, fields, make


@dataclass(frozen=True)
class Options(Generic[J]):
    """Arguments and options of a command by the fields of one kind of job."""

    kind: type[J]
    groups: Mapping[str, Group]
    """Options by the heading that help shows them under, in its order."""
    arguments: Mapping[str, str]
    """Fields that are arguments, and what help calls them; several are taken by one that ends in dots."""

    @property
    def all(self) -> Group:
        """Each option, once."""
        return tuple(option for group in self.groups.values() for option in group)

    def signature(self) -> inspect.Signature:
        """Arguments, options, and how to talk."""
        parameters = [self._argument(key, shown) for key, shown in self.arguments.items()]
        parameters += [self._option(option, heading) for heading, group in self.groups.items() for option in group]
        parameters += [
            _parameter("save_config", Annotated[str | None, Save], None),
            _parameter("as_json", Annotated[bool, Json], False),
            _parameter("quiet", Annotated[bool, Quiet], False),
            _parameter("debug", Annotated[bool, Debug], False),
        ]
        return inspect.Signature(parameters)

    def values(self, given: Mapping[str, Any]) -> dict[str, object]:
        """Options by dotted name, of the parameters of the command; None: not given."""
        found = {option.key: _value(option, given[option.name]) for option in self.all if option.key}
        found |= {key: given[_identifier(shown)] for key, shown in self.arguments.items()}
        if found.get("input.scenes"):
            from groundshift.pipelines.scene_names import expanded

            found["input.scenes"] = expanded(found["input.scenes"])
        return found

    def job(self, values: Mapping[str, object]) -> J:
        """Make a job of options by dotted name; UsageError names the flag that does not fit."""
        return make(self.kind, values, self.flag_of, UsageError)

    def flag_of(self, key: str) -> str:
        """What the command line calls a field: ``detect.fdr`` is ``--fdr``."""
        flags = {option.key: option.flags[0] for option in self.all}
        return self.arguments.get(key, "").removesuffix("...") or flags.get(key, key)

    def _argument(self, key: str, shown: str) -> inspect.Parameter:
        info = typer.Argument(metavar=shown, help=explained(fields(self.kind)[key]))
        return _parameter(_identifier(shown), Annotated[list[str] if shown.endswith("...") else str, info])

    def _option(self, option: JobOption, heading: str) -> inspect.Parameter:
        told = option.help(self.kind)
        info = typer.Option(*option.flags, metavar=option.metavar or None, help=told, rich_help_panel=heading)
        if option.const is not None:
            return _parameter(option.name, Annotated[bool, info], False)
        if fields(self.kind)[option.key].is_required():
            return _parameter(option.name, Annotated[str, info])
        return _parameter(option.name, Annotated[list[str] | None if option.several else str | None, info], None)


def reads(options: Options[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command that takes what is ``given`` the parameters of some options."""

    def told(command: Callable[..., None]) -> Callable[..., None]:
        command.__signature__ = options.signature()  # type: ignore[attr-defined]
        return command

    return told


def _identifier(shown: str) -> str:
    return shown.removesuffix("...").lower()


def _value(option: JobOption, given: Any) -> Any:
    if option.const is None:
        return given or None if option.several else given
    return option.const if given else None


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
