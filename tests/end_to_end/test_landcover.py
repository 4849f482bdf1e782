"""Land cover from files to files on a generated year: trained on fields, mapped, held against the known class map."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr

import groundshift as gs
from groundshift.cli.main import _groundshift, guarded
from groundshift.errors import InputError
from groundshift.io import models
from groundshift.io.planes import Planes
from groundshift.pipelines import landcover_compare, landcover_predict, landcover_start
from groundshift.testing import reference
from groundshift.testing.geodesy import tile_corner
from groundshift.testing.scenes import SceneOptions
from groundshift.testing.year import TILE, SyntheticYear, YearOptions

pytestmark = pytest.mark.usefixtures("parked_workers")

BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
STEPS = [{"use": "indices", "names": ["NDVI"]}, {"use": "regular", "step_days": 30}]
QUICK: dict[str, Any] = {"options": {"epochs": 15, "trees": 20}, "per_class": 150, "workers": 1}


def year(shape: tuple[int, int] = (150, 150), **more: Any) -> SyntheticYear:
    return SyntheticYear(options=YearOptions(scene=SceneOptions(seed=5, shape=shape, noise=0.006), **more))


def write_patch(folder: Path, drawn: SyntheticYear) -> Path:
    days = [date(2021, month, 9) for month in range(1, 13)]
    crs, x, y = tile_corner(TILE)
    rows, columns = drawn.shape
    series = xr.Dataset(
        {
            "data.BANDS": (("time", "data.BANDS.band", "y", "x"), drawn.series(bands=BANDS, days=days)),
            "mask.IS_VALID": (("time", "y", "x"), drawn.valid(days=days)),
        },
        {
            "time": np.array(days, "M8[ns]"),
            "y": y - 10 * (np.arange(rows) + 0.5),
            "x": x + 10 * (np.arange(columns) + 0.5),
            "spatial_ref": xr.Variable((), 0, {"crs_wkt": rasterio.crs.CRS.from_epsg(crs).to_wkt()}),
        },
    )
    return gs.write_eopatch(series, folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A patch, fields of known class, the class map, and a model of them."""
    folder = tmp_path_factory.mktemp("year")
    drawn = year()
    write_patch(folder / "patch", drawn)
    reference.write_reference(reference.reference(drawn, per_class=8, min_px=30), folder / "fields.gpkg")
    reference.write_class_map(drawn, folder / "truth.tif")
    gs.train_landcover(
        folder / "patch", folder / "fields.gpkg", folder / "model", steps=STEPS, class_field="name", **QUICK
    )
    return folder


def test_the_default_is_whichever_did_better_where_it_had_not_been(place: Path) -> None:
    card, _ = models.load(place / "model")
    tried = {each["kind"]: each for each in card.report["candidates"]}
    assert set(tried) == {"mlp", "rf", "knn"}
    assert card.kind == max(tried, key=lambda kind: tried[kind]["macro_f1"])
    folds = card.report["splits"]["folds"]
    assert sum(each["chosen_without_part"] for each in tried.values()) == folds
    if tried[card.kind]["chosen_without_part"] == folds:
        assert card.report["transfer"]["macro_f1"] == tried[card.kind]["macro_f1"]
    assert tried["mlp"] != tried["rf"]


def agreement(path: Path, truth: Path) -> float:
    with rasterio.open(path) as found, rasterio.open(truth) as known:
        made, true = found.read(1), known.read(1)
    return float((made == true)[made != 255].mean())


def test_a_model_finds_the_classes_of_a_year(place: Path) -> None:
    result = gs.predict_landcover(place / "model", place / "patch", place / "map", workers=1)
    names = {row["name"]: row["code"] for row in result.summary["classes"]}
    assert sorted(names.values()) == list(range(1, len(names) + 1)), "names are numbered in the order of the alphabet"
    with rasterio.open(place / "map" / "classes.tif") as file:
        codes = file.read(1)
    with rasterio.open(place / "truth.tif") as file:
        truth = file.read(1)
    from groundshift.testing.phenology import LandCover

    told = np.zeros(256, np.uint8)
    for name, code in names.items():
        told[code] = LandCover[name.upper()]
    assert (told[codes] == truth)[codes != 255].mean() > 0.75
    report = (place / "map" / "report.html").read_text()
    assert "<script" not in report
    assert all(name in report for name in names)


def test_what_is_written_fits_together(place: Path) -> None:
    gs.predict_landcover(place / "model", place / "patch", place / "plain", workers=1, method="none")
    card, _ = models.load(place / "model")
    with rasterio.open(place / "plain" / "probabilities.tif") as file:
        chances, names = file.read(), file.descriptions
    with rasterio.open(place / "plain" / "classes.tif") as file:
        codes = file.read(1)
    with rasterio.open(place / "plain" / "evidence.tif") as file:
        evidence = dict(zip(file.descriptions, file.read(), strict=True))
    with rasterio.open(place / "plain" / "sets.tif") as file:
        sets = file.read()
    known = codes != 255
    assert names == card.names
    np.testing.assert_allclose(chances[:, known].sum(axis=0) * 0.004, 1, atol=0.02)
    best = np.array(card.codes)[chances.argmax(axis=0)]
    clear = known & (evidence["margin"] > 2)
    np.testing.assert_array_equal(best[clear], codes[clear])
    np.testing.assert_array_equal(sets[:, known].sum(axis=0), evidence["set_size"][known])
    assert (evidence["count"][known] > 0).all()
    with rasterio.open(place / "truth.tif") as file:
        assert evidence["count"].shape == file.shape


def test_a_step_of_this_session_makes_the_map_that_it_says(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker knows such a step, even one that was begun before the model was read."""
    from groundshift.landcover import chain

    monkeypatch.setattr(chain, "STEPS", dict(chain.STEPS))

    @gs.step
    def as_it_is(series: xr.Dataset) -> xr.Dataset:
        return series

    card, weights = models.load(place / "model")
    steps = [{"use": "as_it_is"}, *card.chain["steps"]]
    models.save(place / "own", replace(card, chain={**card.chain, "steps": steps}), weights)
    for model in ("model", "own"):
        gs.predict_landcover(place / model, place / "patch", place / f"by-{model}", workers=1, method="none")
    made = [(place / f"by-{model}" / "classes.tif").read_bytes() for model in ("model", "own")]
    assert made[0] == made[1]


def test_confidence_sets_hold_the_class_about_as_often_as_they_say(place: Path) -> None:
    gs.predict_landcover(place / "model", place / "patch", place / "sets", workers=1, confidence=90)
    from groundshift.testing.phenology import LandCover

    card, _ = models.load(place / "model")
    with rasterio.open(place / "sets" / "sets.tif") as file:
        members = file.read()
    with rasterio.open(place / "truth.tif") as file:
        truth = file.read(1)
    held = np.zeros(truth.shape, bool)
    for k, name in enumerate(card.names):
        held |= (truth == LandCover[name.upper()]) & (members[k] == 1)
    known = members[0] != 255
    # Of a small area with few fields; edges of fields, which training leaves out, are in it as well.
    assert 0.8 < held[known].mean() <= 1.0


def test_how_the_area_is_cut_changes_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gs.predict_landcover(place / "model", place / "patch", place / "whole", workers=1)
    monkeypatch.setattr(landcover_predict, "_SIDES", (64,))
    gs.predict_landcover(place / "model", place / "patch", place / "cut", workers=1)
    for name in ("classes", "probabilities", "evidence", "sets"):
        with rasterio.open(place / "whole" / f"{name}.tif") as one, rasterio.open(place / "cut" / f"{name}.tif") as two:
            np.testing.assert_array_equal(one.read(), two.read())


def test_an_interrupted_map_goes_on_where_it_was(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landcover_predict, "_SIDES", (64,))
    written = []
    real = Planes.write

    def interrupted(self: Planes, window: Any, values: Any, *band: int) -> None:
        if self.path.name == "evidence.bin" and band == (4,):
            written.append(window)
            if len(written) == 4:
                raise KeyboardInterrupt
        real(self, window, values, *band)

    monkeypatch.setattr(Planes, "write", interrupted)
    copy = shutil.copytree(place / "patch", place / "moved")
    job = partial(gs.predict_landcover, place / "model", outdir=place / "resumed")
    from groundshift.execution.pool import Pool

    monkeypatch.setattr(landcover_start, "open_pool", lambda *_, **__: Pool(0))
    with pytest.raises(KeyboardInterrupt):
        job(place / "patch")
    assert not (place / "resumed" / "classes.tif").exists()
    job(copy)
    assert len(set(written)) == 6
    assert len(written) == 7, "three blocks were done, one was interrupted, two and the interrupted one were left"
    monkeypatch.undo()
    assert str(copy) in (place / "resumed" / "manifest.json").read_text()
    gs.predict_landcover(place / "model", place / "patch", place / "straight", workers=1)
    assert (place / "resumed" / "classes.tif").read_bytes() == (place / "straight" / "classes.tif").read_bytes()


def test_a_model_given_other_features_names_them(place: Path) -> None:
    with rasterio.open(place / "truth.tif") as file:
        profile, values = file.profile, file.read(1)
    profile |= {"count": 2, "dtype": "float32", "nodata": None}
    with rasterio.open(place / "stack.tif", "w", **profile) as file:
        file.write(np.stack([values, values]).astype(np.float32))
        file.descriptions = ("NDVI", "elevation")
    with pytest.raises(InputError, match="has no B02_d000"):
        gs.predict_landcover(place / "model", None, place / "refused", stack=str(place / "stack.tif"))
    assert not (place / "refused" / "classes.tif").exists()


def test_a_stack_of_features_is_learnt_and_mapped_from_the_command_line(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = year()
    clearest = max((date(2021, 6, day) for day in range(2, 30, 3)), key=lambda day: drawn.valid(days=[day]).mean())
    summer = drawn.series(bands=BANDS, days=[clearest])[0]
    crs, x, y = tile_corner(TILE)
    layout = {"driver": "GTiff", "count": 6, "height": 150, "width": 150, "dtype": "float32", "crs": f"EPSG:{crs}"}
    with rasterio.open(place / "summer.tif", "w", **layout, transform=rasterio.Affine(10, 0, x, 0, -10, y)) as file:
        file.write(summer)
        file.descriptions = BANDS
    common = ("--stack", str(place / "summer.tif"), "--workers", "1", "--quiet")
    train = ("landcover", "train", *common, "--truth", str(place / "truth.tif"), "--per-class", "100", "--model", "rf")
    assert guarded(_groundshift, [*train, "--out", str(place / "forest"), "--json"], "groundshift") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["splits"]["kind"] == "knndm"
    assert told["features"] == 6
    predict = ("landcover", "predict", str(place / "forest"), *common, "--out", str(place / "stacked"))
    assert (
        guarded(_groundshift, [*predict, "--polygons", "classes.gpkg", "--min-area", "1000", "--json"], "groundshift")
        == 0
    )
    summary = json.loads(capsys.readouterr().out)
    assert Path(summary["outputs"]["polygons"]).exists()
    assert agreement(place / "stacked" / "classes.tif", place / "truth.tif") > 0.5
    assert guarded(_groundshift, [*train, "--out", str(place / "forest")], "groundshift") == 73
    assert "use --force" in capsys.readouterr().err


def test_variants_are_compared_on_the_same_samples(place: Path) -> None:
    from groundshift.pipelines import jobfile
    from groundshift.pipelines.landcover_job import TrainJob

    common = {
        "input.scenes": [str(place / "patch")],
        "truth.path": str(place / "fields.gpkg"),
        "truth.class_field": "name",
        "output.out": "none",
        "samples.per_class": 80,
        "model.kind": "mlp",
        "model.options": {"epochs": 15},
        "run.workers": 1,
    }
    season = [{"use": "statistics", "percentiles": [50]}]
    jobs = [
        ("calendar", jobfile.make(TrainJob, {**common, "chain.steps": STEPS})),
        ("same", jobfile.make(TrainJob, {**common, "chain.steps": STEPS})),
        ("median", jobfile.make(TrainJob, {**common, "chain.steps": season})),
    ]
    first, same, median = landcover_compare.compare(jobs).summary["variants"]
    assert same["against_first"]["overall_accuracy"] == {
        "difference": 0.0,
        "interval": [0.0, 0.0],
        "beyond_chance": False,
    }
    assert not same["differs_in"]
    assert set(median["differs_in"]) == {"chain.steps.1", "chain.steps.2"}
    lost = median["against_first"]["overall_accuracy"]
    assert lost["difference"] < 0
    assert lost["interval"][0] <= lost["difference"] <= lost["interval"][1]
    assert first["overall_accuracy"] > median["overall_accuracy"]
    other = jobfile.make(TrainJob, {**common, "samples.seed": 3})
    with pytest.raises(gs.ConfigError, match=r"differs in samples\.seed"):
        landcover_compare.compare([jobs[0], ("other", other)])


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("--truth", "none.gpkg"), "there is no reference none.gpkg", 66),
        (("--truth", "{fields}", "--class-field", "crop"), "has no field 'crop'", 2),
        (("--truth", "{truth}", "--splits", "polygon"), "needs polygons", 2),
        (("--truth", "{fields}", "--class-field", "name", "--erode", "40"), "leaves samples of 0 class", 65),
        (("--truth", "{fields}", "--stack", "{truth}"), "give either --series or --stack", 2),
    ],
)
def test_what_cannot_be_trained_is_told(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str, code: int
) -> None:
    files = {"fields": place / "fields.gpkg", "truth": place / "truth.tif"}
    given = [text.format(**files) for text in arguments]
    command = [
        "landcover",
        "train",
        "--series",
        str(place / "patch"),
        "--workers",
        "1",
        "--out",
        str(tmp_path / "model"),
    ]
    assert guarded(_groundshift, [*command, *given], "groundshift") == code
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
