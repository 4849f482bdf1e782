"""Spectral indices by name: each is a formula of bands, written as text, so that it can be read and printed.

Formulas take reflectance (1.0 = 100 %), never stored numbers: the 1 of EVI2 would vanish beside 10000.
"""

from __future__ import annotations

import ast
import difflib
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError, UsageError
from groundshift.model.bands import BANDS, parse_band

Float32 = NDArray[np.float32]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
_LONGEST = 400
_OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.divide,
    ast.Pow: operator.pow,
}
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {"sqrt": np.sqrt, "abs": np.abs, "log": np.log}


@dataclass(frozen=True)
class Index:
    """One index: a formula of bands with ``+ - * / **``, ``sqrt``, ``abs``, ``log`` and numbers.

    Raises:
        UsageError: the name or the formula cannot be.
    """

    name: str
    formula: str
    """``(B08 - B04) / (B08 + B04)``; bands by any of their names."""
    unit: str = ""
    limits: tuple[float, float] | None = None
    """Values outside mean nothing, and become NaN."""
    ratio: bool = True
    """Reflectance below 0, which the atmospheric correction leaves over dark water, counts as 0: a sum in a
    denominator would otherwise come close to nothing."""
    source: str = field(default="", compare=False)
    """Where the formula was published."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or _is_band(self.name):
            raise UsageError(f"an index cannot be called {self.name!r}: expected letters and digits, and no band.")
        if not self.bands:
            raise UsageError(f"the index {self.name} has no band in its formula {self.formula!r}.")

    @cached_property
    def bands(self) -> tuple[str, ...]:
        """Canonical names of its bands, in the order of the product metadata."""
        found = {parse_band(node.id) for node in ast.walk(self._tree) if isinstance(node, ast.Name) and _free(node)}
        return tuple(band for band in BANDS if band in found)

    @cached_property
    def _tree(self) -> ast.expr:
        try:
            if len(self.formula) > _LONGEST:
                raise SyntaxError
            tree = ast.parse(self.formula.strip(), mode="eval").body
            _check(tree)
        except (SyntaxError, ValueError, RecursionError):
            raise UsageError(
                f"the formula of {self.name}, {self.formula!r}, cannot be read: expected bands and numbers with "
                f"+ - * / ** and {', '.join(_FUNCTIONS)}, for example (B8 - B4) / (B8 + B4)."
            ) from None
        return tree

    def __call__(self, bands: Mapping[str, Float32]) -> Float32:
        """Value of the index; see :func:`compute`."""
        named = {band: np.maximum(bands[band], 0) if self.ratio else bands[band] for band in self.bands}
        with np.errstate(all="ignore"):
            value = np.array(_evaluated(self._tree, named), np.float32)
            known = np.isfinite(value)
            if self.limits:
                known &= (value >= self.limits[0]) & (value <= self.limits[1])
        np.putmask(value, ~known, np.float32(np.nan))
        return value


def _is_band(word: str) -> bool:
    try:
        return bool(parse_band(word))
    except UsageError:
        return False


def _free(node: ast.Name) -> bool:
    return node.id not in _FUNCTIONS


def _check(node: ast.expr) -> None:
    """Let nothing through but arithmetic: a formula may come from a job file of somebody else."""
    match node:
        case ast.BinOp(left, op, right) if type(op) in _OPERATIONS:
            _check(left)
            _check(right)
        case ast.UnaryOp(ast.USub(), operand):
            _check(operand)
        case ast.Call(ast.Name(name), [argument], []) if name in _FUNCTIONS:
            _check(argument)
        case ast.Constant(value) if isinstance(value, int | float) and not isinstance(value, bool):
            pass
        case ast.Name(name):
            parse_band(name)
        case _:
            raise SyntaxError


def _evaluated(node: ast.expr, bands: Mapping[str, Float32]) -> Any:
    match node:
        case ast.BinOp(left, op, right):
            return _OPERATIONS[type(op)](_evaluated(left, bands), _evaluated(right, bands))
        case ast.UnaryOp(_, operand):
            return -_evaluated(operand, bands)
        case ast.Call(ast.Name(name), [argument]):
            return _FUNCTIONS[name](_evaluated(argument, bands))
        case ast.Constant(value):
            return np.float32(value)  # type: ignore[arg-type]
        case ast.Name(name):
            return bands[parse_band(name)]
    raise AssertionError(node)


_TABLE = (
    Index("NDVI", "(B08 - B04) / (B08 + B04)", source="Rouse et al. 1974"),
    Index("NDRE", "(B08 - B05) / (B08 + B05)", source="Gitelson and Merzlyak 1994"),
    Index("EVI2", "2.5 * (B08 - B04) / (B08 + 2.4 * B04 + 1)", source="Jiang et al. 2008"),
    Index("BI2", "sqrt((B04**2 + B03**2 + B08**2) / 3)", ratio=False, source="Escadafal 1989"),
    Index("MNDWI", "(B03 - B11) / (B03 + B11)", source="Xu 2006"),
    Index("NDBI", "(B11 - B8A) / (B11 + B8A)", source="Zha et al. 2003, with the narrow near infrared"),
    Index(
        "S2REP",
        "705 + 35 * ((B07 + B04) / 2 - B05) / (B06 - B05)",
        unit="nm",
        limits=(690.0, 760.0),
        source="Frampton et al. 2013",
    ),
    Index("NDWI", "(B03 - B08) / (B03 + B08)", source="McFeeters 1996"),
    Index("NDMI", "(B08 - B11) / (B08 + B11)", source="Gao 1996"),
    Index("NBR", "(B08 - B12) / (B08 + B12)", source="Key and Benson 2006"),
    Index("norm", "sqrt(B02**2 + B03**2 + B04**2 + B08**2 + B11**2 + B12**2)", ratio=False, source="eo-learn"),
)
INDICES: dict[str, Index] = {index.name: index for index in _TABLE}
"""All that are known, by name; :func:`register` adds to them."""


def register(index: Index) -> Index:
    """Make an index known by its name, in this process: commands and job files take formulas of their own."""
    INDICES[index.name] = index
    return index


def parse(text: str) -> Index:
    """The index that ``GNDVI=(B8-B3)/(B8+B3)`` says.

    Raises:
        UsageError: the name or the formula cannot be.
    """
    name, equals, formula = (part.strip() for part in text.partition("="))
    if not equals:
        raise UsageError(f"{text!r} is no index: expected NAME=FORMULA, for example GNDVI=(B8-B3)/(B8+B3).")
    return Index(name, formula)


def find(name: str, known: Mapping[str, Index] | None = None) -> Index:
    """An index by its name, capitals aside.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    table = INDICES if known is None else known
    folded = {key.lower(): key for key in table}
    word = name.strip().lower()
    if word in folded:
        return table[folded[word]]
    near = difflib.get_close_matches(word, folded, n=1, cutoff=0.5)
    hint = f"; did you mean {folded[near[0]]}?" if near else f": expected one of {', '.join(table)}."
    raise UsageError(f"there is no index {name!r}{hint}")


def compute(name: str, bands: Mapping[str, Float32]) -> Float32:
    """Compute an index: a pixel kernel.

    Args:
        name: of one of :data:`INDICES`.
        bands: reflectance (y, x) float32 by canonical name, 1.0 = 100 %, NaN = missing.

    Returns:
        (y, x) float32; NaN where a band is missing, where a denominator is 0, and outside of the limits of the index.

    Raises:
        UsageError: there is no such index.
        InputError: a band that it needs is not among them.
    """
    index = find(name)
    missing = [band for band in index.bands if band not in bands]
    if missing:
        raise InputError(f"{index.name} needs {', '.join(missing)}, which is not there: there are {', '.join(bands)}.")
    return index(bands)
