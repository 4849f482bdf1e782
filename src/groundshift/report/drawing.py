"""How diagrams look: SVG that takes the colours and the letters of the page around it.

Lines and text are drawn in ``currentColor``, so one drawing serves light, dark and print; text stays text. Clouds of
points are one small picture inside the drawing. No global state of pyplot is touched.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

INK = "#010203"
"""Stands for the colour of the page's text; replaced by ``currentColor`` in the finished drawing."""
ACCENT = "#d9822b"
"""Thresholds and fitted lines: readable on white and on near-black."""
QUIET = "#8a929b"
SETTINGS = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "svg.hashsalt": "groundshift",
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.7,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "grid.color": QUIET,
    "grid.alpha": 0.28,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "axes.unicode_minus": True,
}
_DPI = 150
_ROOT = 'font-family="system-ui, sans-serif" stroke-linejoin="round"'
"""Letters as the system has them where no page says otherwise."""


def rgb(color: Sequence[int]) -> tuple[float, float, float]:
    """A colour of 0..255 as matplotlib takes it."""
    return color[0] / 255, color[1] / 255, color[2] / 255


def svg(figure: Figure) -> str:
    """The drawing as an ``<svg>`` element without prolog, metadata, style sheet or fixed size."""
    target = io.StringIO()
    figure.savefig(target, format="svg", dpi=_DPI, metadata={"Date": None, "Creator": None})
    text = target.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', rf'<svg viewBox="\1" {_ROOT}>', text, count=1)
    text = re.sub(r"\s*font-family: [^;\"]*;", "", text)
    text = re.sub(r"font: ((?:bold|[\d]+) )?([\d.]+)px [^;\"]*", r"font-weight: \1; font-size: \2px", text)
    text = text.replace("font-weight: ; ", "")
    return re.sub(r"\n\s*", "\n", text.replace(INK, "currentColor")).strip()


def plain(value: float, _: object = None) -> str:
    """A number with a proper minus sign."""
    return f"{value:g}".replace("-", "−")


def dot(color: object, label: str) -> Any:
    """Entry of a legend."""
    return Line2D([], [], marker="o", ls="", ms=5, color=color, label=label)


def line(color: object, label: str, style: str = "-") -> Any:
    """Entry of a legend."""
    return Line2D([], [], color=color, lw=1.4, ls=style, label=label)


def block(color: object, label: str) -> Any:
    """Entry of a legend."""
    return Patch(color=color, alpha=0.42, lw=0, label=label)


def short(value: float, _: object = None) -> str:
    """1, 1 k, 10 k, 1 M; powers below one as they are."""
    for limit, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= limit:
            return f"{value / limit:g}{letter}"
    return f"{value:g}"
