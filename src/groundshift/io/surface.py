"""A raster of one quantity, such as elevation, read on any grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from groundshift.errors import GridError, InputError
from groundshift.io import drivers
from groundshift.io.warp import read_on_grid, read_window
from groundshift.model.grid import Window
from groundshift.model.scene import BandInfo


@dataclass(frozen=True, eq=False)
class Surface:
    """Band 1 of a raster; it holds a path and what is known of it, so it can be sent to a process."""

    info: BandInfo

    @classmethod
    def open(cls, path: str, what: str) -> Surface:
        """Look at a raster.

        Args:
            path: of the file.
            what: for messages: ``elevation model``.

        Raises:
            MissingInputError, ProductError: the file is missing, damaged, or no raster.
            GridError: it has no georeference.
            InputError: it holds no numbers of one quantity.
        """
        drivers.check_structure(path)
        with drivers.opened(path) as dataset:
            geobox = drivers.geobox_of(dataset)
            if geobox.crs is None:
                raise GridError(f"{path}: the {what} has no georeference, so it has no place on the images.")
            if dataset.count != 1 or np.dtype(dataset.dtypes[0]).kind not in "iuf":
                raise InputError(
                    f"{path}: holds {dataset.count} band(s) of {dataset.dtypes[0]}: expected a {what} of one band."
                )
            scale, offset = float(dataset.scales[0]), float(dataset.offsets[0])
            return cls(
                BandInfo(
                    name=what,
                    href=path,
                    geobox=geobox,
                    dtype=dataset.dtypes[0],
                    nodata=dataset.nodata,
                    scale=scale,
                    offset=offset / scale,
                )
            )

    def overlaps(self, geobox: GeoBox) -> bool:
        """True where a part of a grid lies within the raster."""
        return not (self.info.geobox.extent.to_crs(geobox.crs) & geobox.extent).is_empty

    def sample(self, side_px: int) -> NDArray[np.float32]:
        """Values (y, x) as they are stored, in the middle of the raster."""
        rows, columns = (int(n) for n in self.info.geobox.shape)
        y, x = max(0, (rows - side_px) // 2), max(0, (columns - side_px) // 2)
        with drivers.opened(self.info.href) as dataset:
            window = Window(y, min(rows, y + side_px), x, min(columns, x + side_px))
            return self._scaled(*read_window(dataset, 1, self.info, window))

    def read(self, geobox: GeoBox) -> NDArray[np.float32]:
        """Values (y, x) on a grid, NaN where there are none.

        Cubic convolution where pixels become smaller, so that slopes have no facets; means where they become larger.
        Law: reading parts equals reading the whole.
        """
        with drivers.opened(self.info.href) as dataset:
            return self._scaled(*read_on_grid(dataset, 1, self.info, geobox, "cubic"))

    def _scaled(self, values: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        scaled = (values.astype(np.float32) + np.float32(self.info.offset)) * np.float32(self.info.scale)
        return np.where(valid, scaled, np.float32(np.nan))
