"""One scene of a series to planes: its clouds first, and the rest only if it is clear enough."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from groundshift.execution.journal import Journal
from groundshift.io.planes import Planes
from groundshift.model.grid import Window, blocks
from groundshift.model.scene import Checked, Reader
from groundshift.pipelines import ingest, mosaic_layers
from groundshift.pipelines.ingest import MASKED, Stack
from groundshift.radiometry import audit
from groundshift.radiometry.audit import Dark
from groundshift.radiometry.reflectance import USABLE

if TYPE_CHECKING:
    from groundshift.pipelines.series import Run
    from groundshift.pipelines.series_plan import FieldOfView

_ROWS, _COLUMNS = 512, 2048
_SAMPLE_PX = 250_000
_VERIFIED = "verified "


@dataclass(frozen=True, eq=False)
class Seen:
    """One scene on the grid of its field of view; it can be sent to a process."""

    stack: Stack
    usable: Planes
    """(1, y, x) uint8: 1 where every band and the mask are good."""
    usable_px: int
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What is known of a scene once its clouds are, for the journal and the manifest."""

    usable: bool
    reason: str = ""
    """Why it is skipped."""
    cloud_percent: float = 0.0
    """Of the area of interest, where the scene holds data."""
    data_percent: float = 0.0
    """Of the area, where it holds data."""
    checked: tuple[Checked, ...] = ()
    lost: bool = False
    """It could not be read."""
    again: bool = False
    """The next run tries it again though its files are the same."""


def judge(state: Run, field: FieldOfView, reader: Reader, folder: Path) -> tuple[Judged, Seen | None]:
    """Read the mask of a scene, and all of it if it is clear enough; what an interrupted run did is not done again."""
    journal = Journal(folder)
    bands = state.job.grid.bands
    fresh = not any(line.startswith(_VERIFIED) for line in journal.done)
    classes = reader.files(("SCL",)) if reader.scene.classification is not None else ()
    checked = _verify(state, reader, classes, journal)
    stack = ingest.prepare(reader, bands, field.geobox, folder, "scene", fresh=fresh)
    if fresh and not classes:
        journal.add(_VERIFIED)
    found = mosaic_layers.mask_of(
        replace(state, work=folder), reader, field.geobox, bands, state.job.clouds, journal, folder / "clouds"
    )
    mask = mosaic_layers.masked_classes(state.job.clouds)
    todo = list(ingest.units(reader, bands, field.geobox, stack, mask, field.area, found=found))
    state.read([unit for unit in todo if unit.band is None], journal)
    shutil.rmtree(folder / "clouds", ignore_errors=True)
    cloud, data = _shares(stack.mask, state.area_px(field))
    verdict = Judged(usable=True, cloud_percent=cloud, data_percent=data, checked=tuple(checked))
    if data == 0:
        return replace(verdict, usable=False, reason="no data in the area"), None
    if cloud > state.job.input.max_cloud:
        reason = f"{cloud:.4g} % cloud, more than {state.job.input.max_cloud:g} %"
        return replace(verdict, usable=False, reason=reason), None
    rest = [file for file in reader.files(bands) if file not in classes]
    checked += _verify(state, reader, rest, journal)
    state.read([unit for unit in todo if unit.band is not None], journal)
    return replace(verdict, checked=tuple(checked)), _settled(state, reader, stack, folder)


def _verify(state: Run, reader: Reader, files: Sequence[str], journal: Journal) -> list[Checked]:
    """Verify files, each once, also over interruptions."""
    known = {}
    for line in journal.done:
        if line.startswith(_VERIFIED) and len(line) > len(_VERIFIED):
            file, one = json.loads(line.removeprefix(_VERIFIED))
            known[file] = Checked(**one)
    todo = [file for file in files if file not in known]
    if todo:
        with state.stage("verify", len(todo)) as advance:
            found = state.pool.run(
                ingest.verify_file,
                [(reader, file) for file in todo],
                lambda _: advance(1),
                lambda work: f"verifying {work[1]} of {work[0].scene.name}",
            )
        for file, one in zip(todo, found, strict=True):
            known[file] = one
            journal.add(_VERIFIED + json.dumps([file, asdict(one)]))
    return [known[file] for file in files]


def _shares(mask: Planes, area_px: int) -> tuple[float, float]:
    """Percent: cloud of what holds data, data of the area."""
    masked = clear = 0
    for window in blocks((mask.shape[1], mask.shape[2]), _ROWS):
        codes = mask.read(window, 0)
        masked += int((codes == MASKED).sum())
        clear += int((codes == USABLE).sum())
    held = masked + clear
    return 100 * masked / max(1, held), 100 * held / area_px


# ---- once it is read -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Look:
    """A part of a scene that was read."""

    stack: Stack
    window: Window
    usable: Planes
    every: int
    """Of the usable pixels, one in so many is passed on."""

    def __str__(self) -> str:
        return f"looking over rows {self.window.y0} to {self.window.y1}"


def look(work: _Look) -> tuple[int, NDArray[np.float32]]:
    """Note which pixels are usable; return how many, and reflectance (p, k) of some. A task for a worker."""
    reflectance, usable, _ = work.stack.read(work.window)
    work.usable.write(work.window, usable.astype(np.uint8), 0)
    where = np.flatnonzero(usable)[:: work.every]
    return int(usable.sum()), reflectance.reshape(len(reflectance), -1)[:, where]


def _settled(state: Run, reader: Reader, stack: Stack, folder: Path) -> Seen:
    """Which pixels are usable, and the offsets that the pixels agree with."""
    rows, columns = stack.mask.shape[1:]
    usable = Planes.create(folder / "usable.bin", (1, rows, columns), "uint8")
    every = max(1, rows * columns // _SAMPLE_PX)
    work = [_Look(stack, window, usable, every) for window in blocks((rows, columns), _ROWS, _COLUMNS)]
    found = state.pool.run(look, work, describe=str)
    sample = np.concatenate([part for _, part in found], axis=1)
    infos = [reader.scene.bands[band] for band in state.job.grid.bands]
    verdict = audit.audit(dict(zip(state.job.grid.bands, _dark(stack, sample), strict=True)), reader.scene.level)
    offsets, warning = audit.reconcile(verdict, infos, state.job.input.trust, reader.scene.name)
    state.warn(warning)
    stack = ingest.audited(stack, [offsets[info.name] for info in infos])
    return Seen(stack, usable, sum(count for count, _ in found), folder)


def _dark(stack: Stack, sample: NDArray[np.float32]) -> list[Dark]:
    """How dark each band gets, as stored: without the offset of the metadata, which the reflectance holds."""
    told = [np.float32(offset * scale) for offset, scale in zip(stack.offset, stack.scale, strict=True)]
    every = np.ones(sample.shape[1], bool)
    return [audit.dark_quantiles(band - step, every, 1.0) for band, step in zip(sample, told, strict=True)]


def joint_px(first: Seen, second: Seen) -> int:
    """Pixels that are usable at both dates."""
    _, rows, columns = first.usable.shape
    windows = blocks((rows, columns), max(1, 2**24 // columns))
    return sum(
        int(np.count_nonzero(np.multiply(first.usable.read(part, 0), second.usable.read(part, 0)))) for part in windows
    )


def from_json(record: dict[str, Any]) -> Judged:
    """A verdict as the journal holds it."""
    return Judged(**{**record, "checked": tuple(Checked(**one) for one in record["checked"])})
