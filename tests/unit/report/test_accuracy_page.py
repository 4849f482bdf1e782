"""The page of an assessment is one offline file that says what it was told, whatever is missing."""

from __future__ import annotations

import copy
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from groundshift.report.accuracy_page import render

EVIL = "<script>alert('x')</script>\"'><img src=https://example.com/x onerror=alert(1)>&"
WHEN = datetime(2026, 1, 2, tzinfo=UTC)
FIGURE = {"estimate": 0.9, "half_width": 0.05, "low": 0.82, "high": 0.94}
UNKNOWN = dict.fromkeys(FIGURE)


def summary() -> dict[str, Any]:
    one = {"users_accuracy": FIGURE, "producers_accuracy": FIGURE, "f1": FIGURE, "mapped_area": 1200.0}
    area = {"estimate": 1000.0, "half_width": 90.0, "low": 900.0, "high": 1130.0}
    return {
        "map": "/data/landcover.tif",
        "reference": "points.csv",
        "unit": "ha",
        "overall_accuracy": FIGURE,
        "kappa": FIGURE,
        "classes": [{"code": 1, "name": "water", **one, "area": area}, {"code": 2, "name": None, **one, "area": area}],
        "design": {"kind": "design-based", "estimator": "stratified", "sentence": "Design-based: what it says."},
        "confusion": [[45, 5], [3, 1247]],
        "confusion_unit": "points",
        "points": {"given": 1301, "used": 1300, "outside_map": 1, "without_label": 0},
        "warnings": [],
    }


class Page(HTMLParser):
    """Tags that must nest, and every attribute."""

    void = frozenset({"meta", "img", "br", "link", "line", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.tags: set[str] = set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.open.pop() == tag


def words(page: str) -> str:
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    return re.sub(r"[\s\u202f\u00a0]+", " ", text)


def test_the_page_says_what_was_found() -> None:
    page = render(summary(), WHEN)
    Page(page)
    said = words(page)
    for text in (
        "Accuracy of landcover.tif",
        "Overall accuracy 90.0 %, with 95 % confidence 82.0 to 94.0 %.",
        "Design-based: what it says.",
        "1 water",
        "1 247",
        "900 to 1 130",
        "lie outside the map",
    ):
        assert text.lower() in said.lower(), text
    assert "have no label" not in said


def test_agreement_is_not_called_accuracy() -> None:
    found = summary()
    found["design"] = {"kind": "agreement", "estimator": "agreement", "sentence": "Agreement, not accuracy: ..."}
    for each in found["classes"]:
        each["area"] = None
    said = words(render(found, WHEN))
    assert "Agreement of landcover.tif" in said
    assert "Overall accuracy" not in said


def test_a_census_has_no_intervals() -> None:
    found = summary()
    exact = {"estimate": 0.9, "half_width": 0.0, "low": 0.9, "high": 0.9}
    found["design"]["kind"] = "census"
    found |= {"overall_accuracy": exact, "kappa": exact, "confusion": [[0.25, 1.5], [3.0, 1e6]], "confusion_unit": "ha"}
    del found["points"]
    said = words(render(found, WHEN))
    assert "Area in ha" in said
    assert "with 95 % confidence" not in said


def test_what_is_not_defined_leaves_a_gap_and_no_page_breaks() -> None:
    found = summary()
    found["classes"][0] |= {"users_accuracy": UNKNOWN, "f1": UNKNOWN, "area": UNKNOWN}
    found |= {"kappa": UNKNOWN, "overall_accuracy": {**FIGURE, "half_width": None}, "confusion": [[0, 0], [0, 3]]}
    page = render(found, WHEN)
    Page(page)
    assert "nan" not in page.lower().replace("nan\u00ad", "")
    assert "None" not in words(page)


@pytest.mark.parametrize("place", ["map", "reference", "name", "message", "sentence"])
def test_no_text_becomes_a_tag_or_an_address(place: str) -> None:
    found = copy.deepcopy(summary())
    if place == "name":
        found["classes"][0]["name"] = EVIL
    elif place == "message":
        found["warnings"] = [{"name": "Sample", "message": EVIL}]
    elif place == "sentence":
        found["design"]["sentence"] = EVIL
    else:
        found[place] = EVIL
    page = Page(render(found, WHEN))
    assert not {"script", "img", "link", "iframe"} & page.tags
    assert not [value for name, value in page.attributes if name in ("src", "href") and not str(value).startswith("#")]


def test_the_same_summary_makes_the_same_page() -> None:
    assert render(summary(), WHEN) == render(summary(), WHEN)
