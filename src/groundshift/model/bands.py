"""The thirteen bands of the MSI instrument and the many ways to write their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from groundshift.errors import UsageError

DISPLAY_TOP = 0.3558
"""Reflectance that 255 is in previews and true-colour images of ESA."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """One spectral band of the MultiSpectral Instrument."""

    name: str
    """Canonical name with two digits: ``B02``, ``B8A``."""
    common_name: str
    """Name in the STAC EO extension: ``blue``, ``nir08``."""
    wavelength_nm: float
    """Central wavelength of Sentinel-2A (S2 User Handbook, table 1)."""
    resolution_m: int
    """Native ground sampling distance."""
    band_id: int
    """Index of the band in the product metadata (0 is B01, 8 is B8A, 12 is B12)."""


_TABLE = (
    ("B01", "coastal", 442.7, 60),
    ("B02", "blue", 492.4, 10),
    ("B03", "green", 559.8, 10),
    ("B04", "red", 664.6, 10),
    ("B05", "rededge071", 704.1, 20),
    ("B06", "rededge075", 740.5, 20),
    ("B07", "rededge078", 782.8, 20),
    ("B08", "nir", 832.8, 10),
    ("B8A", "nir08", 864.7, 20),
    ("B09", "nir09", 945.1, 60),
    ("B10", "cirrus", 1373.5, 60),
    ("B11", "swir16", 1613.7, 20),
    ("B12", "swir22", 2202.4, 20),
)

BANDS: dict[str, Band] = {
    name: Band(name=name, common_name=common, wavelength_nm=nm, resolution_m=res, band_id=i)
    for i, (name, common, nm, res) in enumerate(_TABLE)
}
"""All bands by canonical name, in the order of the product metadata."""

SCL = "SCL"
"""Name of the scene classification where a band name is asked for."""

_COMMON = {band.common_name: band.name for band in BANDS.values()} | {
    "aerosol": "B01",
    "rededge1": "B05",
    "rededge2": "B06",
    "rededge3": "B07",
    "narrownir": "B8A",
    "watervapor": "B09",
    "watervapour": "B09",
    "swir1": "B11",
    "swir2": "B12",
}
_SHORT = re.compile(r"B?0?(\d{1,2}|8A)", re.IGNORECASE)


def parse_band(text: str) -> str:
    """Return the canonical name of one band.

    Args:
        text: ``B2``, ``b02``, ``2``, ``B8A``, ``blue``, ``swir16`` ...

    Returns:
        The key of the band in :data:`BANDS`.

    Raises:
        UsageError: there is no such band.
    """
    word = text.strip()
    name = _COMMON.get(word.lower().replace("_", "").replace("-", ""))
    if name is None and (match := _SHORT.fullmatch(word)):
        name = f"B{match[1].upper():0>2}"
    if name not in BANDS:
        raise UsageError(f"unknown band {text!r}: expected one of {', '.join(BANDS)} or a common name such as 'nir'.")
    return name


def parse_bands(text: str | Sequence[str]) -> tuple[str, ...]:
    """Return canonical names from ``"B2,B3,B8A"`` or a sequence; raises UsageError on none or on repeats."""
    words = [w for w in (text.split(",") if isinstance(text, str) else text) if w.strip()]
    names = tuple(parse_band(w) for w in words)
    if not names:
        raise UsageError("no band was named: expected for example B2,B3,B4,B8.")
    if len(set(names)) < len(names):
        raise UsageError(f"a band is named twice in {','.join(words)!r}: name each once.")
    return names
