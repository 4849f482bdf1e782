"""``S2-CD``: the command of SatCen's S2-CD as it was published, long and short forms, with its defaults.

====================================  ==========================  =========================
option                                value                       default
====================================  ==========================  =========================
--input1, -i1                         product of the first date   required
--input2, -i2                         product of the second date  required
--outdir, -outdir                     folder                      required
--bands, -b                           any combination             B2,B3,B4,B8
--AoI, --aoi                          WKT or vector file          none
--resolution, -r                      metres                      10
--projection                          any CRS                     WGS84
-p                                    AoI or projection           by what it is
--numberClasses                       integer                     4
--referenceVector                     numbers                     1,0,0,...
--levelConfidence                     percent, also ``99,99``     99.99
--output_format                       any that GDAL writes        GeoTIFF
====================================  ==========================  =========================

The published example gives ``-p`` the area of interest although ``--projection`` begins with the same letter, so ``-p``
is decided by its value. Every long form may be written with one dash, as ``-outdir`` is in that example. The
statistics are those of ``groundshift change``.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import Literal, NoReturn

from groundshift import __version__
from groundshift.cli.execute import execute
from groundshift.cli.layout import width
from groundshift.cli.main import guarded
from groundshift.cli.options import job_of
from groundshift.errors import UsageError
from groundshift.pipelines.jobfile import hint

EXAMPLES = """\
Examples:
  S2-CD -i1 demo/products/*20210315*.zip -i2 demo/products/*20210325*.zip -outdir flood
  S2-CD -i1 demo/products/*20210315*.zip -i2 demo/products/*20210325*.zip -b B3,B4,B8 -r 20 \
-p "POLYGON((150.6266 -33.49, 150.952 -33.49, 150.952 -33.77, 150.6266 -33.77, 150.6266 -33.49))" -outdir flood20
"""

_VALUED: dict[str, tuple[tuple[str, ...], str, str]] = {
    "input.before": (("--input1", "-i1"), "PRODUCT", "Product of the first date: SAFE folder or zip."),
    "input.after": (("--input2", "-i2"), "PRODUCT", "Product of the second date."),
    "output.outdir": (("--outdir",), "FOLDER", "Folder of the results."),
    "grid.bands": (("--bands", "-b"), "B3,B4,...", "Bands to compare. [default: B2,B3,B4,B8]"),
    "grid.aoi": (("--AoI", "--aoi"), "WKT|FILE", "Area of interest."),
    "grid.resolution": (("--resolution", "-r"), "METRES", "Pixel size. [default: 10]"),
    "grid.projection": (("--projection",), "CRS", "Projection of the results. [default: WGS84]"),
    "p": (("-p",), "WKT|FILE|CRS", "Area of interest or projection, whichever the value is."),
    "kinds.classes": (("--numberClasses",), "N", "Kinds of change. [default: 4]"),
    "kinds.reference_vector": (("--referenceVector",), "X,Y,...", "Reference of the angle. [default: 1,0,0,...]"),
    "detect.confidence": (("--levelConfidence",), "PERCENT", "Confidence, 99.99 or 99,99. [default: 99.99]"),
    "output.format": (("--output_format",), "NAME", "Any format that GDAL writes. [default: GeoTIFF]"),
    "input.trust": (("--trust",), "metadata|pixels", "Whom to believe when the two contradict each other."),
}
_SWITCHES = {
    "input.verify": ("--no-verify", "Do not verify checksums."),
    "run.strict": ("--strict", "Named warnings become errors."),
    "output.force": ("--force", "Replace the results of another run."),
    "as_json": ("--json", "Print the result as JSON on stdout."),
    "quiet": ("--quiet", "Only warnings and errors."),
    "debug": ("--debug", "Show where an error came from."),
}
_DEFAULTS = {
    "grid.bands": "B2,B3,B4,B8",
    "grid.resolution": "10",
    "grid.projection": "WGS84",
    "kinds.classes": "4",
    "kinds.reference_vector": "1,0,0,...",
    "detect.confidence": "99.99",
    "output.format": "GeoTIFF",
}
_GEOMETRY = re.compile(r"\s*(SRID=\d+;)?\s*(MULTI)?POLYGON\b|\s*GEOMETRYCOLLECTION\b", re.IGNORECASE)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see S2-CD --help.")


def parser() -> argparse.ArgumentParser:
    """The parser of ``S2-CD``; every destination is the name of a field of a job."""
    out = _Parser(
        prog="S2-CD",
        description="What changed between two Sentinel-2 L2A products: change vector analysis.",
        epilog=EXAMPLES,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=width()),
    )
    for key, (flags, metavar, text) in _VALUED.items():
        required = key in ("input.before", "input.after", "output.outdir")
        out.add_argument(*_spellings(flags), dest=key, metavar=metavar, help=text, required=required)
    for key, (flag, text) in _SWITCHES.items():
        out.add_argument(flag, dest=key, action="store_true", help=text)
    out.add_argument("--version", action="version", version=f"groundshift {__version__}")
    return out


def _spellings(flags: Sequence[str]) -> list[str]:
    """Each flag, and each long one with a single dash as well."""
    return list(dict.fromkeys([*flags, *(flag[1:] for flag in flags if flag.startswith("--"))]))


def _joined(argv: Sequence[str]) -> list[str]:
    """Tie each value to its option with ``=``, so that a value may begin with a dash."""
    valued = {name for flags, _, _ in _VALUED.values() for name in _spellings(flags)}
    known = valued | {flag for flag, _ in _SWITCHES.values()} | {"-h", "--help", "--version"}
    out: list[str] = []
    words = iter(argv)
    for word in words:
        name = word.partition("=")[0]
        if not word.startswith("-"):
            raise UsageError(f"{word!r} belongs to no option; see S2-CD --help.")
        if name not in known:
            raise UsageError(f"there is no option {name}{hint(name, known)} See S2-CD --help.")
        value = next(words, None) if word in valued else ""
        if value is None or value in known:
            raise UsageError(f"{word} needs a value; see S2-CD --help.")
        out.append(f"{word}={value}" if value else word)
    return out


def area_or_projection(value: str) -> Literal["aoi", "projection"]:
    """What the value of ``-p`` is.

    Raises:
        UsageError: neither the WKT of a polygon, nor a file that is there, nor a CRS.
    """
    if _GEOMETRY.match(value) or os.path.exists(value):
        return "aoi"
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        CRS.from_user_input(_crs(value))
    except CRSError:
        raise UsageError(
            f"-p {value!r} is neither a polygon in WKT, nor a vector file that is there, nor a projection; "
            "write --AoI or --projection to say which is meant."
        ) from None
    return "projection"


def _crs(value: str) -> str:
    """``4326`` and ``WGS84`` as authorities write them."""
    word = value.strip()
    if word.isdigit():
        return f"EPSG:{word}"
    return "EPSG:4326" if re.fullmatch(r"WGS[ _-]?(19)?84", word, re.IGNORECASE) else word


def job_values(argv: Sequence[str]) -> tuple[dict[str, object], dict[str, bool]]:
    """Read the command line: values of a job by dotted name, and how to talk.

    Raises:
        UsageError: it cannot be understood.
    """
    found = vars(parser().parse_args(_joined(argv)))
    talk = {name: found.pop(name) for name in ("as_json", "quiet", "debug")}
    either = found.pop("p")
    if either is not None:
        key = f"grid.{area_or_projection(either)}"
        if found[key] is not None:
            raise UsageError(f"-p {either!r} and {_VALUED[key][0][0]} both say the same thing: leave one out.")
        found[key] = either
    values = {key: _DEFAULTS.get(key) if value is None else value for key, value in found.items()}
    values["grid.projection"] = _crs(str(values["grid.projection"]))
    if str(values["output.format"]).lower() == "geotiff":
        values["output.format"] = "GTiff"
    values["input.verify"] = not values["input.verify"]
    return values, talk


def _s2cd(argv: Sequence[str]) -> int:
    if not argv:
        parser().print_help()
        return 0
    values, talk = job_values(argv)
    flags = {key: flags[0] for key, (flags, _, _) in _VALUED.items()}
    execute(job_of(values, flags), as_json=talk["as_json"], quiet=talk["quiet"])
    return 0


def run() -> NoReturn:
    """Run ``S2-CD`` on the arguments of the process."""
    sys.exit(guarded(_s2cd, sys.argv[1:], "S2-CD", leaving=True))
