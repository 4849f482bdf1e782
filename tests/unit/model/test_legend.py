"""Legends of land cover, their colours, and the crosswalks between them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from groundshift.errors import InputError, UsageError
from groundshift.landcover import crosswalk as kernel
from groundshift.model.crosswalk import _COVERS, crosswalk
from groundshift.model.legend import LEGENDS, NO_DATA, Legend, classes_of, legend_of


def luminous(legend: Legend) -> list[tuple[float, float, float]]:
    """L*a*b* of the classes, by skimage."""
    color = pytest.importorskip("skimage.color")
    return color.rgb2lab(np.array([[entry.color[:3] for entry in classes_of(legend)]], np.uint8))[0].tolist()


@pytest.mark.parametrize("name", LEGENDS)
def test_a_legend_has_one_code_one_name_and_one_colour_a_class(name: str) -> None:
    legend = LEGENDS[name]
    classes = classes_of(legend)
    assert len({entry.code for entry in classes}) == len({entry.name for entry in classes}) == len(classes)
    assert legend[-1].code == NO_DATA
    assert legend[-1].color[3] == 0
    assert min(math.dist(a, b) for a, b in itertools.combinations(luminous(legend), 2)) > 15


def test_codes_are_those_of_the_published_maps() -> None:
    assert [entry.code for entry in classes_of(LEGENDS["esri"])] == [1, 2, 4, 5, 7, 8, 9, 10, 11]
    assert [entry.code for entry in classes_of(LEGENDS["worldcover"])] == [10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100]
    assert [len(classes_of(LEGENDS[name])) for name in ("buildings", "land-use")] == [6, 6]


def test_a_legend_of_names_knows_colours_and_finds_others_far_away() -> None:
    names = ["vineyard", "water", *(f"crop {k}" for k in range(25)), "forest"]
    legend = legend_of(names)
    assert [entry.name for entry in legend] == [*names, "no data"]
    assert [entry.code for entry in classes_of(legend)] == list(range(1, 29))
    assert legend[1].color == next(entry.color for entry in LEGENDS["esri"] if entry.name == "water")
    assert min(math.dist(a, b) for a, b in itertools.combinations(luminous(legend), 2)) > 15
    assert [entry.code for entry in classes_of(legend_of(["a", "b"], [7, 3]))] == [7, 3]


def test_names_that_say_what_they_are_have_its_usual_colour() -> None:
    names = ["dryout", "Forest_2", "village", "open water", "old forest", "Notre-Dame"]
    colors = {entry.name: entry.color[:3] for entry in legend_of(names)}
    red, green, blue = colors["village"]
    assert red > 2 * max(green, blue), "built-up is red"
    red, green, blue = colors["open water"]
    assert blue > 2 * red, "water is blue"
    red, green, blue = colors["dryout"]
    assert red > green > blue, "what is dry is brown"
    for name in ("Forest_2", "old forest"):
        red, green, blue = colors[name]
        assert green > max(red, blue), "woods are green"
    assert min(math.dist(a, b) for a, b in itertools.combinations(luminous(legend_of(names)), 2)) > 15


@pytest.mark.parametrize(
    ("names", "codes"), [([], None), (["a", "a"], None), (["a", "b"], [1, 1]), (["a"], [255]), (["a"] * 2, [1])]
)
def test_a_legend_that_cannot_be_is_refused(names: list[str], codes: list[int] | None) -> None:
    with pytest.raises(UsageError):
        legend_of(names, codes)


def test_covers_name_every_class_once() -> None:
    for name, legend in LEGENDS.items():
        assert list(_COVERS[name]) == [entry.name for entry in classes_of(legend)]
        covers = " ".join(_COVERS[name].values()).split()
        assert len(set(covers)) == len(covers)


def test_a_crosswalk_that_merges_says_what_is_lost() -> None:
    made = crosswalk("worldcover", "esri")
    assert {
        10: 2,
        20: 11,
        30: 11,
        40: 5,
        50: 7,
        60: 8,
        70: 9,
        80: 1,
        90: 4,
        95: 4,
        100: 11,
    }.items() <= made.codes.items()
    assert made.lost == (
        "shrubland, grassland, moss and lichen are one class: rangeland.",
        "herbaceous wetland, mangroves are one class: flooded vegetation.",
    )


def test_one_class_that_could_be_several_is_refused_until_it_is_chosen() -> None:
    with pytest.raises(UsageError, match="rangeland: meadow or other"):
        crosswalk("esri", "land-use")
    made = crosswalk("esri", "land-use", {"rangeland": "meadow", "flooded vegetation": "other"})
    assert (made.codes[11], made.codes[4], made.codes[10]) == (4, 6, NO_DATA)
    assert "rangeland may be meadow or other: by choice it is meadow." in made.lost
    assert "clouds: no data." in made.lost
    snow = crosswalk("esri", "buildings", {"flooded vegetation": "grass", "built area": "residential building"})
    assert snow.codes[9] == 0
    assert "snow or ice: no such class, it is 0." in snow.lost


@pytest.mark.parametrize(
    ("source", "target", "choices"),
    [("esri", "corine", None), ("clc", "esri", None), ("esri", "land-use", {"rangelands": "meadow"})],
)
def test_unknown_names_are_refused(source: str, target: str, choices: dict[str, str] | None) -> None:
    with pytest.raises(UsageError, match="expected"):
        crosswalk(source, target, choices)


def test_a_map_is_brought_to_another_legend() -> None:
    codes = np.array([[10, 20, 95], [0, 255, 80]], np.uint8)
    assert kernel.crosswalk(codes, "worldcover", "esri").tolist() == [[2, 11, 4], [0, 255, 1]]
    with pytest.raises(InputError, match="holds 11, which"):
        kernel.crosswalk(np.array([[10, 11]], np.uint8), "worldcover", "esri")
