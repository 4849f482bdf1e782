"""Faults of land cover: files that are no models, maps that are killed, and terminals of little use."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import rasterio
from onnx import TensorProto, helper, numpy_helper

import groundshift as gs
from groundshift.cli.main import _groundshift, guarded
from groundshift.errors import GroundshiftError, InputError, MissingInputError, ProductError, UsageError
from groundshift.io import models
from groundshift.landcover import chain
from groundshift.landcover.chain import Chain
from groundshift.landcover.classifiers import TempCnn, check_trainable
from groundshift.landcover.trained import Trained
from groundshift.pipelines import landcover_predict, landcover_start, steps

pytestmark = pytest.mark.usefixtures("parked_workers")

SIDE = 96


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack of three features, a map of three classes in fields of twelve pixels, and a model of them."""
    folder = tmp_path_factory.mktemp("faults")
    random = np.random.default_rng(4)
    classes = np.kron(random.permutation(np.arange(64) % 3 + 1).reshape(8, 8), np.ones((12, 12))).astype(np.uint8)
    values = np.stack([classes * float(scale) + random.normal(0, 0.3, classes.shape) for scale in (1, -1, 0.5)])
    values[1, :5] = np.inf
    values[2, 5:9] = np.nan
    write(folder / "stack.tif", values.astype(np.float32), ("NDVI", "NDWI", "norm"))
    write(folder / "truth.tif", classes[None], ("class",))
    gs.train_landcover(None, folder / "truth.tif", folder / "model", **options(folder), model="knn")
    return folder


def write(path: Path, values: Any, names: tuple[str, ...]) -> None:
    layout = {"driver": "GTiff", "height": SIDE, "width": SIDE, "crs": "EPSG:32633"}
    transform = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
    with rasterio.open(path, "w", **layout, count=len(values), dtype=values.dtype, transform=transform) as file:
        file.write(values)
        file.descriptions = names


def options(folder: Path) -> dict[str, Any]:
    return {"stack": str(folder / "stack.tif"), "per_class": 60, "workers": 1, "block_m": 120.0}


def predict(folder: Path, out: str, model: str = "model", **more: Any) -> Any:
    return gs.predict_landcover(folder / model, None, folder / out, stack=str(folder / "stack.tif"), workers=1, **more)


def rasters(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tif"))}


# ---- M1 to M4: what is no model ------------------------------------------------------------------------------------


def forged(place: Path, folder: Path, content: bytes) -> Path:
    """The model with other weights, which its description states as its own."""
    card, _ = models.load(place / "model")
    return models.save(folder / "forged", card, content)


class Bomb:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (Path("exploded"),)  # type: ignore[return-value]


def test_a_pickle_is_no_model_whatever_it_is_called(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("model.pkl", "model.joblib", "model.pt"):
        Path(name).write_bytes(pickle.dumps(Bomb()))
        command = ["landcover", "predict", name, "--stack", str(place / "stack.tif"), "--out", "map"]
        assert guarded(_groundshift, command, "groundshift") == 65
        assert "never loaded" in capsys.readouterr().err
    card, content = models.load(forged(place, tmp_path, pickle.dumps(Bomb())))
    with pytest.raises(ProductError, match="no ONNX"):
        Trained(card, content)
    assert not Path("exploded").exists()
    assert not Path("map").exists()


def network(features: Any = 3, classes: Any = 3, node: Any = None, initializers: Any = ()) -> bytes:
    node = node or helper.make_node("Softmax", ["features"], ["probabilities"], axis=1)
    domains = {"", node.domain}
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", features])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", classes])],
        list(initializers),
    )
    opsets = [helper.make_opsetid(domain, 17) for domain in domains]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return content


def outside() -> bytes:
    tensor = numpy_helper.from_array(np.ones((3, 3), np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.bin")
    return network(node=helper.make_node("MatMul", ["features", "w"], ["probabilities"]), initializers=[tensor])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (outside(), "another file"),
        (network(node=helper.make_node("Evil", ["features"], ["probabilities"], domain="evil")), "operators of evil"),
        (network(features=4, classes=4), "for 4 features and 4 classes"),
        (network(features="any"), "both with a number"),
        (network(node=helper.make_node("Sqrt", ["features"], ["probabilities"])), "no number"),
        (onnx.ModelProto().SerializeToString(), "not a network"),
    ],
)
def test_a_network_that_is_not_one_file_of_known_parts_and_shape_is_refused(
    content: bytes, words: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret.bin").write_bytes(np.ones(9, np.float32).tobytes())
    card, stored = models.load(forged(place, tmp_path, content))
    with pytest.raises(ProductError, match=words):
        Trained(card, stored).predict_proba(-np.ones((2, 3), np.float32))


def test_a_model_of_a_stranger_runs_no_program_that_only_it_names(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("evil.py", "from pathlib import Path\nPath('exploded').touch()\n"), ("other.py", "")):
        Path(name).write_text(text)
    card, weights = models.load(place / "model")
    for name, told in (("foreign", {"file": "evil.py", "sha256": steps.digest("evil.py")}), ("old", "evil.py")):
        models.save(name, replace(card, chain={**card.chain, "modules": [told]}), weights)
    job = {"stack": str(place / "stack.tif"), "workers": 1}
    with pytest.raises(UsageError, match=r"steps of evil\.py.*name it with --steps"):
        gs.predict_landcover("foreign", None, "map", **job)
    with pytest.raises(InputError, match=r"other\.py: is not the file evil\.py"):
        gs.predict_landcover("foreign", None, "map", **job, modules=["other.py"])
    with pytest.raises(ProductError, match="does not tell the files of its steps"):
        gs.predict_landcover("old", None, "map", **job, modules=["evil.py"])
    assert not Path("exploded").exists()
    assert not Path("map").exists()
    gs.predict_landcover("foreign", None, "map", **job, modules=["evil.py"])
    assert Path("exploded").exists()


def test_weights_of_two_gigabytes_are_refused_before_they_are_read(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "model", tmp_path / "model")
    with (tmp_path / "model" / "model.onnx").open("r+b") as file:
        file.truncate((1 << 31) + 1)
    with pytest.raises(ProductError, match="larger than 2 GB"):
        models.load(tmp_path / "model")


def test_a_model_of_other_bands_is_refused_by_their_names_and_one_that_was_changed_by_its_hash(
    place: Path, tmp_path: Path
) -> None:
    card, weights = models.load(place / "model")
    models.save(tmp_path / "other", replace(card, features=("NDVI", "NDWI", "NBR")), weights)
    with pytest.raises(InputError, match="has no NBR"):
        gs.predict_landcover(tmp_path / "other", None, tmp_path / "map", stack=str(place / "stack.tif"))
    for model, unit in (("scaled", "DN"), ("same", "reflectance")):
        models.save(tmp_path / model, replace(card, units=("reflectance", "", "reflectance")), weights)
        shutil.copy(place / "stack.tif", tmp_path / f"{model}.tif")
        with rasterio.open(tmp_path / f"{model}.tif", "r+") as file:
            file.units = (unit, "", "reflectance")
    with pytest.raises(InputError, match="NDVI in DN, not reflectance"):
        gs.predict_landcover(tmp_path / "scaled", None, tmp_path / "map", stack=str(tmp_path / "scaled.tif"), workers=1)
    for stack, said in ((place / "stack.tif", ["does not tell the units"]), (tmp_path / "same.tif", [])):
        job = {"stack": str(stack), "workers": 1, "force": True}
        found = gs.predict_landcover(tmp_path / "same", None, tmp_path / "right", **job).warnings
        assert len(found) == len(said)
        assert all(words in str(warning) for words, warning in zip(said, found, strict=True))
    with pytest.raises(InputError, match="trained on a stack"):
        gs.predict_landcover(place / "model", tmp_path, tmp_path / "map")
    shutil.copytree(place / "model", tmp_path / "changed")
    (tmp_path / "changed" / "model.onnx").write_bytes(weights + b"\0")
    with pytest.raises(ProductError, match="the weights were changed or damaged"):
        gs.predict_landcover(tmp_path / "changed", None, tmp_path / "map", stack=str(place / "stack.tif"))


def test_what_is_missing_is_told_and_never_fetched(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refused)
    shutil.copytree(place / "model", tmp_path / "model")
    (tmp_path / "model" / "model.onnx").unlink()
    with pytest.raises(MissingInputError, match="needs its weights") as caught:
        models.load(tmp_path / "model")
    assert caught.value.exit_code == 66
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs torch"):
        check_trainable("tempcnn")


# ---- W5 to W7: what a killed map leaves ----------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
import groundshift as gs
from groundshift.execution.journal import Journal
from groundshift.pipelines import landcover_predict

landcover_predict._SIDES = (32,)
real = Journal.add
def add(self, key):
    real(self, key)
    if len(self.done) == 4:
        os.kill(os.getpid(), signal.SIGTERM)
Journal.add = add
folder = Path(sys.argv[1])
gs.predict_landcover(folder / "model", None, folder / "killed", stack=str(folder / "stack.tif"), workers=1)
"""


@pytest.fixture(scope="module")
def killed(place: Path) -> Path:
    """A folder in which a map was ended by SIGTERM after four blocks of nine."""
    run = subprocess.run([sys.executable, "-c", KILLED, str(place)], capture_output=True, text=True, check=False)
    assert run.returncode in (-signal.SIGTERM, 143), run.stderr
    assert not list((place / "killed").glob("*.tif"))
    predict(place, "straight")
    return place / "killed"


@pytest.mark.parametrize(
    ("fault", "again"),
    [
        ("none", 5),
        ("torn", 6),
        ("other confidence", 9),
        ("other prior", 9),
        ("other smoothing", 5),
        ("copied stack", 5),
        ("other stack", 9),
    ],
)
def test_a_killed_map_goes_on_with_what_is_still_true(
    fault: str, again: int, killed: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(killed, tmp_path / "map")
    monkeypatch.setattr(landcover_predict, "_SIDES", (32,))
    done: list[str] = []
    real = landcover_predict.predict_block

    def counted(work: Any) -> str:
        done.append(work.key)
        return real(work)

    monkeypatch.setattr(landcover_predict, "predict_block", counted)
    from groundshift.execution.pool import Pool

    monkeypatch.setattr(landcover_start, "open_pool", lambda *_, **__: Pool(0))
    more: dict[str, Any] = {}
    stack = place / "stack.tif"
    if fault == "torn":
        journal = next((tmp_path / "map").glob(".groundshift-work/*/journal.txt"))
        journal.write_text(journal.read_text()[:-3])
    if fault == "other confidence":
        more = {"confidence": 80}
    if fault == "other prior":
        more = {"prior": "class 1=1,class 2=1,class 3=2"}
    if fault == "other smoothing":
        more = {"method": "none"}
    if fault.endswith("stack"):
        stack = tmp_path / "stack.tif"
        shutil.copy(place / "stack.tif", stack)
    if fault == "other stack":
        # The same pixels: whether they are the same is not known before they are read.
        with rasterio.open(stack, "r+") as file:
            file.update_tags(note="another file")
    job = {"stack": str(stack), "workers": 1, **more}
    gs.predict_landcover(place / "model", None, tmp_path / "map", **job)
    assert len(done) == again
    assert not (tmp_path / "map" / ".groundshift-work").exists()
    if more:
        gs.predict_landcover(place / "model", None, tmp_path / "straight", **job)
    assert rasters(tmp_path / "map") == rasters(tmp_path / "straight" if more else place / "straight")


def test_a_map_of_another_model_in_the_same_folder_is_of_that_model(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "model", tmp_path / "model")
    job = {"stack": str(place / "stack.tif"), "workers": 1, "force": True}
    first = gs.predict_landcover(tmp_path / "model", None, tmp_path / "map", **job).summary["classes"]
    card, weights = models.load(tmp_path / "model")
    models.save(tmp_path / "model", replace(card, names=("a", "b", "c"), temperature=3.0), weights, force=True)
    second = gs.predict_landcover(tmp_path / "model", None, tmp_path / "map", **job).summary["classes"]
    assert [each["name"] for each in first] == ["class 1", "class 2", "class 3"]
    assert [each["name"] for each in second] == ["a", "b", "c"]


# ---- U: what a user asks for ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"prior": "class 1=nan,class 2=1,class 3=1"}, "expected a share of 0 or more"),
        ({"prior": "class 1=1,class 1=1,class 2=1,class 3=1"}, "expected a share of 0 or more"),
        ({"prior": "class 1=a,class 2=1,class 3=1"}, "is written name=share"),
        ({"confidence": 99}, "the model knows from 80 to 95"),
        ({"polygons": "map.doc"}, "expected a name that ends in"),
    ],
)
def test_what_a_map_cannot_be_is_told_before_anything_is_made(
    more: dict[str, Any], words: str, place: Path, tmp_path: Path
) -> None:
    with pytest.raises(GroundshiftError, match=words):
        gs.predict_landcover(place / "model", None, tmp_path / "map", stack=str(place / "stack.tif"), **more)
    assert not (tmp_path / "map").exists()


def test_shares_of_classes_whose_names_hold_commas(place: Path) -> None:
    card, _ = models.load(place / "model")
    named = replace(card, names=("shrub, grass", "a=b", "water"))
    shares = landcover_predict._shares("shrub, grass=1, a=b=2,water = 1", named)
    assert shares == (0.25, 0.5, 0.25)


def test_results_of_somebody_else_stay(place: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.tif").write_bytes(b"mine")
    with pytest.raises(gs.OutputError, match="not by a finished run"):
        gs.predict_landcover(place / "model", None, tmp_path, stack=str(place / "stack.tif"))
    assert (tmp_path / "classes.tif").read_bytes() == b"mine"
    (tmp_path / "notes").mkdir()
    with pytest.raises(gs.OutputError, match="is no model"):
        gs.train_landcover(None, place / "truth.tif", tmp_path / "notes", force=True, **options(place))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"block_m": 5000.0}, "all samples lie in one polygon or block"),
        ({"model": "rf", "options": {"trees": -1}}, "rf cannot be trained with its options"),
        ({"model": "mlp", "options": {"layers": 3}}, "mlp has no option layers"),
    ],
)
def test_a_training_that_cannot_end_leaves_nothing(
    more: dict[str, Any], words: str, place: Path, tmp_path: Path
) -> None:
    with pytest.raises(GroundshiftError, match=words):
        gs.train_landcover(None, place / "truth.tif", tmp_path / "model", **{**options(place), **more})
    assert not list(tmp_path.iterdir())


def test_classes_of_one_place_each_cannot_be_judged_elsewhere(place: Path, tmp_path: Path) -> None:
    halves = np.where(np.arange(SIDE) < SIDE // 2, 1, 2).astype(np.uint8)
    labels = np.broadcast_to(halves, (1, SIDE, SIDE)).copy()
    labels[:, SIDE // 2 :] = 0
    write(tmp_path / "halves.tif", labels, ("class",))
    with pytest.raises(InputError, match="whatever is left to learn from is of one class"):
        gs.train_landcover(
            None, tmp_path / "halves.tif", tmp_path / "model", **{**options(place), "block_m": 10.0 * SIDE / 2}
        )


def test_a_step_that_fails_is_told_by_its_name_and_line() -> None:
    import xarray as xr

    @gs.step
    def broken(series: Any) -> Any:
        return series["B99"]

    try:
        with pytest.raises(InputError, match=r"step broken failed: KeyError.*\.py, line \d+"):
            Chain.of(["broken"])(xr.Dataset())
        assert Chain.of(["broken"]).local, "no other process knows a step of this session"
        assert not Chain.of(["merge_days"]).local
    finally:
        del chain.STEPS["broken"]


def test_a_file_of_steps_that_was_changed_is_run_again(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    for gain in (2, 3):
        file.write_text(f"import groundshift as gs\n@gs.step\ndef own_gain(series):\n    return series * {gain}\n")
        steps.load([str(file)])
        assert chain.STEPS.pop("own_gain").function(1) == gain


def test_features_of_one_calendar_are_put_in_order_for_a_network_over_time() -> None:
    names = ("NDVI_d016", "longest_gap", "NDVI_d000", "B04_d000", "B04_d016")
    assert chain.calendar_of(names) == (("NDVI_d000", "NDVI_d016", "B04_d000", "B04_d016"), 2)
    assert chain.calendar_of(("NDVI_d000", "B04_d016")) == ((), 0)
    assert TempCnn().set_params(steps=2).steps == 2


@pytest.mark.parametrize("command", ["train", "predict", "compare"])
def test_help_fits_a_narrow_terminal_without_escapes(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert guarded(_groundshift, ["landcover", command, "--help"], "groundshift") == 0
    out = capsys.readouterr().out
    text, _, examples = out.partition("Examples:\n")
    assert examples
    assert "\x1b" not in out
    assert max(len(line) for line in text.splitlines() if not line.strip().startswith("-")) <= 40


def test_what_is_printed_into_a_pipe_of_an_old_code_page_is_readable(place: Path, tmp_path: Path) -> None:
    card, weights = models.load(place / "model")
    models.save(tmp_path / "model", replace(card, names=("Wälder", "草", "water")), weights)
    command = ["landcover", "predict", str(tmp_path / "model"), "--stack", str(place / "stack.tif"), "--workers", "1"]
    run = subprocess.run(
        [sys.executable, "-m", "groundshift", *command, "--out", str(tmp_path / "map")],
        env={**os.environ, "COLUMNS": "40", "NO_COLOR": "1", "PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert b"\x1b" not in run.stdout + run.stderr
    assert "Wälder".encode("cp1252") in run.stdout
    assert b"\\u8349" in run.stdout
    assert json.loads((tmp_path / "map" / "manifest.json").read_text("utf-8"))["model"]["classes"][1] == "草"
