"""One offline HTML page of a change run: nothing is fetched, nothing in it can run but its own few lines."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from groundshift.model.legend import NO_CHANGE, change_legend
from groundshift.report import wording
from groundshift.report.content import ChangeReport, KindRow
from groundshift.report.pictures import for_page
from groundshift.report.trust import checks


@dataclass(frozen=True)
class Embedded:
    """A picture within a page."""

    src: str
    width: int
    height: int
    alt: str = ""


def render(report: ChangeReport) -> str:
    """Render a report as one HTML document.

    Law: every text of ``report`` is escaped; the page names no address that a browser would fetch; its
    content-security-policy allows its own style, its own script and embedded pictures, nothing else.
    """
    style = source("page.css") + _kind_style(report)
    script = source("page.js")
    found = checks(report)
    return (
        environment()
        .get_template("page.html")
        .render(
            report=report,
            title=report.title,
            kicker="Change report",
            style=Markup(style),
            script=Markup(script),
            policy=policy(style, script),
            checks=found,
            looks=[check for check in found if check.state == "look"],
            headline=headline(report),
            summary=_summary(report),
            pictures=_pictures(report),
            drawings=_drawings(report),
            options=_options(report.options),
            largest=max((row.pixels for row in report.kinds), default=0),
            days_apart=_days_apart(report),
            platforms=[_joined(row.platform, row.level, row.kind) for row in report.inputs],
            tiles=[_joined(row.tile, _orbit(row.relative_orbit)) for row in report.inputs],
        )
    )


@cache
def environment() -> Environment:
    """The templates of this package, with the words of :mod:`groundshift.report.wording` as filters."""
    found = Environment(
        loader=PackageLoader("groundshift.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("number", "fixed", "percent", "whole", "area", "size", "duration", "day", "moment"):
        found.filters[name] = getattr(wording, name)
    found.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    found.globals["missing"] = wording.MISSING
    return found


def source(name: str) -> str:
    """The text of a template file, as it is."""
    loader = environment().loader
    assert loader is not None
    return loader.get_source(environment(), name)[0]


def _kind_style(report: ChangeReport) -> str:
    colors = {row.code: row.color for row in report.kinds}
    rules = [f".kind-{code:d} {{ --kind: rgb({r:d} {g:d} {b:d}) }}" for code, (r, g, b) in colors.items()]
    r, g, b, _ = change_legend(0)[NO_CHANGE].color
    return "\n".join([*rules, f".no-change {{ --kind: rgb({r} {g} {b}) }}", ""])


def policy(style: str, script: str) -> str:
    """Content-security-policy: only these very bytes of style and script; ``style`` attributes; embedded pictures."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest(style)}'; style-src-attr 'unsafe-inline'; "
        f"script-src 'sha256-{digest(script)}'; base-uri 'none'; form-action 'none'"
    )


# ---- words ---------------------------------------------------------------------------------------------------------


def headline(report: ChangeReport) -> str:
    """The answer in one sentence."""
    compared = wording.area(report.compared_ha, report.compared_pixels)
    if report.compared_pixels == 0:
        return "Nothing could be compared: no pixel is usable at both dates."
    if report.changed_pixels == 0:
        return f"No change was found in the {compared} that could be compared."
    changed = wording.area(report.changed_ha, report.changed_pixels)
    return f"{changed} changed, {wording.percent(report.changed_percent)} of the {compared} that could be compared."


def _name(row: KindRow) -> str:
    return f"kind {row.code}, {row.hint}" if row.hint else f"kind {row.code}"


def _summary(report: ChangeReport) -> str:
    """What most of the change is; empty when there is nothing to tell apart."""
    rows = [row for row in report.kinds if row.pixels > 0]
    if len(rows) < 2 or report.changed_pixels == 0:
        return f"All of it is {_name(rows[0])}." if rows else ""
    most = max(rows, key=lambda row: row.pixels)
    share = 100 * most.pixels / report.changed_pixels
    return f"The largest part is {_name(most)}: {wording.area(most.hectares, most.pixels)}, {wording.percent(share)}."


def _days_apart(report: ChangeReport) -> int | None:
    before, after = report.image("before"), report.image("after")
    if before is None or after is None or before.sensing_time is None or after.sensing_time is None:
        return None
    if (before.sensing_time.tzinfo is None) != (after.sensing_time.tzinfo is None):
        return None
    return round((after.sensing_time - before.sensing_time).total_seconds() / 86400)


def _orbit(number: int | None) -> str | None:
    return None if number is None else f"R{number:03d}"


def _joined(*words: str | None) -> str:
    return ", ".join(word for word in words if word)


def _options(options: Mapping[str, object]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Options by section, values as words."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for name, value in options.items():
        section, _, rest = name.rpartition(".")
        sections.setdefault(section, []).append((rest, _word(value)))
    return list(sections.items())


def _word(value: object) -> str:
    if value is None:
        return wording.MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(_word(item) for item in value) or wording.MISSING
    return str(value)


# ---- pictures and drawings -----------------------------------------------------------------------------------------


def _pictures(report: ChangeReport) -> dict[str, Embedded | None]:
    alts = {role: _photo_alt(report, role) for role in ("before", "after")}
    alts["change"] = f"Map of change. {headline(report)} {_summary(report)}".strip()
    embedded: dict[str, Embedded | None] = dict.fromkeys(alts)
    for name, alt in alts.items():
        if encoded := report.pictures.get(name):
            embedded[name] = embed(encoded, alt)
    return embedded


def embed(encoded: bytes, alt: str = "", limit_bytes: int | None = None) -> Embedded:
    """A PNG as a part of the page, smaller where that does not show, or where a limit asks for it."""
    kind, small, (width, height) = for_page(encoded) if limit_bytes is None else for_page(encoded, limit_bytes)
    return Embedded(f"data:{kind};base64,{base64.b64encode(small).decode()}", width, height, alt)


def _photo_alt(report: ChangeReport, role: str) -> str:
    image = next((row for row in report.inputs if row.role == role), None)
    when = f" on {wording.day(image.sensing_time)}" if image and image.sensing_time else f" {role}"
    colors = f" in {report.composition}" if report.composition else ""
    return f"Satellite picture of the area{when}{colors}."


def _drawings(report: ChangeReport) -> dict[str, Markup]:
    from groundshift.report import figures  # here, since matplotlib takes memory, and most of a run needs none

    drawn = dict.fromkeys(("polar", "amplitude", "normalisation", "spectra"), Markup())
    thresholds = report.no_change.thresholds if report.no_change else ()
    if report.polar is not None and report.polar.amplitude.size:
        colors = {row.code: row.color for row in report.kinds}
        alt = "Polar diagram: angle of the change vector to the reference by amplitude, kinds in their colours."
        drawn["polar"] = _inline(figures.polar(report.polar, colors, thresholds), "polar", alt)
    if report.no_change is not None and report.no_change.counts.size:
        unchanged = report.compared_pixels - report.changed_pixels
        alt = "Histogram of the amplitude of all compared pixels with the law of no change and the threshold."
        drawn["amplitude"] = _inline(figures.amplitude_histogram(report.no_change, unchanged), "amplitude", alt)
    if report.normalisation:
        alt = "Scatter of unchanging pixels per band: the date that was adjusted against the other, with the fit."
        drawn["normalisation"] = _inline(figures.normalisation(report.normalisation), "normalisation", alt)
    if any(len(row.mean_change) == len(report.bands) > 0 for row in report.kinds):
        alt = "Mean reflectance per band before and after, one diagram for each kind of change."
        drawn["spectra"] = _inline(figures.kind_spectra(report.kinds, report.bands), "spectra", alt)
    return drawn


def _inline(svg: str, prefix: str, alt: str) -> Markup:
    """A drawing as part of the page: its ids made unique, named for those who do not see it."""
    used = set(re.findall(r'(?:xlink:href="|href="|url\()#([^")]+)', svg))
    svg = re.sub(r'\sid="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'((?:xlink:)?href="|url\()#([^")]+)', rf"\1#{prefix}-\2", svg)
    return Markup(svg.replace("<svg ", Markup('<svg role="img" aria-label="{}" ').format(alt), 1))
