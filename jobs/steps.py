"""Steps of our own for the chains in this folder: a function of a series becomes one by ``@gs.step``."""

from __future__ import annotations

import xarray as xr

import groundshift as gs


@gs.step
def moisture(series: xr.Dataset, near: str = "B08") -> xr.Dataset:
    """Add how much water the leaves hold: the near against the short-wave infrared."""
    return series.assign(moisture=(series[near] - series.B11) / (series[near] + series.B11))
