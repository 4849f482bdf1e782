"""Series from files to files on small generated scenes, held against what was planted between two of them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely
from PIL import Image
from rio_cogeo.cogeo import cog_validate
from scipy import ndimage

import groundshift as gs
from groundshift.cli.main import _groundshift, guarded
from groundshift.execution.pool import Pool
from groundshift.io.stac_item import check_item
from groundshift.model.grid import Window
from groundshift.pipelines import series, series_alerts, series_pairs, series_rasters, series_step
from groundshift.testing.safe import write_safe
from groundshift.testing.scenes import DateOptions, PairOptions, SceneOptions, SyntheticPair, pair
from groundshift.testing.spectra import Change

SHAPE = (120, 180)
FIRST = datetime(2021, 3, 5, 0, 2, 41, tzinfo=UTC)
CHANGED = 2
"""Number of the first date after the change."""
PLAIN = {"detect_method": "statistical"}
CLOUDS = (0.0, 0.03, 0.0, 0.9, 0.0, 0.02)


@pytest.fixture(scope="module")
def planted() -> SyntheticPair:
    """Two dates of one ground with fellings and burns between."""
    options = PairOptions(
        scene=SceneOptions(seed=5, shape=SHAPE, noise=0.004),
        changed=0.06,
        kinds=(Change.CLEAR_CUT, Change.BURN),
    )
    return pair(options)


@pytest.fixture(scope="module")
def products(planted: SyntheticPair, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six products, five days apart: two before the change, one cloudy, and three after."""
    folder = tmp_path_factory.mktemp("series")
    found = []
    for k, share in enumerate(CLOUDS):
        date = DateOptions(gain=1 + 0.02 * (k % 3 - 1), offset=0.002 * (k % 2), cloud_share=share)
        scene = replace(planted.before if k < CHANGED else planted.after, date=date, number=10 + k)
        time = FIRST + timedelta(days=5 * k)
        found.append(write_safe(scene, folder, bands="B02,B03,B04,B08", sensing_time=time))
    return found


@pytest.fixture(autouse=True)
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in this process."""
    monkeypatch.setattr(series, "open_pool", lambda *_, **__: Pool(0))


@pytest.fixture(scope="module")
def whole(products: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A finished series of all dates, and its summary."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series, "open_pool", lambda *_, **__: Pool(0))
        yield folder, gs.detect_series(products[::-1], folder, **PLAIN).summary


def far_from(amount: np.ndarray) -> np.ndarray:
    """Where nothing changed within two pixels."""
    return ~ndimage.binary_dilation(amount > 0, np.ones((5, 5), bool))


def contents(folder: Path) -> dict[str, str]:
    """Checksums of what has no times in it."""
    names = (path for path in folder.iterdir() if path.suffix in (".tif", ".png", ".gif", ".gpkg"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(names)}


def test_pairs_are_of_consecutive_usable_dates_and_the_cloudy_one_is_told(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = whole
    (view,) = summary["fields"]
    days = [f"{FIRST + timedelta(days=5 * k):%Y%m%d}" for k in range(6)]
    assert [(one["before"], one["after"]) for one in view["pairs"]] == [
        (days[0], days[1]),
        (days[1], days[2]),
        (days[2], days[4]),
        (days[4], days[5]),
    ]
    assert [(one["date"], one["reason"]) for one in summary["skipped"]] == [(days[3], "100 % cloud, more than 60 %")]
    told = json.loads((folder / "manifest.json").read_text())
    assert told["result"]["pair_rule"] == summary["pair_rule"]
    assert len(told["inputs"]) == 6
    assert {one["path"] for one in told["outputs"]} >= {"report.html", "alerts.gpkg", view["pairs"][0]["file"]}


def test_probabilities_lie_on_the_pixels_of_the_images(
    whole: tuple[Path, dict[str, Any]], products: list[Path], planted: SyntheticPair
) -> None:
    folder, summary = whole
    with rasterio.open(next(products[0].rglob("*B02_10m.jp2"))) as image:
        place = image.crs, image.transform, image.shape
    truth, amount = (each(Window(0, SHAPE[0], 0, SHAPE[1])) for each in (planted.truth, planted.amount))
    for one in summary["fields"][0]["pairs"]:
        path = folder / one["file"]
        assert cog_validate(str(path))[0]
        with rasterio.open(path) as file:
            assert (file.crs, file.transform, file.shape) == place
            assert file.dtypes == ("float32",)
            assert np.isnan(file.nodata)
            chance = file.read(1)
        known = np.isfinite(chance)
        assert 100 * known.mean() == pytest.approx(one["joint_percent"], abs=0.01)
        assert chance[known].min() >= 0
        assert chance[known].max() <= 1
        seen = chance >= 0.5
        if one["after"] == "20210315":
            assert seen[known & (truth > 0) & (truth < 255)].mean() > 0.8
        assert seen[known & far_from(amount)].mean() < 0.01, "soft rims aside"


def test_the_change_is_dated_confirmed_and_outlined(whole: tuple[Path, dict[str, Any]], planted: SyntheticPair) -> None:
    folder, summary = whole
    truth, amount = (each(Window(0, SHAPE[0], 0, SHAPE[1])) for each in (planted.truth, planted.amount))
    with rasterio.open(folder / "first_change.tif") as file:
        days, before = file.read()
    with rasterio.open(folder / "evidence.tif") as file:
        status, confirmations, dates = file.read()
    confirmed = status == 2
    assert set(np.unique(days[confirmed])) == {20210315}
    assert set(np.unique(before[confirmed])) <= {20210305, 20210310}
    assert confirmed[(truth > 0) & (truth < 255)].mean() > 0.7
    assert confirmed[far_from(amount)].mean() < 0.005
    assert (confirmations[confirmed] == 2).mean() > 0.9
    assert (dates[confirmed] == 2).all(), "two clear dates came after it"
    meta, _, shapes, columns = pyogrio.raw.read(folder / "alerts.gpkg")
    alerts = dict(zip(meta["fields"], columns, strict=True))
    sure = alerts["status"] == "confirmed"
    area = alerts["area_m2"]
    assert set(alerts["date"][sure]) == {"2021-03-15"}
    assert area[sure].sum() == pytest.approx(1e4 * summary["fields"][0]["alerts_confirmed_ha"])
    assert area == pytest.approx(shapely.area(shapely.from_wkb(shapes)))
    assert area[sure].sum() == pytest.approx(100 * confirmed.sum(), rel=0.05), "but for those of a few pixels"
    assert ((alerts["confidence"] > 0.5) & (alerts["confidence"] <= 1)).all()
    assert "vegetation loss" in set(alerts["kind"])


def test_pictures_page_and_item(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = whole
    with Image.open(folder / "largest.gif") as film:
        assert film.n_frames == 2
    page = (folder / "report.html").read_text("utf-8")
    assert "Change from 2021-03-05 to 2021-03-30" in page
    assert "100 % cloud" in page
    item = json.loads((folder / "item.json").read_text())
    assert check_item(item) == []
    assert item["assets"]["first_change"]["bands"][0]["name"] == "first_change"
    assert (item["properties"]["start_datetime"], item["properties"]["end_datetime"]) == (
        "2021-03-05T00:02:41Z",
        "2021-03-30T00:02:41Z",
    )
    assert Path(summary["outputs"]["largest"]) == folder / "largest.gif"


def test_a_series_that_grew_is_the_same_as_one_of_all_dates_and_did_nothing_twice(
    whole: tuple[Path, dict[str, Any]], products: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    gs.detect_series(products[:4], out, **PLAIN)
    made = {path.name: path.stat().st_mtime_ns for path in out.glob("PROBABILITY_*.tif")}
    assert len(made) == 2
    done: list[str] = []
    ours = series_step.run
    monkeypatch.setattr(series_step, "run", lambda step: (done.append(step.chain), ours(step))[1])
    gs.detect_series(products, out, **PLAIN)
    assert len(set(done)) == 2, "two dates are new and usable"
    assert {name: (out / name).stat().st_mtime_ns for name in made} == made
    assert contents(out) == contents(whole[0])
    moved = [shutil.copytree(product, tmp_path / "elsewhere" / product.name) for product in products]
    gs.detect_series(moved, out, **PLAIN)
    assert len(set(done)) == 2, "nothing is left to do, wherever the products lie"
    assert all(str(path) in (out / "manifest.json").read_text() for path in moved)


def test_a_run_that_was_interrupted_goes_on_in_any_cut_of_the_image(
    whole: tuple[Path, dict[str, Any]], products: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (series_pairs, series_alerts, series_rasters, series_step):
        monkeypatch.setattr(module, "ROWS", 32)
    for module in (series_pairs, series_alerts, series_rasters, series_step):
        monkeypatch.setattr(module, "COLUMNS", 96)
    done: list[tuple[str, int, int]] = []
    ours = series_step.run

    def stops(left: int) -> Callable[[Any], Any]:
        def run(step: Any) -> Any:
            if len(done) == left:
                raise KeyboardInterrupt
            found = ours(step)
            done.append((step.chain, step.window.y0, step.window.x0))
            return found

        return run

    for left in (2, 11, 16, 1000):  # a date has eight units
        monkeypatch.setattr(series_step, "run", stops(left))
        arguments = [
            "series",
            *map(str, products),
            "--outdir",
            str(tmp_path / "out"),
            "--quiet",
            "--method",
            "statistical",
        ]
        assert guarded(_groundshift, arguments, "groundshift") == (0 if left == 1000 else 130)
        assert (tmp_path / "out" / "manifest.json").exists() == (left == 1000)
    repeated = len(done) - len(set(done))
    assert repeated <= 2, "rows of the first date alone are begun again"
    assert contents(tmp_path / "out") == contents(whole[0])


def test_one_pair_with_a_probability(products: list[Path], planted: SyntheticPair, tmp_path: Path) -> None:
    job = gs.ChangeJob.model_validate(
        {
            "input": {"before": str(products[1]), "after": str(products[2])},
            "detect": {"method": "ensemble"},
            "output": {"outdir": str(tmp_path)},
            "run": {"workers": 1},
        }
    )
    found = gs.run(job)
    with rasterio.open(tmp_path / "PROBABILITY.tif") as file, rasterio.open(tmp_path / "S2-CD.tif") as kinds:
        chance, code = file.read(1), kinds.read(1)
    assert found.summary["outputs"]["PROBABILITY"] == str(tmp_path / "PROBABILITY.tif")
    assert (np.isfinite(chance) == (code != 255)).all()
    assert ((chance >= 0.5) == ((code > 0) & (code < 255))).all()
    assert "one half" in (tmp_path / "report.html").read_text("utf-8")
