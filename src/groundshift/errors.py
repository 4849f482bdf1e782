"""Everything groundshift raises, and the exit code that each error becomes.

::

    GroundshiftError                           1
    ├── UsageError      (ValueError)           2   an option or argument that cannot be
    ├── ConfigError     (ValueError)          64   a job file that does not parse or fit
    ├── InputError      (ValueError)          65   data that cannot be used as asked
    │   ├── GridError                         65   rasters that do not align or overlap
    │   ├── NoDataError (RuntimeError)        65   nothing usable is left, with counts
    │   └── StrictError                       65   a warning, under --strict
    ├── ProductError    (OSError)             65   a product that is broken, unsafe or contradicts itself
    │   └── MissingInputError (FileNotFoundError)  66
    ├── ServiceError    (ConnectionError)     69   a service that the run needs does not answer
    ├── PartialError    (RuntimeError)        70   some of it could not be done; the rest is there, and complete
    ├── OutputError     (OSError)             73   cannot write: space, permission, existing files
    └── BusyError       (RuntimeError)        75   another run holds the output folder: try later

A message says what was wrong, where (file, band, date), what was expected and what to do, in one sentence.

Warnings are classes too (below). They are values: readers and pipelines collect instances, the command line prints
them, the report lists them, and ``--strict`` turns the first into a :class:`StrictError`.
"""

from __future__ import annotations


class GroundshiftError(Exception):
    """Root of all errors that groundshift raises on purpose."""

    exit_code = 1


class UsageError(GroundshiftError, ValueError):
    """An option or argument that cannot be."""

    exit_code = 2


class ConfigError(GroundshiftError, ValueError):
    """A job file that does not parse or does not fit the schema."""

    exit_code = 64


class InputError(GroundshiftError, ValueError):
    """Data that cannot be used as asked."""

    exit_code = 65


class GridError(InputError):
    """Rasters that do not align, overlap or carry the georeference that was needed."""


class NoDataError(InputError, RuntimeError):
    """Nothing usable is left; the message carries the counts."""


class StrictError(InputError):
    """A named warning, under ``--strict``."""


class ProductError(GroundshiftError, OSError):
    """A product that is broken, unsafe, or contradicts itself."""

    exit_code = 65


class MissingInputError(ProductError, FileNotFoundError):
    """A file or band that is not there."""

    exit_code = 66


class ServiceError(GroundshiftError, ConnectionError):
    """A service that the run needs does not answer."""

    exit_code = 69


class PartialError(GroundshiftError, RuntimeError):
    """Some of what was asked for could not be done, and the message lists it; the rest is there, and complete."""

    exit_code = 70


class OutputError(GroundshiftError, OSError):
    """Results cannot be written: no space, no permission, or files of another run in the way."""

    exit_code = 73


class BusyError(GroundshiftError, RuntimeError):
    """Another run holds the output folder."""

    exit_code = 75


class GroundshiftWarning(UserWarning):
    """Root of all warnings; ``name`` is what the report and ``--strict`` call it."""

    @property
    def name(self) -> str:
        """The class name without its ending: ``OrbitWarning`` is ``Orbit``."""
        return type(self).__name__.removesuffix("Warning")


class BaselineWarning(GroundshiftWarning):
    """Processing baseline unknown, unusual, or different between the two dates."""


class OffsetWarning(GroundshiftWarning):
    """The radiometric offset was decided by the user's word, or could not be audited."""


class UnverifiedWarning(GroundshiftWarning):
    """Pixels were read from files whose checksum was not, or could not be, verified."""


class TileWarning(GroundshiftWarning):
    """The two products are of different tiles."""


class OrbitWarning(GroundshiftWarning):
    """The two products are of different relative orbits."""


class SeasonWarning(GroundshiftWarning):
    """The two dates lie in different seasons."""


class OrderWarning(GroundshiftWarning):
    """AFTER was sensed before BEFORE."""


class LevelWarning(GroundshiftWarning):
    """A product that is not surface reflectance (Level-2A)."""


class CloudWarning(GroundshiftWarning):
    """Little of the scene is usable, or nothing says where its clouds are."""


class RegistrationWarning(GroundshiftWarning):
    """The two images are shifted against each other."""


class NormalisationWarning(GroundshiftWarning):
    """Too few or too poor pseudo-invariant pixels for the relative normalisation."""


class ManyChangesWarning(GroundshiftWarning):
    """So much changed that the statistics of no change are in doubt."""


class NoDataWarning(GroundshiftWarning):
    """Decoded share of no data differs from what the metadata declare."""


class SampleWarning(GroundshiftWarning):
    """Reference points are few, do not fit their design, or could not all be used."""


class TerrainWarning(GroundshiftWarning):
    """Elevation is missing, and so are the features made of it."""


class DatesWarning(GroundshiftWarning):
    """Pixels of several days are in one raster."""
