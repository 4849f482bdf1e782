"""The scene list from files: what is asked for is covered, nothing needless is listed, and a mosaic takes the list."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from groundshift.cli.main import _groundshift, guarded
from groundshift.execution.pool import Pool
from groundshift.io.opening import open_scene
from groundshift.pipelines import mosaic, mosaic_plan
from groundshift.pipelines import select as pipeline
from groundshift.pipelines.mosaic_job import MosaicJob
from groundshift.testing.safe import write_safe
from groundshift.testing.scenes import DateOptions, SceneOptions, SyntheticScene

GROUND = SceneOptions(seed=8, shape=(480, 480), noise=0.002)
CLOUDS = (0.05, 0.0, 0.05, 0.9)
"""Share of clouds by date, newest first."""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("scenes")
    return [
        write_safe(
            SyntheticScene(options=GROUND, date=DateOptions(cloud_share=share), number=i),
            folder,
            tile="56HKH",
            sensing_time=datetime(2021, 3, 25 - 5 * i, 0, 2, 41, tzinfo=UTC),
            bands="B02,B03,B04,B08",
        )
        for i, share in enumerate(CLOUDS)
    ]


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = guarded(_groundshift, [str(each) for each in argv], "groundshift")
    said = capsys.readouterr()
    return code, said.out, said.err


def cells(scenes: list[Path]) -> np.ndarray:
    """(scene, y, x) what each shows clear from afar."""
    job = MosaicJob.model_validate({"input": {"scenes": [str(path) for path in scenes]}, "output": {"outdir": "."}})
    readers = [open_scene(path) for path in scenes]
    grid = pipeline._look(mosaic_plan.make(readers, job), job).coarse
    return np.stack([pipeline.clear_cells(reader, grid, job) for reader in readers])


@pytest.mark.parametrize("times", [1, 2])
def test_every_place_is_seen_as_often_as_asked_and_no_scene_is_needless(
    scenes: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], times: int
) -> None:
    out = tmp_path / "scenes.json"
    code, said, _ = run(capsys, "select", *scenes, "--out", out, "--cover", times, "--json")
    assert code == 0
    chosen = [scenes.index(Path(each["href"])) for each in json.loads(said)["scenes"]]
    clear = cells(scenes)
    wanted = np.minimum(clear.sum(axis=0), times)
    assert (clear[chosen].sum(axis=0) >= wanted).all()
    for left_out in chosen:
        fewer = [i for i in chosen if i != left_out]
        assert (clear[fewer].sum(axis=0) < wanted).any()


def test_the_cloudless_scene_alone_is_enough(
    scenes: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scenes.json"
    assert run(capsys, "select", *scenes, "--out", out)[0] == 0
    assert [Path(each["href"]) for each in json.loads(out.read_text("utf-8"))["scenes"]] == [scenes[1]]
    assert pipeline.expanded([str(out), str(scenes[0])]) == [str(scenes[1]), str(scenes[0])]


def test_a_hazy_scene_gives_way_to_an_older_one_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hazy, clean = (
        write_safe(
            SyntheticScene(options=GROUND, date=DateOptions(haze=haze), number=i),
            tmp_path,
            sensing_time=datetime(2021, 3, 25 - 5 * i, 0, 2, 41, tzinfo=UTC),
            bands="B02,B03,B04,B08",
        )
        for i, haze in enumerate((0.08, 0.0))
    )
    code, said, _ = run(capsys, "select", hazy, clean, "--out", tmp_path / "scenes.json", "--json")
    (chosen,) = json.loads(said)["scenes"]
    assert (code, Path(chosen["href"])) == (0, clean)


def test_a_mosaic_takes_the_list(
    scenes: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mosaic, "open_pool", lambda *_, **__: Pool(0))
    out = tmp_path / "list.json"
    assert run(capsys, "select", *scenes, "--out", out, "--quiet")[0] == 0
    code, said, _ = run(capsys, "mosaic", out, "--outdir", tmp_path / "out", "--json")
    summary: dict[str, Any] = json.loads(said)
    assert code == 0
    assert [scene["name"] for scene in summary["scenes"]] == [scenes[1].stem]


@pytest.mark.parametrize(
    ("options", "expected", "sentence"),
    [
        (("--cover", "0"), 2, "--cover is 0: it should be 1 or more."),
        (("--dates", "2020-01-01/2020-02-01"), 65, "no scene of 4 is left"),
        (("--dates", "soon"), 2, "days are written 2023-06-01/2023-08-31"),
        (("--max-cloud", "many"), 2, "--max-cloud is 'many'"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence_and_nothing_is_written(
    scenes: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    expected: int,
    sentence: str,
) -> None:
    out = tmp_path / "scenes.json"
    code, _, said = run(capsys, "select", *scenes, "--out", out, *options)
    assert (code, out.exists()) == (expected, False)
    assert sentence in said
    assert "Traceback" not in said


def test_scenes_that_show_nothing_are_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scenes: list[Path]
) -> None:
    area = "POLYGON((10 10, 11 10, 11 11, 10 10))"
    code, _, said = run(capsys, "select", *scenes, "--out", tmp_path / "a.json", "--aoi", area)
    assert code == 65
    assert "overlap" in said or "outside" in said


def test_at_full_resolution_the_list_shows_every_pixel_that_any_whole_cell_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [
        write_safe(
            SyntheticScene(options=GROUND, date=DateOptions(cloud_share=0.12), number=i),
            tmp_path,
            tile="56HKH",
            sensing_time=datetime(2021, 3, 25 - 5 * i, 0, 2, 41, tzinfo=UTC),
            bands="B02,B03,B04,B08",
        )
        for i in range(4)
    ]
    _, said, _ = run(capsys, "select", *paths, "--out", tmp_path / "afar.json", "--json")
    afar = json.loads(said)
    code, said, _ = run(capsys, "select", *paths, "--out", tmp_path / "near.json", "--full-resolution", "--json")
    near = json.loads(said)
    assert code == 0
    assert afar["covered_percent"] is None
    assert {scene["id"] for scene in near["scenes"]} <= set(near["looked"])
    clear = np.stack([pixels(path) for path in paths])
    chosen = [paths.index(Path(scene["href"])) for scene in near["scenes"]]
    assert near["covered_percent"] == pytest.approx(100 * clear[chosen].any(axis=0).mean())
    whole = clear.reshape(4, 30, 8, 30, 8).all(axis=(2, 4))
    read = [i for i, path in enumerate(paths) if path.stem in near["looked"]]
    np.testing.assert_array_equal(whole[chosen].any(axis=0), whole[read].any(axis=0))
    assert near["never_clear_percent"] == pytest.approx(100 * (1 - whole[read].any(axis=0).mean()))


def pixels(path: Path) -> np.ndarray:
    """(y, x) what a product shows clear at 20 m, clouds and shadows grown: by distances."""
    reader = open_scene(path)
    assert reader.scene.classification is not None
    classes = np.asarray(reader.read_classification(reader.scene.classification.geobox))
    clear = ~np.isin(classes, (0, 1, 3, 7, 8, 9, 10))
    for group, metres in (((8, 9, 10), 150), ((3,), 80)):
        if np.isin(classes, group).any():
            clear &= 20 * ndimage.distance_transform_edt(~np.isin(classes, group)) > metres
    return clear
