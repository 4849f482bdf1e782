"""Model folders: what is saved is what is loaded, whole or not at all, and nothing else is read."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundshift.errors import InputError, MissingInputError, OutputError, ProductError
from groundshift.io import models
from groundshift.landcover.classifiers import classifier
from groundshift.landcover.trained import Trained
from groundshift.model.classifier import ModelCard

CARD = ModelCard(
    kind="lightgbm",
    features=("B04:01", "B08:01", "glcm:B8:entropy"),
    codes=(1, 7),
    names=("crop", "prés"),
    trained_shares=(0.5, 0.5),
    shares=(0.25, 0.75),
    temperature=1.25,
    bands=("B04", "B08"),
    chain={"calendar": {"step_days": 16}, "links": ["fill", "stack"]},
    report={"overall_accuracy": 0.8125},
)
WEIGHTS = b"tree\n"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return models.save(tmp_path / "model", CARD, WEIGHTS)


def test_what_is_saved_is_what_is_loaded(saved: Path) -> None:
    card, weights = models.load(saved)
    assert weights == WEIGHTS
    assert replace(card, chain={}) == replace(CARD, chain={})
    assert card.chain["links"] == ["fill", "stack"]
    assert sorted(file.name for file in saved.iterdir()) == ["model.json", "model.txt"]
    assert [file.name for file in saved.parent.iterdir()] == ["model"]


def test_a_model_that_was_stored_predicts_to_the_last_bit_what_it_did_before(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 3)).astype(np.float32)
    classes = np.where(values[:, 0] > 0.5, 1, 7)
    for kind, options in (("lightgbm", {"iterations": 5}), ("rf", {"trees": 5}), ("knn", {}), ("mlp", {"epochs": 5})):
        fitted = classifier(kind, **options).fit(values, classes, np.arange(400) // 40)
        models.save(tmp_path / kind, fitted.card(CARD.features, CARD.names), fitted.weights_)
        found = Trained(*models.load(tmp_path / kind)).predict_proba(values, CARD.features)
        np.testing.assert_array_equal(found, fitted.predict_proba(values))


def test_an_existing_folder_is_replaced_only_if_it_is_a_model_and_that_was_asked_for(saved: Path) -> None:
    with pytest.raises(OutputError, match="exists already; use --force"):
        models.save(saved, CARD, b"new")
    assert models.load(saved)[1] == WEIGHTS
    models.save(saved, replace(CARD, kind="mlp"), b"new", force=True)
    assert sorted(file.name for file in saved.iterdir()) == ["model.json", "model.onnx"]
    other = saved.parent / "photos"
    other.mkdir()
    with pytest.raises(OutputError, match="it is no model"):
        models.save(other, CARD, b"new", force=True)
    with pytest.raises(OutputError, match="folder does not exist"):
        models.save(saved.parent / "none" / "model", CARD, WEIGHTS)


def test_nothing_stays_of_a_model_that_could_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="no space left"):
        models.save(tmp_path / "model", CARD, WEIGHTS)
    assert list(tmp_path.iterdir()) == []


def test_changed_weights_are_refused(saved: Path) -> None:
    (saved / "model.txt").write_bytes(b"tree.")
    with pytest.raises(ProductError, match=r"SHA-256 .* model\.json states .* changed or damaged"):
        models.load(saved)
    (saved / "model.txt").unlink()
    with pytest.raises(MissingInputError, match=r"model\.txt: no such file"):
        models.load(saved)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "zip"}, "not the description of a land cover model"),
        ({"format_version": 2}, "format version 2, this groundshift reads up to 1"),
        ({"card": {}}, "not a complete description"),
        ({"card": {"kind": "pickle"}}, "not a complete description"),
        ({"weights": None}, "not a complete description"),
        ({"card": {"features": ["B08:01", "B04:01", "glcm:B8:entropy"]}}, "another schema hash"),
        ({"card": {"units": ["reflectance", "DN", ""]}}, "another schema hash"),
        ({"card": {"report": {"limits": {"90": [0.9, 0.9]}}}}, "another schema hash"),
        ({"schema": None}, "another schema hash"),
    ],
)
def test_other_descriptions_are_refused(saved: Path, change: dict[str, Any], said: str) -> None:
    path = saved / "model.json"
    facts = json.loads(path.read_text("utf-8"))
    if change.get("card") and "kind" not in change["card"]:
        change = {"card": facts["card"] | change["card"]}
    path.write_text(json.dumps(facts | change), "utf-8")
    with pytest.raises(ProductError, match=said):
        models.load(saved)


def test_a_kind_that_there_is_not_is_refused(saved: Path) -> None:
    path = saved / "model.json"
    path.write_text(path.read_text("utf-8").replace('"lightgbm",', '"../../etc",'), "utf-8")
    with pytest.raises(ProductError, match="no kind of model"):
        models.load(saved)
    with pytest.raises(InputError, match="no kind of model 'svm'"):
        models.save(saved, replace(CARD, kind="svm"), WEIGHTS, force=True)


def test_what_is_no_description_is_refused(saved: Path) -> None:
    for text in ("", "[]", "{" * 100_000, "\x00"):
        (saved / "model.json").write_text(text, "utf-8")
        with pytest.raises(ProductError, match=r"model\.json: not "):
            models.load(saved)
    with pytest.raises(MissingInputError, match="expected the folder of a trained model"):
        models.load(saved.parent)
    with pytest.raises(InputError, match="cannot be stored as JSON"):
        models.save(saved, replace(CARD, report={"accuracy": float("nan")}), WEIGHTS, force=True)
