"""Scene classifications of two neighbouring tiles on one day, whose grids lie half a pixel apart: map and reference."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import rasterio

from groundshift.pipelines.assess import AssessJob, run
from groundshift.pipelines.design import DesignJob
from groundshift.pipelines.design import run as draw


@pytest.fixture
def tiles(shared_data: Path) -> tuple[Path, Path]:
    folder = shared_data / "alps-2023" / "sentinel-2-l2a"
    return folder / "S2B_33TWL_20230820_0_L2A" / "SCL.tif", folder / "S2B_33TWM_20230820_0_L2A" / "SCL.tif"


def test_a_sample_of_the_overlap_of_two_tiles_says_what_all_its_pixels_say(
    tiles: tuple[Path, Path], tmp_path: Path
) -> None:
    south, north = tiles
    whole = run(AssessJob(map=str(south), reference=str(north))).summary
    assert whole["pixels"]["map_only"] > 5 * whole["pixels"]["compared"]
    assert whole["design"]["sentence"].startswith("Census: the part of the map that the reference covers")
    with rasterio.open(south) as file:
        codes, layout = file.read(1, window=((0, 80), (0, file.width))), file.profile | {"height": 80}
    with rasterio.open(tmp_path / "overlap.tif", "w", **layout) as file:
        file.write(codes, 1)
    south = tmp_path / "overlap.tif"
    census = run(AssessJob(map=str(south), reference=str(north))).summary
    assert census["pixels"]["map_only"] < 0.01 * census["pixels"]["compared"]
    assert 0.9 < census["overall_accuracy"]["estimate"] < 1
    draw(DesignJob(map=str(south), out=str(tmp_path / "points.gpkg"), points=1500, minimum=30))
    with (tmp_path / "points.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with rasterio.open(north) as other:
        places = [(float(row["x"]), float(row["y"])) for row in rows]
        assert other.crs.to_epsg() == 32633
        for row, (code,) in zip(rows, other.sample(places), strict=True):
            row["reference"] = "" if code == 0 else str(code)
    with (tmp_path / "points.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    sheet, design = str(tmp_path / "points.csv"), str(tmp_path / "points.strata.json")
    found = run(AssessJob(map=str(south), reference=sheet, design=design)).summary
    assert found["design"]["kind"] == "design-based"
    assert found["points"]["used"] > 1450
    held = found["overall_accuracy"]
    assert held["low"] <= census["overall_accuracy"]["estimate"] <= held["high"]
    by_code = {each["code"]: each["area"]["estimate"] for each in census["classes"]}
    inside = [each["area"]["low"] <= by_code[each["code"]] <= each["area"]["high"] for each in found["classes"]]
    assert sum(inside) >= len(inside) - 2
