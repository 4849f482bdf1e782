"""Polygons as GeoParquet 1.1: WKB in a Parquet table, with the metadata that say so (needs pyarrow)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from groundshift.errors import OutputError

_ROWS = 50_000
"""Polygons of one row group: a reader that wants a part of them reads groups by their boxes."""


def write(
    temporary: Path,
    target: Path,
    packed: NDArray[np.object_],
    fields: Mapping[str, NDArray[Any]],
    crs: str | None,
    geometry_type: str,
) -> None:
    """Write WKB and fields to a file, which errors call ``target``; raises OutputError."""
    boxes = shapely.bounds(shapely.from_wkb(packed)) if len(packed) else np.empty((0, 4))
    sides = [pa.array(side) for side in boxes.T]
    columns = {name: pa.array(values) for name, values in fields.items()}
    columns["bbox"] = pa.StructArray.from_arrays(sides, ["xmin", "ymin", "xmax", "ymax"])
    columns["geometry"] = pa.array(list(packed), pa.binary())
    table = pa.table(columns).replace_schema_metadata({"geo": json.dumps(_metadata(boxes, crs, geometry_type))})
    try:
        pq.write_table(table, temporary, compression="zstd", row_group_size=_ROWS)
    except (OSError, pa.ArrowException) as error:
        raise OutputError(f"cannot write {target}: {error}.") from error


def _metadata(boxes: NDArray[np.float64], crs: str | None, geometry_type: str) -> dict[str, Any]:
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": [geometry_type],
        # Without the key, readers take the coordinates for longitude and latitude; null says that nobody knows.
        "crs": None if crs is None else CRS.from_user_input(crs).to_json_dict(),
        "covering": {"bbox": {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}},
    }
    if len(boxes):
        column["bbox"] = [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
