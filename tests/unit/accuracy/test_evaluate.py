"""A map against its truth, as files."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from pyproj import Transformer
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin

from groundshift.accuracy.confusion import auc, confusion, scores
from groundshift.errors import GridError, InputError, MissingInputError, NoDataError, ProductError, UsageError
from groundshift.io.maps import read_map, read_truth
from groundshift.pipelines.evaluate import evaluate

SHAPE = (120, 160)
ORIGIN = (300_000.0, 6_300_000.0)


def write(path: Path, values: np.ndarray, size_m: float | None = 10.0, nodata: float | None = None) -> str:
    where: dict[str, Any] = {}
    if size_m is not None:
        where = {"crs": "EPSG:32756", "transform": from_origin(*ORIGIN, size_m, size_m)}
    bands = values if values.ndim == 3 else values[None]
    layout = {"driver": "GTiff", "dtype": values.dtype, "nodata": nodata, **where}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", count=len(bands), height=bands.shape[1], width=bands.shape[2], **layout) as file:
            file.write(bands)
    return str(path)


@pytest.fixture(scope="module")
def fields() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Map with kinds and no data, truth 0/1, amplitude."""
    rng = np.random.default_rng(4)
    truth = np.kron(rng.random((12, 16)) < 0.2, np.ones((10, 10))).astype(np.uint8)
    amplitude = (3 * truth + rng.gamma(2, 1, SHAPE)).astype(np.float32)
    found = np.where(amplitude > 3.5, rng.integers(1, 5, SHAPE), 0).astype(np.uint8)
    found[:7] = 255
    return found, truth, amplitude


@pytest.fixture
def outdir(tmp_path: Path, fields: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Path:
    found, _, amplitude = fields
    write(tmp_path / "S2-CD.tif", found, nodata=255)
    write(tmp_path / "CVA.tif", np.stack([amplitude, amplitude * 0]), nodata=np.nan)
    return tmp_path


def _expected(fields: tuple[np.ndarray, np.ndarray, np.ndarray]) -> dict[str, float | None]:
    found, truth, amplitude = fields
    valid = found != 255
    values = scores(confusion(found > 0, truth > 0, valid))
    return values | {"auc": auc(amplitude[valid], truth[valid] > 0)}


def test_a_folder_of_results_is_scored_with_its_amplitude(
    outdir: Path, fields: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    result = evaluate(str(outdir), write(outdir / "truth.tif", fields[1]))
    assert {name: score["value"] for name, score in result["scores"].items()} == _expected(fields)
    assert result["map_nodata_percent"] == pytest.approx(100 * 7 / 120)
    assert result["pixels"] == sum(result["confusion"].values()) == 113 * 160
    assert result["undefined"] == {}
    for score in result["scores"].values():
        assert score["low"] < score["value"] < score["high"]
    json.dumps(result, allow_nan=False)


def test_the_map_itself_finds_the_amplitude_beside_it(
    outdir: Path, fields: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    truth = write(outdir / "truth.tif", fields[1])
    assert evaluate(str(outdir / "S2-CD.tif"), truth) == evaluate(str(outdir), truth)


def test_without_amplitude_the_auc_is_undefined_and_says_why(
    tmp_path: Path, fields: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    result = evaluate(write(tmp_path / "map.tif", fields[0]), write(tmp_path / "truth.tif", fields[1]))
    assert result["scores"]["auc"] == {"value": None, "low": None, "high": None}
    assert result["undefined"] == {"auc": "no CVA map with the amplitude lies beside the map"}


def test_an_amplitude_of_another_grid_is_not_used(
    outdir: Path, fields: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    write(outdir / "CVA.tif", np.zeros((60, 80), np.float32), size_m=20)
    result = evaluate(str(outdir), write(outdir / "truth.tif", fields[1]))
    assert "does not lie on the grid of the map (160 x 120 pixels)" in result["undefined"]["auc"]


def test_codes_choose_what_counts_as_change(outdir: Path, fields: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    coded = write(outdir / "truth.tif", np.where(fields[1] > 0, 2, 1).astype(np.int16))
    chosen = evaluate(str(outdir), coded, changed=[2])
    assert chosen["scores"]["f1"]["value"] == _expected(fields)["f1"]
    assert evaluate(str(outdir), coded)["truth_changed_percent"] == 100


def test_where_the_truth_is_no_data_nothing_is_counted(
    outdir: Path, fields: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    truth = fields[1].copy()
    truth[:, :40] = 9
    result = evaluate(str(outdir), write(outdir / "truth.tif", truth, nodata=9))
    assert result["pixels"] == 113 * 120
    assert result["truth_unknown_percent"] == 25


def test_a_coarser_truth_is_brought_to_the_grid_of_the_map(
    outdir: Path, fields: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    result = evaluate(str(outdir), write(outdir / "truth.tif", fields[1][::10, ::10], size_m=100))
    assert result["truth_resampled"]
    assert result["scores"]["f1"]["value"] == _expected(fields)["f1"]


def test_a_truth_that_covers_a_part_counts_there_only(
    outdir: Path, fields: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    result = evaluate(str(outdir), write(outdir / "truth.tif", fields[1][:60, :80]))
    assert result["pixels"] == 53 * 80


@pytest.mark.parametrize(
    ("name", "crs"), [("truth.gpkg", "EPSG:32756"), ("truth.gpkg", "EPSG:4326"), ("truth.geojson", "EPSG:4326")]
)
def test_polygons_are_change_inside_and_none_outside(
    crs: str, name: str, outdir: Path, fields: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    x, y = ORIGIN
    cells = [
        shapely.box(x + 100 * j, y - 100 * (i + 1), x + 100 * (j + 1), y - 100 * i).buffer(-1)
        for i, j in np.argwhere(fields[1][::10, ::10])
    ]
    back = Transformer.from_crs("EPSG:32756", crs, always_xy=True)
    moved = shapely.transform(np.array(cells), lambda xy: np.column_stack(back.transform(*xy.T)))
    file = str(outdir / name)
    pyogrio.raw.write(file, shapely.to_wkb(moved), field_data=[], fields=[], geometry_type="Polygon", crs=crs)
    result = evaluate(str(outdir), file)
    assert result["scores"]["f1"]["value"] == _expected(fields)["f1"]
    with pytest.raises(UsageError, match="polygons of the truth all mean change"):
        evaluate(str(outdir), file, changed=[2])


def test_without_georeference_the_shapes_must_agree(
    tmp_path: Path, fields: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    found = write(tmp_path / "map.tif", fields[0], size_m=None)
    result = evaluate(found, write(tmp_path / "truth.tif", fields[1]))
    assert result["scores"]["f1"]["value"] == _expected(fields)["f1"]
    assert result["bootstrap"]["block_m"] is None
    with pytest.raises(GridError, match="has 80 x 60 pixels and the map 160 x 120"):
        evaluate(found, write(tmp_path / "small.tif", fields[1][:60, :80]))


def test_what_cannot_be_compared_is_one_sentence(
    outdir: Path, fields: tuple[np.ndarray, np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> None:
    truth = write(outdir / "truth.tif", fields[1])
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(MissingInputError, match="there is no S2-CD map in this folder"):
        evaluate(str(empty), truth)
    with pytest.raises(MissingInputError, match="there is no truth"):
        evaluate(str(outdir), str(empty / "truth.tif"))
    with pytest.raises(InputError, match="expected a map of classes"):
        evaluate(str(outdir / "CVA.tif"), truth)
    with pytest.raises(InputError, match="expected codes, or polygons"):
        evaluate(str(outdir), str(outdir / "CVA.tif"))
    with pytest.raises(NoDataError, match="the map knows 0, the truth 19200, and both together none"):
        evaluate(write(empty / "map.tif", np.full(SHAPE, 255, np.uint8)), truth)
    broken = empty / "broken.gpkg"
    broken.write_text("<html>not found</html>")
    with pytest.raises(ProductError, match="no polygons can be read"):
        evaluate(str(outdir), str(broken))


def test_a_truncated_map_is_refused(outdir: Path) -> None:
    path = outdir / "S2-CD.tif"
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(ProductError):
        read_map(str(path))


def test_an_ogr_vrt_is_never_read(outdir: Path) -> None:
    vrt = outdir / "truth.gml"
    vrt.write_text('<OGRVRTDataSource><OGRVRTLayer name="passwd"/></OGRVRTDataSource>')
    with pytest.raises(ProductError, match="VRT"):
        read_truth(str(vrt), read_map(str(outdir / "S2-CD.tif")).geobox)


def test_the_answer_is_the_same_every_time(outdir: Path, fields: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    truth = write(outdir / "truth.tif", fields[1])
    assert evaluate(str(outdir), truth) == evaluate(str(outdir), truth)
    assert evaluate(str(outdir), truth)["scores"] != evaluate(str(outdir), truth, seed=1)["scores"]
