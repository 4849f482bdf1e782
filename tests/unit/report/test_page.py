"""The page is one offline file that says what it was told, whatever is missing."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from groundshift.model.legend import change_legend
from groundshift.report.content import ChangeReport, GridFacts, NoChangeFacts, PolarSample
from groundshift.report.page import headline, render
from groundshift.report.pictures import png

EVIL = "<script>alert('x')</script>\"'><img src=https://example.com/x onerror=alert(1)>&$x^2$"
_VOID = {"meta", "img", "input", "br", "link", "hr", "rect", "path", "image", "use"}


class _Page(HTMLParser):
    """Tags with their attributes, text, and whether the tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.raw: dict[str, str] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            self.raw[self.open[-1]] = self.raw.get(self.open[-1], "") + data
        else:
            self.text.append(data)

    def words(self) -> str:
        return re.sub(r"[ \n\t]+", " ", " ".join(self.text))


@pytest.fixture(scope="module")
def page(full_report: ChangeReport) -> str:
    return render(full_report)


def _poisoned(value: Any) -> Any:
    """The same value with every free text in it replaced by markup."""
    if isinstance(value, str):
        return EVIL
    if is_dataclass(value) and not isinstance(value, type):
        kept = {"role", "adjusted", "band", "bands", "pictures"}
        return replace(
            value, **{f.name: _poisoned(getattr(value, f.name)) for f in fields(value) if f.name not in kept}
        )
    if isinstance(value, tuple):
        return tuple(_poisoned(item) for item in value)
    if isinstance(value, dict):
        return {f"{key}.{EVIL}": EVIL for key in value}
    return value


def _references(page: _Page) -> Iterator[str]:
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action", "srcset", "data", "poster", "background", "formaction"):
            if attributes.get(name):
                yield attributes[name] or ""


def test_the_page_is_well_nested_html_that_starts_with_its_doctype(page: str) -> None:
    assert page.startswith("<!doctype html>")
    assert _Page(page).open == []


def test_nothing_is_fetched_from_anywhere(page: str) -> None:
    references = list(_references(_Page(page)))
    assert len(references) > 5
    assert all(reference.startswith(("data:image/", "#")) for reference in references)
    assert not re.search(r"https?://|url\((?!#)|@import", page)


def test_the_policy_allows_exactly_the_style_and_the_script_of_the_page(page: str) -> None:
    parsed = _Page(page)
    policy = next(a["content"] for t, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy") or ""
    assert "default-src 'none'" in policy
    assert "http" not in policy
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(parsed.raw[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
        assert sum(tag == kind for tag, _ in parsed.tags) == 1


def test_markup_in_any_text_of_the_report_stays_text(full_report: ChangeReport) -> None:
    poisoned = render(_poisoned(full_report))
    parsed = _Page(poisoned)
    assert parsed.open == []
    assert sum(tag == "script" for tag, _ in parsed.tags) == 1
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
    assert all(reference.startswith(("data:image/", "#")) for reference in _references(parsed))
    assert "<script>alert" not in poisoned
    assert parsed.words().count("<script>alert('x')</script>") > 20


def test_every_picture_and_drawing_says_in_words_what_it_shows(page: str) -> None:
    parsed = _Page(page)
    assert [a["alt"] for t, a in parsed.tags if t == "img" and not a.get("alt")] == []
    drawings = [a for t, a in parsed.tags if t == "svg" and "aria-hidden" not in a]
    assert len(drawings) == 4
    assert all(a["role"] == "img" and a["aria-label"] for a in drawings)


def test_before_and_after_can_be_swiped_with_the_keyboard_and_stand_side_by_side_without_script(page: str) -> None:
    parsed = _Page(page)
    swipe = next(a for t, a in parsed.tags if t == "input" and a["type"] == "range")
    assert (swipe["min"], swipe["max"], swipe["value"]) == ("0", "100", "50")
    assert swipe["aria-label"]
    assert sum(t == "img" for t, _ in parsed.tags) == 3
    style = parsed.raw["style"]
    assert ".swipe { display: grid" in style
    assert all(line.startswith(".js") for line in style.splitlines() if "clip-path: inset(0 0" in line)


def test_ids_are_unique_and_every_reference_inside_the_page_has_its_target(page: str) -> None:
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    targets = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert targets <= set(ids)


def test_kinds_have_the_colours_of_the_map(page: str) -> None:
    for entry in change_legend(2)[1:3]:
        r, g, b, _ = entry.color
        assert f".kind-{entry.code} {{ --kind: rgb({r} {g} {b}) }}" in page


def test_the_facts_of_the_run_are_on_the_page(page: str) -> None:
    words = _Page(page).words()
    for fact in (
        "4\u00a0ha changed, 4\u00a0% of the 100\u00a0ha that could be compared.",
        "The largest part is kind 1, vegetation loss: 3\u00a0ha, 75\u00a0%.",
        "3 August 2023 to 13 August 2023 (10 days)",
        "the dates lie in different seasons.",
        "-1000, from MTD_MSIL2A.xml",
        "5 files, SHA3-256",
        "56HKH, R030",
        "99.99\u00a0%",
        "detect. confidence",
        "B02, B03, B04, B08",
        "12.3\u00a0kB",
        "800\u00a0MB",
        "−10.0",
    ):
        assert fact in words, fact


def test_the_same_report_makes_the_same_page(full_report: ChangeReport, page: str) -> None:
    assert render(full_report) == page


def test_pictures_of_pure_noise_still_make_a_page_below_four_megabytes(
    report_with: Callable[..., ChangeReport],
) -> None:
    rng = np.random.default_rng(0)
    noise = png(rng.integers(0, 255, (900, 1200, 3), dtype=np.uint8))
    n = 20_000
    polar = PolarSample(amplitude=rng.uniform(1, 90, n), angle_deg=rng.uniform(0, 180, n), kind=rng.integers(0, 3, n))
    page = render(report_with(pictures=dict.fromkeys(("before", "after", "change"), noise), polar=polar))
    assert len(page.encode()) < 4_000_000


EMPTY: dict[str, dict[str, Any]] = {
    "no change": {"changed_pixels": 0, "changed_ha": 0.0, "kinds": ()},
    "nothing compared": {
        "compared_pixels": 0, "compared_ha": 0.0, "changed_pixels": 0, "changed_ha": 0.0, "no_data_percent": 100.0,
        "kinds": (), "normalisation": (), "no_change": None, "polar": None, "shift_px": None,
    },
    "no georeference": {
        "compared_ha": None, "changed_ha": None,
        "grid": GridFacts(crs=None, rows=9, columns=9, pixel_size_m=None),
    },
    "no normalisation": {"normalisation": ()},
    "no statistics": {"no_change": None, "polar": None},
    "no pictures": {"pictures": {}},
    "one picture": {"pictures": {"after": png(np.zeros((4, 6, 3), np.uint8))}},
    "nothing optional": {
        "inputs": (), "kinds": (), "normalisation": (), "no_change": None, "polar": None, "shift_px": None,
        "pictures": {}, "warnings": (), "options": {}, "files": (), "timings": (), "peak_memory_bytes": None,
        "masked_percent": None, "composition": "",
    },
}  # fmt: skip


@pytest.mark.parametrize("case", EMPTY)
def test_what_is_not_there_leaves_a_whole_page(case: str, report_with: Callable[..., ChangeReport]) -> None:
    parsed = _Page(render(report_with(**EMPTY[case])))
    assert parsed.open == []
    assert not re.search(r"\b(None|nan|inf|undefined)\b", parsed.words())


def test_a_kind_without_pixels_and_without_means_is_listed(report_with: Callable[..., ChangeReport]) -> None:
    one = replace(
        report_with().kinds[0], pixels=0, hectares=0.0, mean_amplitude=None, mean_angle_deg=None, mean_change=()
    )
    words = _Page(render(report_with(kinds=(one,), changed_pixels=0, changed_ha=0.0))).words()
    assert "kind 1" in words
    assert "nan" not in words


def test_a_histogram_without_pixels_and_a_sample_of_one_are_drawn(report_with: Callable[..., ChangeReport]) -> None:
    bins = NoChangeFacts(edges=np.linspace(0, 5, 6), counts=np.zeros(5, int), law=np.full(5, 0.2))
    polar = PolarSample(amplitude=np.array([3.0]), angle_deg=np.array([90.0]), kind=np.array([1]))
    assert _Page(render(report_with(no_change=bins, polar=polar))).open == []


def test_forty_kinds_and_twelve_bands_are_drawn(report_with: Callable[..., ChangeReport]) -> None:
    report = report_with()
    bands = tuple(f"B{i:02d}" for i in range(1, 13))
    legend = change_legend(40)
    kinds = tuple(
        replace(report.kinds[0], code=k, color=legend[k].color[:3], mean_change=(0.1,) * 12, mean_before=())
        for k in range(1, 41)
    )
    fits = tuple(replace(report.normalisation[0], band=band, adjusted="after") for band in bands)
    page = render(report_with(bands=bands, kinds=kinds, normalisation=fits))
    assert "Δ B12" in page
    assert len(page) < 4_000_000


def test_areas_are_pixels_where_there_is_no_georeference(report_with: Callable[..., ChangeReport]) -> None:
    assert headline(report_with(**EMPTY["no georeference"])).startswith(
        "400\u00a0px changed, 4\u00a0% of the 10\u202f000\u00a0px"
    )


def test_nothing_to_compare_is_said_first(report_with: Callable[..., ChangeReport]) -> None:
    assert "Nothing could be compared" in headline(report_with(**EMPTY["nothing compared"]))
    assert "No change was found" in headline(report_with(**EMPTY["no change"]))
