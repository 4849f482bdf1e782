"""Names of a product, its folders and files, as ESA writes them (compact since December 2016, long before)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from groundshift.errors import UsageError

Level = Literal["L1C", "L2A"]

_ORBITS_PER_CYCLE = 143
_CYCLE_DAYS = 10
_KNOWN_ORBIT = {
    "S2A": (datetime(2022, 10, 5, 11, 54, tzinfo=UTC), 38058, 23),
    "S2B": (datetime(2021, 1, 22, 13, 32, tzinfo=UTC), 20270, 81),
}
"""Published (time, absolute orbit, relative orbit) of each satellite; the later two count from S2A's."""


@dataclass(frozen=True, kw_only=True)
class ProductIdentity:
    """Everything that the names and metadata of one product are made of."""

    level: Level
    tile: str
    """Square of the military grid without the T."""
    platform: str
    """``S2A`` ... ``S2D``."""
    sensing_time: datetime
    """UTC, aware."""
    relative_orbit: int
    baseline: tuple[int, int]
    compact: bool = True
    """Compact naming, or the long one of products before December 2016."""

    def __post_init__(self) -> None:
        if self.platform not in ("S2A", "S2B", "S2C", "S2D"):
            raise UsageError(f"unknown platform {self.platform!r}: expected S2A, S2B, S2C or S2D.")
        if not 1 <= self.relative_orbit <= _ORBITS_PER_CYCLE:
            raise UsageError(f"relative orbit {self.relative_orbit} is not in 1..{_ORBITS_PER_CYCLE}.")
        if self.sensing_time.tzinfo is None:
            raise UsageError("sensing_time has no time zone: say datetime(..., tzinfo=UTC).")

    @property
    def generation_time(self) -> datetime:
        """When the product was processed."""
        return self.sensing_time + timedelta(hours=2, minutes=21, seconds=4)

    @property
    def datastrip_time(self) -> datetime:
        """Start of the datastrip, a little before the datatake's nominal time in ESA's names."""
        return self.sensing_time - timedelta(seconds=4)

    @property
    def absolute_orbit(self) -> int:
        """The absolute orbit nearest to the sensing time that has the relative orbit."""
        time, orbit, relative = _KNOWN_ORBIT.get(self.platform, _KNOWN_ORBIT["S2A"])
        elapsed = (self.sensing_time - time) / timedelta(days=_CYCLE_DAYS) * _ORBITS_PER_CYCLE
        remainder = (self.relative_orbit - relative - elapsed + _ORBITS_PER_CYCLE / 2) % _ORBITS_PER_CYCLE
        return max(1, round(orbit + elapsed + remainder - _ORBITS_PER_CYCLE / 2))

    @property
    def baseline_dotted(self) -> str:
        """``05.10``."""
        return f"{self.baseline[0]:02d}.{self.baseline[1]:02d}"

    @property
    def offset(self) -> int:
        """Radiometric offset in DN: -1000 from baseline 04.00 on, else 0."""
        return -1000 if self.baseline >= (4, 0) else 0

    @property
    def name(self) -> str:
        """Name of the product without ending."""
        generated, sensed = stamp(self.generation_time), stamp(self.sensing_time)
        orbit = f"R{self.relative_orbit:03d}"
        if self.compact:
            number = f"N{self.baseline[0]:02d}{self.baseline[1]:02d}"
            return f"{self.platform}_MSI{self.level}_{sensed}_{number}_{orbit}_T{self.tile}_{generated}"
        return f"{self.platform}_{self.owner}_PRD_MSI{self.level}_PDMC_{generated}_{orbit}_V{sensed}_{sensed}"

    @property
    def owner(self) -> str:
        """``OPER`` for ESA's own, ``USER`` for the Level-2A that users made with Sen2Cor in the long-name years."""
        return "USER" if self.level == "L2A" and not self.compact else "OPER"

    @property
    def product_metadata(self) -> str:
        """File name of the product metadata."""
        if self.compact:
            return f"MTD_MSI{self.level}.xml"
        return self.name.replace("_PRD_MSI", "_MTD_SAF") + ".xml"

    @property
    def tile_id(self) -> str:
        """Identifier of the granule."""
        orbit = f"A{self.absolute_orbit:06d}"
        generated = stamp(self.generation_time)
        return (
            f"{self.platform}_{self.owner}_MSI_{self.level}_TL_{self.centre}_{generated}_{orbit}_T{self.tile}"
            f"_N{self.baseline_dotted}"
        )

    @property
    def datastrip_id(self) -> str:
        """Identifier of the datastrip."""
        times = f"{stamp(self.generation_time)}_S{stamp(self.datastrip_time)}"
        return f"{self.platform}_{self.owner}_MSI_{self.level}_DS_{self.centre}_{times}_N{self.baseline_dotted}"

    @property
    def centre(self) -> str:
        """Processing centre, four characters."""
        return "VGS4"

    @property
    def granule(self) -> str:
        """Folder of the granule, from the product's top."""
        if not self.compact:
            return f"GRANULE/{self.tile_id}"
        orbit = f"A{self.absolute_orbit:06d}"
        return f"GRANULE/{self.level}_T{self.tile}_{orbit}_{stamp(self.datastrip_time)}"

    @property
    def tile_metadata(self) -> str:
        """Path of the tile metadata, from the product's top."""
        if self.compact:
            return f"{self.granule}/MTD_TL.xml"
        short = self.tile_id.rsplit("_N", 1)[0].replace("_MSI_", "_MTD_")
        return f"{self.granule}/{short}.xml"

    @property
    def datastrip(self) -> str:
        """Folder of the datastrip, from the product's top."""
        if not self.compact:
            return f"DATASTRIP/{self.datastrip_id}"
        return f"DATASTRIP/DS_{self.centre}_{stamp(self.generation_time)}_S{stamp(self.datastrip_time)}"

    @property
    def datastrip_metadata(self) -> str:
        """Path of the datastrip metadata, from the product's top."""
        if self.compact:
            return f"{self.datastrip}/MTD_DS.xml"
        return f"{self.datastrip}/{self.datastrip_id.rsplit('_N', 1)[0].replace('_MSI_', '_MTD_')}.xml"

    def image(self, content: str, resolution_m: int) -> str:
        """Path of an image from the product's top; ``content`` is a band, SCL, TCI, AOT or WVP."""
        folder = f"{self.granule}/IMG_DATA"
        ending = "" if self.level == "L1C" else f"_{resolution_m}m"
        if self.compact:
            stem = f"T{self.tile}_{stamp(self.sensing_time)}_{content}{ending}"
        else:
            stem = f"{self.tile_id.rsplit('_N', 1)[0]}_{content}{ending}"
        if not self.compact and content == "SCL":
            return f"{folder}/{stem.replace('_MSI_', '_SCL_').replace('_SCL' + ending, ending)}.jp2"
        if self.level == "L1C":
            return f"{folder}/{stem}.jp2"
        return f"{folder}/R{resolution_m}m/{stem}.jp2"

    @property
    def preview(self) -> str:
        """Path of the preview image, from the product's top."""
        if self.compact:
            return f"{self.granule}/QI_DATA/T{self.tile}_{stamp(self.sensing_time)}_PVI.jp2"
        return f"{self.granule}/QI_DATA/{self.tile_id.rsplit('_N', 1)[0].replace('_MSI_', '_PVI_')}.jp2"


def stamp(time: datetime) -> str:
    """``20210315T000241``."""
    return time.strftime("%Y%m%dT%H%M%S")


def instant(time: datetime, digits: int = 3) -> str:
    """``2021-03-15T00:02:41.024Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond:06d}"[:digits] + "Z"
