"""QGIS styles and class names."""

from __future__ import annotations

from pathlib import Path

import pytest
from defusedxml import ElementTree

from groundshift.io.styles import add_classes, classes_qml, ramp_qml, write_qml
from groundshift.model.legend import LegendEntry

LEGEND = (LegendEntry(0, 'none & "more" <b>', (1, 2, 3, 255)), LegendEntry(255, "no data", (0, 0, 0, 0)))


def test_a_class_style_names_every_code_with_its_colour_and_opacity() -> None:
    tree = ElementTree.fromstring(classes_qml(LEGEND))
    entries = [entry.attrib for entry in tree.iter("paletteEntry")]
    assert entries == [
        {"value": "0", "label": 'none & "more" <b>', "color": "#010203", "alpha": "255"},
        {"value": "255", "label": "no data", "color": "#000000", "alpha": "0"},
    ]
    assert tree.find("pipe/rasterrenderer").get("type") == "paletted"


def test_a_ramp_runs_from_the_minimum_to_the_maximum() -> None:
    tree = ElementTree.fromstring(ramp_qml(0, 12.5, band=2, unit="sigma"))
    values = [float(item.get("value")) for item in tree.iter("item")]
    assert (values[0], values[-1]) == (0, 12.5)
    assert values == sorted(values)
    renderer = tree.find("pipe/rasterrenderer")
    assert (renderer.get("type"), renderer.get("band")) == ("singlebandpseudocolor", "2")


@pytest.mark.parametrize("limits", [(1, 1), (2, 1), (0, float("nan")), (0, float("inf"))])
def test_a_ramp_without_a_range_is_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="no range"):
        ramp_qml(*limits)


def test_the_style_has_the_name_that_qgis_looks_for(tmp_path: Path) -> None:
    assert write_qml(tmp_path / "S2-CD.tif", classes_qml(LEGEND)) == tmp_path / "S2-CD.qml"


@pytest.mark.parametrize(
    "before",
    [None, '<PAMDataset>\n  <PAMRasterBand band="1">\n    <UnitType>m</UnitType>\n  </PAMRasterBand>\n</PAMDataset>'],
)
def test_class_names_join_what_the_side_file_says_already(tmp_path: Path, before: str | None) -> None:
    side = tmp_path / "a.tif.aux.xml"
    if before:
        side.write_text(before)
    add_classes(side, LEGEND)
    band = ElementTree.parse(side).getroot().find("PAMRasterBand")
    names = [name.text for name in band.find("CategoryNames")]
    assert len(names) == 256
    assert (names[0], names[255]) == ('none & "more" <b>', "no data")
    assert [row.find("F").text for row in band.find("GDALRasterAttributeTable").iter("Row")] == ["0", "255"]
    assert (band.find("UnitType") is not None) == (before is not None)
