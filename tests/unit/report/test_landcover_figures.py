"""Figures of a land-cover map: what they must show, whatever the numbers are."""

from __future__ import annotations

import numpy as np
import pytest

from groundshift.errors import InputError
from groundshift.model.legend import LEGENDS, classes_of
from groundshift.report import landcover_figures, pictures

LEGEND = LEGENDS["worldcover"]
NAMES = [entry.name for entry in classes_of(LEGEND)]


def test_a_map_shows_its_colours_and_only_its_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.full((300, 800), 10, np.uint8)
    codes[:, 400:] = 80
    codes[:30] = 255
    told: list[object] = []
    drawn = pictures.slide
    monkeypatch.setattr(pictures, "slide", lambda *args: told.extend(args[1:]) or drawn(*args))
    picture = landcover_figures.classified_map(codes, LEGEND, "Land cover", "2020", 10)
    assert told[0] == [
        ((0, 100, 0), "tree cover, 50.0 %"),
        ((0, 100, 200), "permanent water, 50.0 %"),
        ((190, 190, 190), "no class"),
    ]
    share = {color: (picture == color).all(axis=-1).mean() for color in ((0, 100, 0), (0, 100, 200), (255, 187, 34))}
    assert share[0, 100, 0] > 0.3
    assert share[0, 100, 200] > 0.3
    assert share[255, 187, 34] == 0


def test_a_confusion_matrix_writes_every_count_and_name() -> None:
    counts = np.diag([12345.0, 678, 3])
    counts[0, 2] = 91
    text = landcover_figures.confusion_matrix(counts, NAMES[:3])
    for word in ("12.3 k", "678", ">3<", ">91<", *NAMES[:3], "reference", "map"):
        assert word in text
    assert ">0<" not in text
    with pytest.raises(InputError, match="3 classes"):
        landcover_figures.confusion_matrix(np.eye(2), NAMES[:3])


def test_a_calibration_curve_leaves_out_empty_bins() -> None:
    confidence, accuracy = np.array([np.nan, 0.5, 0.9]), np.array([np.nan, 0.4, 0.95])
    text = landcover_figures.reliability(confidence, accuracy, np.array([0, 100, 900]), 0.0512)
    assert "expected calibration error 0.051" in text
    assert "nan" not in text.lower()


def test_importance_is_sorted_and_cut() -> None:
    text = landcover_figures.importance([f"feature {k}" for k in range(50)], np.arange(50.0), np.ones(50))
    assert text.index("feature 49<") < text.index("feature 48<")
    assert "feature 20<" in text
    assert "feature 19<" not in text


def test_series_have_a_diagram_a_band_and_a_colour_a_class() -> None:
    dates = np.arange("2019-01-01", "2020-01-01", 16, dtype="datetime64[D]")
    values = {name: np.random.default_rng(0).random((len(dates), 4)) for name in NAMES[:2]}
    values[NAMES[0]][3] = np.nan
    text = landcover_figures.series(dates, values, ["B02", "B03", "B04", "NDVI"], LEGEND, {NAMES[1]: values[NAMES[1]]})
    for word in ("B02", "NDVI", NAMES[0], NAMES[1], "#006400", "#ffbb22"):
        assert word in text


def test_figures_are_drawn_alike_twice() -> None:
    counts = np.array([[5.0, 1], [2, 9]])
    assert landcover_figures.confusion_matrix(counts, ["a", "b"]) == landcover_figures.confusion_matrix(
        counts, ["a", "b"]
    )
