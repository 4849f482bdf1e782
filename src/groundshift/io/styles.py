"""How a map is drawn: QGIS styles (QML) beside rasters, and class names and colours in GDAL's side file."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from groundshift.io.atomic import write_text
from groundshift.model.legend import LegendEntry

Color = tuple[int, int, int]

AMPLITUDE_RAMP: tuple[Color, ...] = ((13, 8, 60), (90, 20, 120), (190, 55, 80), (245, 125, 20), (250, 230, 120))
"""From no change (dark) to much change (bright)."""

_QML = """<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.16" styleCategories="Symbology" hasScaleBasedVisibilityFlag="0">
  <pipe>
    <rasterrenderer {attributes} opacity="1" alphaBand="-1" nodataColor="">
{body}
    </rasterrenderer>
    <brightnesscontrast brightness="0" contrast="0" gamma="1"/>
    <huesaturation colorizeOn="0" grayscaleMode="0" saturation="0"/>
    <rasterresampler maxOversampling="2"/>
  </pipe>
  <blendMode>0</blendMode>
</qgis>
"""


def classes_qml(legend: Sequence[LegendEntry]) -> str:
    """QGIS style of a class raster: one named colour a code."""
    entries = "\n".join(
        f'        <paletteEntry value="{entry.code}" label={quoteattr(entry.name)} '
        f'color="{_hex(entry.color)}" alpha="{entry.color[3]}"/>'
        for entry in legend
    )
    body = f"      <colorPalette>\n{entries}\n      </colorPalette>"
    return _QML.format(attributes='type="paletted" band="1"', body=body)


def ramp_qml(
    minimum: float, maximum: float, *, band: int = 1, unit: str = "", colors: Sequence[Color] = AMPLITUDE_RAMP
) -> str:
    """QGIS style of a quantity: colours from ``minimum`` to ``maximum``, linear between.

    Raises:
        ValueError: the range is empty or not finite.
    """
    if not (math.isfinite(minimum) and math.isfinite(maximum) and minimum < maximum):
        raise ValueError(f"no range of colours from {minimum} to {maximum}")
    steps = [minimum + (maximum - minimum) * i / (len(colors) - 1) for i in range(len(colors))]
    items = "\n".join(
        f'          <item value="{value:.9g}" label={quoteattr(f"{value:.4g} {unit}".strip())} '
        f'color="{_hex(color)}" alpha="255"/>'
        for value, color in zip(steps, colors, strict=True)
    )
    limits = f'classificationMin="{minimum:.9g}" classificationMax="{maximum:.9g}"'
    shader = '        <colorrampshader colorRampType="INTERPOLATED" classificationMode="1" clip="0"'
    body = (
        f'      <rastershader>\n{shader} minimumValue="{minimum:.9g}" maximumValue="{maximum:.9g}">\n'
        f"{items}\n        </colorrampshader>\n      </rastershader>"
    )
    return _QML.format(attributes=f'type="singlebandpseudocolor" band="{band}" {limits}', body=body)


def write_qml(raster: str | os.PathLike[str], qml: str, *, force: bool = True) -> Path:
    """Write a style beside a raster, under the name that QGIS looks for; return its path."""
    path = Path(raster).with_suffix(".qml")
    write_text(path, qml, force=force)
    return path


def add_classes(side_file: Path, legend: Sequence[LegendEntry]) -> None:
    """Put class names and an attribute table into GDAL's side file (``.aux.xml``), which is made when missing."""
    text = side_file.read_text("utf-8") if side_file.exists() else "<PAMDataset>\n</PAMDataset>\n"
    classes = _category_names(legend) + _attribute_table(legend)
    head = re.search(r'<PAMRasterBand band="1">\n?', text)
    if head:
        text = text[: head.end()] + classes + text[head.end() :]
    else:
        band = f'  <PAMRasterBand band="1">\n{classes}  </PAMRasterBand>\n'
        text = text.replace("</PAMDataset>", band + "</PAMDataset>")
    side_file.write_text(text, encoding="utf-8")


def _category_names(legend: Sequence[LegendEntry]) -> str:
    names = {entry.code: entry.name for entry in legend}
    lines = (f"      <Category>{escape(names.get(code, ''))}</Category>" for code in range(max(names) + 1))
    return "    <CategoryNames>\n" + "\n".join(lines) + "\n    </CategoryNames>\n"


_COLUMNS = (("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8), ("Alpha", 0, 9))
"""Name, type (0 integer, 2 text) and usage of each column, as GDAL numbers them."""


def _attribute_table(legend: Sequence[LegendEntry]) -> str:
    columns = "".join(
        f'      <FieldDefn index="{i}"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage></FieldDefn>\n'
        for i, (name, kind, usage) in enumerate(_COLUMNS)
    )
    rows = "".join(
        f'      <Row index="{i}">'
        + "".join(f"<F>{escape(str(value))}</F>" for value in (entry.code, entry.name, *entry.color))
        + "</Row>\n"
        for i, entry in enumerate(legend)
    )
    head = '    <GDALRasterAttributeTable tableType="thematic">\n'
    return f"{head}{columns}{rows}    </GDALRasterAttributeTable>\n"


def _hex(color: Sequence[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color[:3])
