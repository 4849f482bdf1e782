"""Sentinel-2 images turned into change, mosaics and land cover, with the evidence.

::

    import groundshift as gs

    result = gs.detect_changes("A.zip", "B.zip", "out", confidence=99.9)      # files in, files out
    before, after = gs.read("A.zip"), gs.read("B.zip")                        # or xarray in and out
    change = gs.compare(before, after)
    change.kind.plot()
    picture = gs.mosaic(["A.zip", "B.zip", "C.zip"], method="median")
    along = gs.detect_series(["A.zip", "B.zip", "C.zip"], "out")              # probability of change, date by date
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from groundshift.errors import (
        ConfigError,
        GroundshiftError,
        GroundshiftWarning,
        InputError,
        MissingInputError,
        NoDataError,
        OutputError,
        ProductError,
        UsageError,
    )
    from groundshift.io.eopatch import read_eopatch, write_eopatch
    from groundshift.landcover.chain import step
    from groundshift.model.scene import OpenOptions, Pixels, Reader, Scene
    from groundshift.pipelines.change import ChangeResult, run
    from groundshift.pipelines.evaluate import evaluate
    from groundshift.pipelines.job import ChangeJob
    from groundshift.pipelines.landcover_library import predict_landcover, run_chain, train_landcover
    from groundshift.pipelines.library import (
        compare,
        detect_changes,
        detect_series,
        make_mosaic,
        mosaic,
        open_scene,
        read,
    )
    from groundshift.pipelines.mosaic import MosaicResult
    from groundshift.pipelines.mosaic_job import MosaicJob
    from groundshift.pipelines.series import SeriesResult
    from groundshift.pipelines.series_job import SeriesJob

_HOMES = {
    "groundshift.errors": (
        "ConfigError",
        "GroundshiftError",
        "GroundshiftWarning",
        "InputError",
        "MissingInputError",
        "NoDataError",
        "OutputError",
        "ProductError",
        "UsageError",
    ),
    "groundshift.model.scene": ("OpenOptions", "Pixels", "Reader", "Scene"),
    "groundshift.pipelines.change": ("ChangeResult", "run"),
    "groundshift.pipelines.evaluate": ("evaluate",),
    "groundshift.pipelines.job": ("ChangeJob",),
    "groundshift.io.eopatch": ("read_eopatch", "write_eopatch"),
    "groundshift.landcover.chain": ("step",),
    "groundshift.pipelines.landcover_library": ("predict_landcover", "run_chain", "train_landcover"),
    "groundshift.pipelines.library": (
        "compare",
        "detect_changes",
        "detect_series",
        "make_mosaic",
        "mosaic",
        "open_scene",
        "read",
    ),
    "groundshift.pipelines.mosaic": ("MosaicResult",),
    "groundshift.pipelines.mosaic_job": ("MosaicJob",),
    "groundshift.pipelines.series": ("SeriesResult",),
    "groundshift.pipelines.series_job": ("SeriesJob",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ChangeJob",
    "ChangeResult",
    "ConfigError",
    "GroundshiftError",
    "GroundshiftWarning",
    "InputError",
    "MissingInputError",
    "MosaicJob",
    "MosaicResult",
    "NoDataError",
    "OpenOptions",
    "OutputError",
    "Pixels",
    "ProductError",
    "Reader",
    "Scene",
    "SeriesJob",
    "SeriesResult",
    "UsageError",
    "__version__",
    "compare",
    "detect_changes",
    "detect_series",
    "evaluate",
    "make_mosaic",
    "mosaic",
    "open_scene",
    "predict_landcover",
    "read",
    "read_eopatch",
    "run",
    "run_chain",
    "step",
    "train_landcover",
    "write_eopatch",
]


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``import groundshift`` is fast."""
    if name not in _HOME:
        raise AttributeError(f"module 'groundshift' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
