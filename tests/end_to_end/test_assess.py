"""``groundshift design`` and ``groundshift assess``: points are drawn, somebody says what is there, figures result."""

from __future__ import annotations

import csv
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.transform import from_origin

from groundshift.cli.main import _groundshift, guarded
from groundshift.errors import GridError
from groundshift.io import class_maps
from groundshift.pipelines import assess, design

NAMES = {1: "water", 2: "grass", 3: "forest", 4: "built"}
UTM = ("EPSG:32633", from_origin(500_000, 5_100_000, 10, 10))


def smooth(seed: int, shape: tuple[int, int], width: int) -> NDArray[np.float64]:
    """A random field with hills of about that many pixels."""
    noise = np.random.default_rng(seed).normal(size=(shape[0] // width + 2, shape[1] // width + 2))
    return np.kron(noise, np.ones((width, width)))[: shape[0], : shape[1]]


def scene(shape: tuple[int, int] = (420, 380)) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A map with a rare class and a corner of no data, and a truth with a class that the map does not know."""
    shown = (np.digitize(smooth(1, shape, 9), [-1.8, -0.2, 1.2]) + 1).astype(np.uint8)
    wrong, other = smooth(2, shape, 3), smooth(3, shape, 4)
    truth = np.where(wrong > 1.5, shown % 4 + 1, shown).astype(np.uint8)
    truth[other > 2.2] = 7
    shown[:20, :30] = 255
    return shown, truth


def write(path: Path, codes: NDArray[Any], crs: str | None, transform: Any, nodata: int | None = 255) -> Path:
    layout = {"driver": "GTiff", "height": codes.shape[0], "width": codes.shape[1], "count": 1, "dtype": codes.dtype}
    with rasterio.open(path, "w", crs=crs, transform=transform, nodata=nodata, tiled=True, **layout) as file:
        file.write(codes, 1)
    return path


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with map, truth, and an empty sheet of points."""
    folder = tmp_path_factory.mktemp("study")
    shown, truth = scene()
    write(folder / "map.tif", shown, *UTM)
    write(folder / "truth.tif", truth, *UTM)
    categories = "".join(f"<Category>{NAMES.get(code, '')}</Category>" for code in range(5))
    (folder / "map.tif.aux.xml").write_text(
        f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{categories}</CategoryNames></PAMRasterBand></PAMDataset>'
    )
    code = guarded(
        _groundshift,
        [
            *("design", str(folder / "map.tif"), "--expected-ua", "water=0.7,other=0.9"),
            *("--standard-error", "0.012", "--out", str(folder / "points.gpkg"), "--quiet"),
        ],
        "groundshift",
    )
    assert code == 0
    return folder


@pytest.fixture
def study(drawn: Path, tmp_path: Path) -> Path:
    """The same with the sheet filled in from the truth, by name."""
    folder = Path(shutil.copytree(drawn, tmp_path / "study"))
    fill(folder, lambda _, code: NAMES.get(code, "bare soil"))
    return folder


def fill(folder: Path, say: Callable[[int, int], str]) -> None:
    """Write down what is at each point of the sheet."""
    with rasterio.open(folder / "truth.tif") as file:
        truth, transform = file.read(1), file.transform
    with (folder / "points.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        x, y = ~transform * (float(row["x"]), float(row["y"]))
        row["reference"] = say(int(row["id"]), int(truth[int(y), int(x)]))
    with (folder / "points.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = guarded(_groundshift, [str(each) for each in argv], "groundshift")
    said = capsys.readouterr()
    return code, said.out, said.err


def assessed(folder: Path, **options: Any) -> dict[str, Any]:
    job = {"map": str(folder / "map.tif"), "reference": str(folder / "points.csv")} | options
    return assess.run(assess.AssessJob(**job)).summary


def designed(folder: Path, **options: Any) -> dict[str, Any]:
    return assessed(folder, design=str(folder / "points.strata.json"), **options)


# --- the way there and back ----------------------------------------------------------------------------------------


def test_points_are_drawn_within_their_classes_and_do_not_say_so(drawn: Path) -> None:
    stated = json.loads((drawn / "points.strata.json").read_text())
    shown, _ = scene()
    for stratum in stated["strata"]:
        pixels = int(np.count_nonzero(shown == stratum["code"]))
        assert (stratum["pixels"], stratum["area"]) == (pixels, pixels * 100.0)
        assert stratum["inclusion_probability"] == stratum["points"] / pixels
        assert stratum["points"] >= 50
    assert all(shown[each["row"], each["column"]] == each["stratum"] for each in stated["points"])
    meta, _, places, fields = pyogrio.raw.read(drawn / "points.gpkg")
    assert meta["crs"] == "EPSG:32633"
    assert meta["fields"].tolist() == ["id", "reference", "alternate", "note"]
    assert fields[0].tolist() == [each["id"] for each in stated["points"]]
    x, y = shapely.get_coordinates(shapely.from_wkb(places)).T
    np.testing.assert_allclose(x, [500_005 + 10 * each["column"] for each in stated["points"]])
    np.testing.assert_allclose(y, [5_099_995 - 10 * each["row"] for each in stated["points"]])
    header = (drawn / "points.csv").read_text().splitlines()[0]
    assert header == "id,x,y,longitude,latitude,reference,alternate,note"


def test_what_was_filled_in_from_the_truth_covers_the_truth(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(
        capsys,
        *("assess", study / "map.tif", "--reference", study / "points.csv"),
        *("--design", study / "points.strata.json", "--out", study / "accuracy.html", "--json"),
    )
    assert code == 0, err
    found = json.loads(out)
    whole = assessed(study, reference=str(study / "truth.tif"))
    assert found["design"]["kind"] == "design-based"
    assert found["design"]["estimator"] == "stratified"
    assert whole["design"]["kind"] == "census"
    assert [each["name"] for each in found["classes"]] == [*NAMES.values(), "bare soil"]
    truths, estimates = [whole["overall_accuracy"]["estimate"]], [found["overall_accuracy"]]
    for mine, theirs in zip(found["classes"], whole["classes"], strict=True):
        for name in ("area", "users_accuracy", "producers_accuracy"):
            assert (mine[name]["estimate"] is None) == (theirs[name]["estimate"] is None)
            if mine[name]["estimate"] is not None:
                truths.append(theirs[name]["estimate"])
                estimates.append(mine[name])
    held = [each["low"] - 1e-9 <= truth <= each["high"] + 1e-9 for truth, each in zip(truths, estimates, strict=True)]
    # fifteen intervals of 95 % that hang together, one sample
    assert sum(held) >= len(held) - 3
    assert "does not show bare soil" in err
    page = (study / "accuracy.html").read_text()
    assert found["design"]["sentence"] in page
    assert json.loads((study / "accuracy.json").read_text()) == found
    assert found["outputs"] == {"json": str(study / "accuracy.json"), "page": str(study / "accuracy.html")}


def test_the_census_is_the_confusion_of_all_pixels(study: Path) -> None:
    shown, truth = scene()
    found = assessed(study, reference=str(study / "truth.tif"))
    known = shown != 255
    assert found["overall_accuracy"]["estimate"] == pytest.approx((shown == truth)[known].mean())
    assert found["overall_accuracy"]["low"] == found["overall_accuracy"]["high"]
    by_hand = [[np.count_nonzero((shown == a) & (truth == b)) / 100 for b in (1, 2, 3, 4, 7)] for a in (1, 2, 3, 4, 7)]
    np.testing.assert_allclose(found["confusion"], by_hand)
    assert found["unit"] == found["confusion_unit"] == "ha"
    assert [each["mapped_area"] for each in found["classes"]] == pytest.approx(np.sum(by_hand, axis=1).tolist())
    assert found["pixels"] == {"compared": int(known.sum()), "map_only": 0, "reference_only": 600}


def test_cutting_the_map_into_blocks_changes_nothing(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = designed(study), assessed(study, reference=str(study / "truth.tif"))
    monkeypatch.setattr(class_maps, "BLOCK_ROWS", 37)
    cut = designed(study), assessed(study, reference=str(study / "truth.tif"))
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_allclose(other["confusion"], one["confusion"])
        assert other["classes"] == one["classes"]
    again = study / "again.gpkg"
    accuracies = {"water": 0.7, "other": 0.9}
    design.run(
        design.DesignJob(map=str(study / "map.tif"), out=str(again), expected_ua=accuracies, standard_error=0.012)
    )
    assert pyogrio.raw.read(again)[2].tolist() == pyogrio.raw.read(study / "points.gpkg")[2].tolist()


def test_points_without_a_design_agree_and_claim_no_accuracy_of_the_map(study: Path) -> None:
    found = assessed(study)
    assert found["design"]["kind"] == "agreement"
    assert found["design"]["sentence"].startswith("Agreement, not accuracy")
    assert all(each["area"] is None for each in found["classes"])
    counts = np.array(found["confusion"])
    assert found["overall_accuracy"]["estimate"] == pytest.approx(np.trace(counts) / counts.sum())


def test_points_said_to_be_random_are_weighted_by_the_area_of_their_class(study: Path) -> None:
    found, by_design = assessed(study, design="random"), designed(study)
    assert found["overall_accuracy"] == by_design["overall_accuracy"]
    assert found["design"]["sentence"] != by_design["design"]["sentence"]


def test_a_sample_of_one_map_assesses_another(study: Path) -> None:
    shown, truth = scene()
    shown[(truth == 3) & (shown != 255)] = 3
    fill(study, lambda _, code: str(code))
    write(study / "map.tif", shown, *UTM)
    found = designed(study)
    whole = assessed(study, reference=str(study / "truth.tif"))
    assert found["design"]["estimator"] == "stehman"
    entry = found["overall_accuracy"]
    assert entry["low"] <= whole["overall_accuracy"]["estimate"] <= entry["high"]
    # areas are of the reference: another map changes none of them
    assert sum(each["area"]["estimate"] for each in found["classes"]) == pytest.approx(
        sum(each["mapped_area"] for each in found["classes"])
    )


def test_a_second_label_makes_a_second_matrix(study: Path) -> None:
    with (study / "points.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["alternate"] = row["reference"]
        row["reference"] = "built" if row["reference"] == "grass" else row["reference"]
    with (study / "points.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    found = designed(study, alternate_field="alternate")
    assert found["overall_accuracy"]["estimate"] < 0.7
    assert found["either_label"]["overall_accuracy"]["estimate"] > 0.85


def test_ids_of_a_design_of_ones_own_are_taken_as_they_are_written(study: Path) -> None:
    found = designed(study)
    path = study / "points.strata.json"
    stated = json.loads(path.read_text())
    for each in stated["points"]:
        each["id"] = f"{each['id']:05d}"
    path.write_text(json.dumps(stated))
    text = (study / "points.csv").read_text().splitlines()
    padded = [text[0], *(line.partition(",")[0].zfill(5) + "," + line.partition(",")[2] for line in text[1:])]
    (study / "points.csv").write_text("\n".join(padded))
    assert designed(study)["confusion"] == found["confusion"]


def test_clusters_of_a_design_widen_the_intervals(study: Path) -> None:
    path = study / "points.strata.json"
    alone = designed(study)["overall_accuracy"]
    stated = json.loads(path.read_text())
    for each in stated["points"]:
        each["cluster"] = each["row"] // 60
    path.write_text(json.dumps(stated))
    found = designed(study)
    assert found["design"]["estimator"] == "clusters"
    assert found["overall_accuracy"]["estimate"] == pytest.approx(alone["estimate"])
    assert found["overall_accuracy"]["half_width"] != alone["half_width"]


def test_codes_in_a_vector_file_in_degrees_are_found_on_the_map(study: Path) -> None:
    with (study / "points.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    codes = {name: code for code, name in NAMES.items()} | {"bare soil": 7}
    places = shapely.points([float(r["longitude"]) for r in rows], [float(r["latitude"]) for r in rows])
    pyogrio.raw.write(
        study / "points.geojson",
        shapely.to_wkb(places),
        [np.array([int(r["id"]) for r in rows]), np.array([codes[r["reference"]] for r in rows])],
        ["id", "lc"],
        geometry_type="Point",
        crs="EPSG:4326",
        driver="GeoJSON",
    )
    found = designed(study, reference=str(study / "points.geojson"), class_field="lc")
    assert found["confusion"] == designed(study)["confusion"]


# --- areas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:4326", from_origin(10, 62, 0.01, 0.01)),
        ("EPSG:3857", from_origin(1_113_194.9, 8_859_142.8, 1113.2, 2300.0)),
    ],
)
def test_areas_in_degrees_and_in_mercator_are_those_on_the_ground(tmp_path: Path, crs: str, transform: Any) -> None:
    from pyproj import Geod, Transformer

    codes = np.ones((200, 100), np.uint8)
    codes[100:] = 2
    path = write(tmp_path / "map.tif", codes, crs, transform)
    with class_maps.open_classes(str(path)) as source:
        found = assess.count_classes(source)[0].area
    forward = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    for code, rows in ((1, (0, 100)), (2, (100, 200))):
        # parallels are no geodesics: walk along them
        edge = [(x, rows[0]) for x in range(101)] + [(x, rows[1]) for x in range(100, -1, -1)]
        x, y = forward.transform(*zip(*(transform * each for each in edge), strict=True))
        expected = abs(Geod(ellps="WGS84").polygon_area_perimeter(x, y)[0])
        assert found[code] == pytest.approx(expected, rel=2e-4)
    assert found[2] > 1.01 * found[1]


def test_a_projection_that_stretches_areas_every_way_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "map.tif", np.ones((90, 90), np.uint8), "EPSG:3031", from_origin(-4e6, 4e6, 90_000, 90_000))
    with class_maps.open_classes(str(path)) as source, pytest.raises(GridError, match="equal-area projection"):
        assess.count_classes(source)


def test_a_sample_in_degrees_goes_by_area_and_not_by_pixel(tmp_path: Path) -> None:
    codes = np.ones((800, 60), np.uint8)
    path = write(tmp_path / "map.tif", codes, "EPSG:4326", from_origin(10, 80, 0.1, 0.1))
    job = design.DesignJob(map=str(path), out=str(tmp_path / "p.gpkg"), points=4000)
    design.run(job)
    rows = [each["row"] for each in json.loads((tmp_path / "p.strata.json").read_text())["points"]]
    # from 80 to 40 degrees north lies (sin 80 - sin 40) / sin 80 of the area, and half of the pixels
    share = (np.sin(np.radians(80)) - np.sin(np.radians(40))) / np.sin(np.radians(80))
    assert np.mean(np.array(rows) < 400) == pytest.approx(share, abs=0.025)


def test_without_georeference_areas_are_pixels(tmp_path: Path) -> None:
    shown, truth = scene((120, 100))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        path = write(tmp_path / "map.tif", shown, None, rasterio.Affine.identity())
        write(tmp_path / "truth.tif", truth, None, rasterio.Affine.identity())
        design.run(design.DesignJob(map=str(path), out=str(tmp_path / "points.gpkg"), points=200, minimum=10))
        fill(tmp_path, lambda _, code: str(code))
    found = designed(tmp_path)
    assert found["unit"] == "px"
    assert sum(each["area"]["estimate"] for each in found["classes"]) == pytest.approx(np.count_nonzero(shown != 255))


# --- what people get wrong -----------------------------------------------------------------------------------------


def test_points_that_do_not_count_are_counted_and_told(study: Path) -> None:
    with (study / "points.csv").open("a") as file:
        for more in (
            "901,0,0,15.0,40.0,water,,",  # outside
            "902,500105,5099905,,,water,,",  # nowhere
            "903,500105,5099995,15.00135,46.05320,water,,",  # on no data
        ):
            file.write(more + "\n")
    fill_one(study, "1", "")
    found = designed(study)
    assert found["points"]["outside_map"] == 2
    assert found["points"]["map_has_no_data"] == 1
    assert found["points"]["without_label"] == 1
    assert found["points"]["of_design_missing"] == 1
    assert found["points"]["given"] - found["points"]["used"] == 4
    messages = " ".join(each["message"] for each in found["warnings"])
    assert "2 outside the map, 1 where the map has no data, 1 without a label" in messages
    # without the design they are judged alike
    assert assessed(study)["points"]["used"] == found["points"]["used"]


def fill_one(folder: Path, number: str, label: str) -> None:
    with (folder / "points.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["id"] == number:
            row["reference"] = label
    with (folder / "points.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_predictions_of_classes_that_the_reference_lacks_are_not_dropped(study: Path) -> None:
    fill(study, lambda _, code: "forest" if code == 2 else NAMES.get(code, "forest"))
    found = assessed(study)
    grass = next(each for each in found["classes"] if each["name"] == "grass")
    assert grass["users_accuracy"]["estimate"] == 0
    assert grass["producers_accuracy"]["estimate"] is None
    counts = np.array(found["confusion"])
    assert counts.sum() == found["points"]["used"]
    assert found["overall_accuracy"]["estimate"] == pytest.approx(np.trace(counts) / counts.sum())


def mistakes() -> list[tuple[str, Callable[[Path], list[object]], int, str]]:
    def ask(**more: object) -> Callable[[Path], list[object]]:
        def argv(folder: Path) -> list[object]:
            options = {"reference": "points.csv", "design": "points.strata.json"} | more
            flags = [
                (f"--{k.replace('_', '-')}", folder / str(v) if "." in str(v) else v) for k, v in options.items() if v
            ]
            return ["assess", folder / "map.tif", *(each for flag in flags for each in flag)]

        return argv

    def change(path: str, text: str) -> Callable[[Path], list[object]]:
        def argv(folder: Path) -> list[object]:
            (folder / path).write_text(text)
            return ask()(folder)

        return argv

    def emptied(folder: Path) -> list[object]:
        fill(folder, lambda _, __: "")
        return ask()(folder)

    def foreign(folder: Path) -> list[object]:
        fill(folder, lambda _, __: "Wald")
        return ask()(folder)

    def one_stratum_empty(folder: Path) -> list[object]:
        stated = json.loads((folder / "points.strata.json").read_text())
        water = {each["id"] for each in stated["points"] if each["stratum"] == 1}
        fill(folder, lambda number, code: "" if number in water else str(code))
        return ask()(folder)

    def twice(folder: Path) -> list[object]:
        lines = (folder / "points.csv").read_text().splitlines()
        (folder / "points.csv").write_text("\n".join([*lines, lines[5]]))
        return ask()(folder)

    def lines_instead(folder: Path) -> list[object]:
        pyogrio.raw.write(
            folder / "lines.geojson",
            np.array([shapely.to_wkb(shapely.LineString([(0, 0), (1, 1)]))]),
            [np.array([1])],
            ["class"],
            geometry_type="LineString",
            crs="EPSG:4326",
            driver="GeoJSON",
        )
        return ask(reference="lines.geojson", design=None)(folder)

    no_points = '{"strata": [{"code": 1, "area": 1}, {"code": 1, "area": 2}]}'
    return [
        ("no reference", ask(reference="none.gpkg"), 66, "there are no reference points"),
        ("no design", ask(design="none.json"), 66, "there is no design"),
        ("no such column", ask(class_field="lulc"), 65, "has no column 'lulc': it has id, x, y"),
        ("design of a raster", ask(reference="truth.tif"), 2, "belong to reference points"),
        ("an unknown ending", ask(out="page.pdf"), 2, "expected a page"),
        ("an empty sheet", emptied, 65, "none of its .* points can be compared: .* without a label"),
        (
            "another legend",
            foreign,
            65,
            "none of its labels \\(Wald\\) is a class of the map, which shows 1 \\(water\\)",
        ),
        ("a stratum unanswered", one_stratum_empty, 65, "stratum 1 \\(water\\) has no point that can be used"),
        ("a point twice", twice, 65, "1 ids stand more than once, such as 5"),
        ("lines", lines_instead, 65, "holds LineString: expected points"),
        ("no JSON", change("points.strata.json", "{"), 65, "is no design that can be read"),
        ("no strata", change("points.strata.json", "{}"), 65, "expected strata with code and area"),
        ("a stratum twice", change("points.strata.json", no_points), 65, "its strata repeat a code"),
        ("no coordinates", change("points.csv", "id,reference\n1,water\n"), 65, "nor x and y"),
        ("words for numbers", change("points.csv", "id,x,y,reference\n1,a,b,1\n"), 65, "column x holds no number"),
        ("no CRS", change("points.csv", "id,x,y,reference\n1,5,5,1\n"), 65, "the points have no coordinate system"),
    ]


@pytest.mark.parametrize(
    ("argv", "code", "sentence"), [each[1:] for each in mistakes()], ids=[m[0] for m in mistakes()]
)
def test_a_mistake_is_one_sentence(
    argv: Callable[[Path], list[object]],
    code: int,
    sentence: str,
    study: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import re

    got, out, err = run(capsys, *argv(study))
    assert got == code, err
    assert not out
    (line,) = (each for each in err.splitlines() if "error" in each)
    assert re.search(sentence, line), line


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (("--expected-ua", "much"), 2, "expected 0.85, or"),
        (("--expected-ua", "1=0.9"), 2, "no expected accuracy is given for class 2 (grass)"),
        (("--expected-ua", "ice=0.9,other=0.8"), 2, "ice, which the map does not hold"),
        (("--expected-ua", "1.5"), 65, "outside 0 to 1"),
        (("--standard-error", "0"), 2, "the standard error is 0"),
        (("--standard-error", "0.00001"), 2, "ask for less precision"),
        (("--allocation", "best"), 2, "the allocation is 'best'"),
        (("--points", "0"), 2, "0 points are asked for"),
        ((), 2, "exists already"),
    ],
)
def test_a_mistake_in_a_design_is_one_sentence_and_replaces_nothing(
    options: tuple[str, ...], code: int, sentence: str, drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in drawn.iterdir()}
    name = "other.gpkg" if options else "points.gpkg"
    got, _, err = run(capsys, "design", drawn / "map.tif", "--out", drawn / name, *options)
    assert got == code, err
    assert sentence in err
    assert {path.name: path.read_bytes() for path in drawn.iterdir()} == before


def test_measurements_are_no_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "ndvi.tif", np.zeros((9, 9), np.float32), *UTM, nodata=None)
    code, _, err = run(capsys, "design", path, "--out", tmp_path / "p.gpkg")
    assert code == 65
    assert "expected a map of classes" in err
    path = write(tmp_path / "height.tif", np.arange(900, dtype=np.uint16).reshape(30, 30), *UTM, nodata=None)
    code, _, err = run(capsys, "design", path, "--out", tmp_path / "p.gpkg")
    assert code == 65
    assert "more than 254 codes" in err


def test_codes_of_any_whole_type_are_told_apart(tmp_path: Path) -> None:
    shown = np.full((40, 30), -1, np.int16)
    shown[20:] = 300
    truth = np.where(np.arange(30) < 3, 300, shown).astype(np.int32)
    write(tmp_path / "map.tif", shown, *UTM, nodata=None)
    write(tmp_path / "truth.tif", truth, *UTM, nodata=None)
    found = assessed(tmp_path, reference=str(tmp_path / "truth.tif"))
    assert [each["code"] for each in found["classes"]] == [-1, 300]
    assert found["confusion"] == [[pytest.approx(5.4), pytest.approx(0.6)], [0, pytest.approx(6.0)]]


def test_255_of_a_byte_is_no_data_in_a_file_that_does_not_say_so(tmp_path: Path) -> None:
    shown = np.ones((20, 20), np.uint8)
    shown[:5] = 255
    path = write(tmp_path / "map.tif", shown, *UTM, nodata=None)
    with class_maps.open_classes(str(path)) as source:
        held = assess.count_classes(source)[0]
    assert (held.pixels, held.unknown_pixels) == ({1: 300}, 100)
