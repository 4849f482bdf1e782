"""Job files: a job of any command as TOML, every option by its dotted name, with its explanation beside it.

Paths in a job file are relative to the folder in which ``groundshift run`` is called, as they are on the command line.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from groundshift import __version__
from groundshift.errors import ConfigError, GroundshiftError, MissingInputError, OutputError, UsageError
from groundshift.io.atomic import write_text, writing
from groundshift.pipelines.features_job import FeaturesJob
from groundshift.pipelines.job import ChangeJob
from groundshift.pipelines.landcover_job import PredictJob, TrainJob
from groundshift.pipelines.mosaic_job import MosaicJob
from groundshift.pipelines.series_job import SeriesJob

Job = ChangeJob | MosaicJob | FeaturesJob | TrainJob | PredictJob | SeriesJob
J = TypeVar("J", ChangeJob, MosaicJob, FeaturesJob, TrainJob, PredictJob, SeriesJob)

_KINDS: tuple[type[Job], ...] = (ChangeJob, MosaicJob, FeaturesJob, TrainJob, PredictJob, SeriesJob)

_LARGEST = 1 << 20
_HEADER = f"""\
# A groundshift job, written by groundshift {__version__}: change it and run it again with
#     groundshift run FILE [--set SECTION.NAME=VALUE ...]
# Paths are relative to the folder in which that is said. A line that is not set is left to its default.
"""


def sections(kind: type[Job] = ChangeJob) -> dict[str, type[BaseModel]]:
    """The sections of a job file by name, in order."""
    annotations = {name: field.annotation for name, field in kind.model_fields.items()}
    return {name: each for name, each in annotations.items() if isinstance(each, type) and issubclass(each, BaseModel)}


def fields(kind: type[Job] = ChangeJob) -> dict[str, FieldInfo]:
    """Every option of a job by its dotted name (``detect.confidence``), in order."""
    tables = sections(kind)
    return {f"{name}.{key}": field for name, table in tables.items() for key, field in table.model_fields.items()}


def values(job: Job) -> dict[str, object]:
    """The options of a job by dotted name."""
    nested = job.model_dump(mode="json")
    return {f"{section}.{key}": value for section, table in nested.items() for key, value in table.items()}


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant by a mistyped one, compared whole and by the part after its last dot."""
    known = list(names)
    folded = {name.rpartition(".")[2].lower(): name for name in known} | {name.lower(): name for name in known}
    for candidate in (word.lower(), word.rpartition(".")[2].lower()):
        if close := difflib.get_close_matches(candidate, folded, n=1, cutoff=0.6):
            return folded[close[0]]
    return None


def hint(word: str, names: Iterable[str]) -> str:
    """``; did you mean X?``, or nothing."""
    name = nearest(word, names)
    return f"; did you mean {name}?" if name else "."


def dotted(options: dict[str, object], kind: type[Job] = ChangeJob) -> dict[str, object]:
    """Options by section and name, of options by name."""
    known = fields(kind)
    found: dict[str, object] = {}
    for name, value in options.items():
        keys = [key for key in known if name in (key.partition(".")[2], key.replace(".", "_"))]
        if len(keys) != 1:
            told = f"say which: {', '.join(keys)}" if keys else f"there is no such option{hint(name, known)}"
            raise UsageError(f"option {name!r}: {told}.")
        found[keys[0]] = str(value) if isinstance(value, Path) else value
    return found


def make_job(
    given: Mapping[str, object], label: Callable[[str], str] = str, error: type[GroundshiftError] = ConfigError
) -> ChangeJob:
    """A change job of options by dotted name; see :func:`make`."""
    return make(ChangeJob, given, label, error)


def make(
    kind: type[J],
    given: Mapping[str, object],
    label: Callable[[str], str] = str,
    error: type[GroundshiftError] = ConfigError,
) -> J:
    """Make a job of options by dotted name; None means not given.

    Args:
        kind: of the job.
        given: for example ``{"input.before": "A.zip", "detect.confidence": "99,9"}``.
        label: what the user calls an option: the name in a file, the flag on the command line.
        error: what to raise.

    Raises:
        GroundshiftError: ``error``, with one sentence for each option that does not exist, is missing or does not fit.
    """
    known = fields(kind)
    faults = [f"there is no option {key}{hint(key, known)}" for key in given if key not in known]
    if not faults:
        try:
            return kind.model_validate(_nested(kind, given))
        except ValidationError as found:
            faults = list(dict.fromkeys(sentence(detail, label) for detail in found.errors()))
    raise error("\n".join(faults))


def _nested(kind: type[Job], given: Mapping[str, object]) -> dict[str, dict[str, object]]:
    tables: dict[str, dict[str, object]] = {name: {} for name in sections(kind)}
    for key, value in given.items():
        section, _, name = key.partition(".")
        if value is not None:
            tables[section][name] = value
    return tables


def sentence(detail: Mapping[str, Any], label: Callable[[str], str]) -> str:
    """One fault as a sentence: ``detect.fdr is 7: it should be less than 1.``"""
    key = ".".join(str(part) for part in detail["loc"][:2])
    if detail["type"] == "missing":
        return f"{label(key)} is missing."
    message = detail["msg"].removeprefix("Value error, ").partition(", unable to parse")[0].rstrip(".")
    if not key:
        return f"{message}."
    message = message.replace("Input should", "it should").replace("String should", "it should")
    if detail["type"] == "string_pattern_mismatch" and key == "run.memory":
        message = "it should be a size such as 2G or 800M"
    choices = str(detail.get("ctx", {}).get("expected", "")) if detail["type"] == "literal_error" else ""
    names = [word.strip("'") for word in choices.replace(" or ", ", ").split(", ")]
    return f"{label(key)} is {detail['input']!r}: {message}{hint(str(detail['input']), names)}"


def load(path: str | Path, overrides: Mapping[str, object] | None = None) -> Job:
    """Read a job file, of the kind of job that most of its options are of.

    Args:
        path: TOML.
        overrides: options by dotted name that replace those of the file.

    Raises:
        MissingInputError: there is no such file.
        ConfigError: it is no TOML, or an option in it does not exist, is missing or does not fit; it names the file,
            the option and, where there is one, the name that was probably meant.
    """
    given = {**_read(path), **(overrides or {})}
    try:
        return _made(given)
    except ConfigError as error:
        raise ConfigError("\n".join(f"{path}: {sentence}" for sentence in str(error).splitlines())) from None


def _made(given: Mapping[str, object]) -> Job:
    """A job of the kind that most of the options are of; of equals a change job, then a mosaic."""
    kind: Any = max(_KINDS, key=lambda kind: len(set(given) & set(fields(kind))))
    made: Job = make(kind, given)
    return made


def _read(path: str | Path) -> dict[str, object]:
    try:
        with open(path, "rb") as file:
            raw = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise MissingInputError(f"there is no job file {path}.") from None
    except OSError as error:
        raise ConfigError(f"the job file {path} cannot be read: {error.strerror}.") from error
    if len(raw) > _LARGEST:
        raise ConfigError(f"{path} is no job file: it is larger than {_LARGEST // 1024} KiB.")
    try:
        tables = tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no TOML: byte {error.start} is not UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is no TOML: {error}.") from None
    return _flat(tables)


def _flat(tables: Mapping[str, object]) -> dict[str, object]:
    flat: dict[str, object] = {}
    known = {name for kind in _KINDS for name in sections(kind)}
    for section, table in tables.items():
        if isinstance(table, Mapping) and (table or section in known):
            flat |= {f"{section}.{key}": value for key, value in table.items()}
        else:
            flat[section] = table
    return flat


def parse_setting(text: str) -> tuple[str, object]:
    """Split ``detect.confidence=99.9`` into name and value; a value that is no TOML is taken as text.

    Raises:
        ConfigError: there is no ``=``, or no such option.
    """
    key, equals, word = (part.strip() for part in text.partition("="))
    if not equals:
        raise ConfigError(f"--set {text}: expected SECTION.NAME=VALUE, for example detect.confidence=99.9.")
    known = {name: field for kind in _KINDS for name, field in fields(kind).items()}
    if key not in known:
        raise ConfigError(f"--set {text}: there is no option {key}{hint(key, known)}")
    try:
        return key, tomllib.loads(f"value = {word}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return key, word


def dumps(job: Job) -> str:
    """A job as the text of a job file. Law: :func:`load` of it gives an equal job."""
    nested = job.model_dump(mode="json")
    parts = [_HEADER]
    for section, kind in sections(type(job)).items():
        parts.append(f"\n# {(kind.__doc__ or '').strip().splitlines()[0]}\n[{section}]\n")
        for key, field in kind.model_fields.items():
            value = nested[section][key]
            line = f"# {key} is not set" if value is None else f"{key} = {_toml(value)}"
            parts.append(f"# {' '.join((field.description or '').split())}\n{line}\n")
    return "".join(parts)


def _toml(value: object) -> str:
    """One value on one line; tables of a list on one each."""
    if isinstance(value, list):
        if value and all(isinstance(item, dict) for item in value):
            return "".join(["[\n", *(f"    {_toml(item)},\n" for item in value), "]"])
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, dict):
        # TOML has no null: an option that is None is left to its default.
        pairs = (f"{_key(key)} = {_toml(item)}" for key, item in value.items() if item is not None)
        return f"{{{', '.join(pairs)}}}"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip()


def _key(name: str) -> str:
    return tomli_w.dumps({name: 0}).removesuffix(" = 0\n")


def save(job: Job, path: str | Path) -> None:
    """Write a job file, whole or not at all.

    Raises:
        OutputError: it cannot be written there.
    """
    target = Path(path)
    text = dumps(job)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise OutputError(f"cannot write {target}: one of the paths in the job is not text in UTF-8.") from None
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, text)
