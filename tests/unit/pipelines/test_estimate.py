"""What a large series would take."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from groundshift.cli.main import _groundshift, guarded
from groundshift.errors import InputError, MissingInputError, UsageError
from groundshift.pipelines import estimate
from groundshift.pipelines.estimate import EstimateJob, read_tiles, run
from groundshift.pipelines.series_job import SeriesDetectSection


def main(argv: list[str]) -> int:
    return guarded(_groundshift, argv, "groundshift")


JOB = EstimateJob(dates=(date(2025, 1, 1), date(2025, 12, 31)), tiles="10", workers=8, method="network")
PLAIN = {
    "decode_s_per_mpx": 0.1,
    "prepare_s_per_mpx": 0.02,
    "statistical_s_per_mpx": 0.3,
    "network_s_per_mpx": 1.0,
    "network_flop_per_px": 30_000.0,
    "fit_s_per_pair": 2.0,
    "compared_again": 0.5,
    "track_s_per_mpx": 0.1,
    "write_s_per_mpx": 0.05,
    "written_bytes_per_px": 2.0,
    "stored_bytes_per_px": 1.0,
    "product_bytes": 1e9,
    "worker_bytes": 2**29,
    "driver_bytes": 2**28,
    "scratch_bytes_per_px": 6.0,
    "tiles_per_km2": 1.4e-4,
}


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "costs", lambda: PLAIN)


def test_every_figure_follows_from_the_constants() -> None:
    """Ten tiles, two orbits, 73 dates each; four bands at 10 m and the classes at 20 m: 4.25 x 120.56 megapixels."""
    found = run(JOB)
    products, pairs, mpx = 1460, 1440, 10_980**2 / 1e6
    assert (found["tiles"], found["fields_of_view"], found["products"], found["pairs"]) == (10, 20, products, pairs)
    assert found["units"] == 20 * (22 * 11) * 73
    assert found["read_tb"] == pytest.approx(products * 4.25 * mpx / 1e6)
    assert found["read_whole_products_tb"] == pytest.approx(products / 1e3)
    assert found["written_tb"] == pytest.approx((pairs + 1.25 * 20) * mpx * 2 / 1e6)
    hours = found["cpu_hours"]
    assert hours["decode"] == pytest.approx(products * 4.25 * mpx * 0.1 / 3600)
    twice = 0.5 * (pairs - 20)  # the second date of a field of view has nothing older to be compared with
    assert hours["compare"] == pytest.approx(((pairs + twice) * mpx * 1.0 + pairs * 2) / 3600)
    assert hours["total"] == pytest.approx(sum(value for name, value in hours.items() if name != "total"))
    assert found["cost"] == pytest.approx(hours["total"] * 0.05)
    assert found["gpu_hours"] == pytest.approx((pairs + twice) * mpx * 1e6 * 30_000 / 30e12 / 3600)
    assert found["memory_gib"] == {"worker": 0.5, "all": 4.25}
    assert found["wall_days"]["computing"] == pytest.approx(hours["total"] / 8 / 24, rel=0.1)
    assert found["wall_days"]["fetching_bands"] == pytest.approx(
        max(found["read_tb"] / 12 * 30, found["read_tb"] * 8e12 / 640e6 / 86_400)
    )


def test_options_move_what_they_should() -> None:
    plain = run(JOB)
    statistical = run(replace(JOB, method="statistical"))
    assert statistical["gpu_hours"] == 0
    assert statistical["cpu_hours"]["total"] < plain["cpu_hours"]["total"]
    both = run(replace(JOB, method="ensemble"))["cpu_hours"]["compare"]
    assert both > plain["cpu_hours"]["compare"]
    half = run(replace(JOB, usable=50.0))
    assert half["products"] == plain["products"] / 2
    free = run(replace(JOB, quota_tb=0.0, bandwidth_mbit=8.0))
    assert free["wall_days"]["fetching_bands"] == pytest.approx(plain["read_tb"] * 1e6 / 86_400)
    coarse = run(replace(JOB, bands=("B05", "B06", "B07", "B11")))
    assert coarse["read_tb"] == pytest.approx(plain["read_tb"] * 1.25 / 4.25)


def test_the_method_is_that_of_a_series_unless_another_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    usual = SeriesDetectSection().method
    assert EstimateJob(dates=JOB.dates, tiles="10").method == usual
    asked = ["estimate", "--tiles", "1", "--dates", "2025-06-01/2025-06-30", "--json"]
    told = []
    for more in ([], ["--method", usual]):
        assert main([*asked, *more]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]


def test_tiles_come_from_a_list_and_each_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "europe.txt"
    path.write_text("# west to east\n31UFS\nT31UFS\n1cda, island\n\n32tqm  # Alps\n")
    assert read_tiles(str(path)) == {"31UFS", "01CDA", "32TQM"}
    assert run(replace(JOB, tiles=str(path)))["tiles"] == 3


@pytest.mark.parametrize(("text", "told"), [("31UFS\n31UIO\n", "line 2: '31UIO' is no tile"), ("# none\n", "names no")])
def test_a_list_that_is_none_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read_tiles(str(path))


def test_an_area_stands_for_its_tiles() -> None:
    """A degree by a degree at 45 north is 8,760 square kilometres."""
    found = run(replace(JOB, tiles=None, aoi="POLYGON ((10 44.5, 11 44.5, 11 45.5, 10 45.5, 10 44.5))"))
    assert found["tiles"] == 2
    large = run(replace(JOB, tiles=None, aoi="SRID=3857;POLYGON ((0 0, 2e6 0, 2e6 2e6, 0 2e6, 0 0))"))
    assert 500 < large["tiles"] < 560


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tiles": None}, "either --tiles or --aoi"),
        ({"aoi": "POINT (0 0)"}, "either --tiles or --aoi"),
        ({"method": "magic"}, "expected one of statistical, network"),
        ({"workers": 0}, "--workers is 0"),
        ({"usable": 0.0}, "--usable is 0"),
        ({"price_cpu_hour": -1.0}, "not negative"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        replace(JOB, **change)  # type: ignore[arg-type]


def test_no_list_is_told_with_66_and_nonsense_numbers_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MissingInputError, match="neither a number nor a list"):
        run(replace(JOB, tiles="nowhere.txt"))
    assert main(["estimate", "--tiles", "0", "--dates", "2025-01-01/2025-12-31"]) == 2
    assert main(["estimate", "--tiles", "3", "--dates", "2025-13-01"]) == 2
    assert "--dates: days are written" in capsys.readouterr().err


def test_the_command_prints_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["estimate", "--tiles", "2", "--dates", "2025-06-01/2025-06-30", "--bands", "B4,B8", "--workers", "4"]
    assert main(options) == 0
    table = capsys.readouterr().out
    assert "4 fields of view" in table
    assert "CPU hours" in table
    assert main([*options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["products"] == 24


def test_the_constants_of_the_package_are_complete_and_say_where_they_are_from() -> None:
    content = json.loads(estimate.COSTS.read_text("utf-8"))
    assert content.keys() == PLAIN.keys()
    assert all(entry["value"] > 0 and len(entry["origin"]) > 20 for entry in content.values())
