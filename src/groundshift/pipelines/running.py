"""What all runs have in common: warnings that are collected, timed stages, verified files, units that are read once."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from odc.geo.geobox import GeoBox

from groundshift import __version__
from groundshift.errors import GroundshiftWarning, OutputError, StrictError
from groundshift.execution import memory
from groundshift.execution.crew import Crew
from groundshift.execution.journal import Journal
from groundshift.execution.progress import Advance, Progress
from groundshift.io import vector
from groundshift.io.atomic import free_bytes
from groundshift.io.digests import Digests
from groundshift.io.memory import MemoryReader
from groundshift.model.grid import blocks
from groundshift.model.scene import Checked, OpenOptions, Reader, Scene
from groundshift.pipelines import ingest
from groundshift.pipelines.features_job import FeaturesJob
from groundshift.pipelines.ingest import Unit
from groundshift.pipelines.job import ChangeJob, InputSection, Section
from groundshift.pipelines.mosaic_job import MosaicJob, ScenesSection
from groundshift.pipelines.outdir import WORK
from groundshift.pipelines.series_job import SeriesJob

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

_SCENES = ("scenes", "stack", "before", "after", "mask_before", "mask_after")
"""Options that name what is read: its readers tell what it holds."""
_FILES = ("aoi", "dem", "roads", "fitted", "weights", "network_weights")
"""Options that name a file, or a folder, whose contents the pixels depend on."""

J = TypeVar("J", ChangeJob, MosaicJob, FeaturesJob, SeriesJob)


@dataclass(kw_only=True, eq=False)
class Running(Generic[J]):
    """The state of a run that every command has."""

    job: J
    pool: Crew
    progress: Progress
    outdir: Path
    work: Path
    warnings: list[GroundshiftWarning] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)

    def warn(self, *found: GroundshiftWarning | None) -> None:
        """Take up warnings; under ``--strict`` the first one ends the run."""
        for warning in found:
            if warning is None or str(warning) in map(str, self.warnings):
                continue
            self.warnings.append(warning)
            if self.job.run.strict:
                raise StrictError(f"{warning.name}: {warning} (an error because of --strict)")

    @contextmanager
    def stage(self, name: str, total: float) -> Iterator[Advance]:
        """A timed stage."""
        begin = time.monotonic()
        with self.progress.stage(name, total) as advance:
            yield advance
        memory.release()
        self.timings[name] = self.timings.get(name, 0.0) + time.monotonic() - begin

    def check_space(self, needed: int) -> None:
        """A run that cannot end is better not begun.

        Raises:
            OutputError: the disk has fewer free bytes than are needed.
        """
        free = free_bytes(self.outdir)
        if free < needed:
            raise OutputError(
                f"the disk of {self.outdir} has {free / 1e9:.1f} GB free and this run needs about {needed / 1e9:.1f} "
                "GB while it works: free some space, choose another --outdir, or a smaller --aoi."
            )

    def verify(self, readers: Sequence[Reader], bands: Sequence[str]) -> list[list[Checked]]:
        """Verify the files of these bands, reader by reader."""
        files = [(i, reader, file) for i, reader in enumerate(readers) for file in reader.files(names(reader, bands))]
        with self.stage("verify", len(files)) as advance:
            found = self.pool.run(
                ingest.verify_file,
                [(reader, file) for _, reader, file in files],
                lambda _: advance(1),
                lambda work: f"verifying {work[1]} of {work[0].scene.name}",
            )
        checked: list[list[Checked]] = [[] for _ in readers]
        for (i, _, _), one in zip(files, found, strict=True):
            checked[i].append(one)
        return checked

    def read(self, units: Iterable[Unit], journal: Journal) -> None:
        """Read what the journal does not say is read."""
        todo = [unit for unit in units if unit.key not in journal.done]
        with self.stage("read", len(todo)) as advance:

            def finished(key: str) -> None:
                journal.add(key)
                advance(1)

            self.pool.run(ingest.run_unit, todo, finished, str)

    def worker_bytes(self) -> int:
        """Memory that each worker may use for pixels; may be negative where the cap leaves none."""
        return self.pool.worker_bytes(self.job.run.memory)


def names(reader: Reader, bands: Sequence[str]) -> tuple[str, ...]:
    """What is read of a scene: its bands, and its classes where it has them."""
    return (*bands, "SCL") if reader.scene.classification is not None else tuple(bands)


def open_options(how: InputSection | ScenesSection, outdir: Path, mask: str | None = None) -> OpenOptions:
    """How the scenes of a job are opened."""
    return OpenOptions(
        band_order=how.band_order,
        scale=how.scale,
        offset=how.offset,
        mask=mask,
        trust=how.trust,
        verify=how.verify,
        scratch=str(outdir / WORK / "unpacked"),
    )


def identity(options: Sequence[object], readers: Sequence[Reader] = (), digests: Digests | None = None) -> str:
    """What the planes of a run depend on: options, what the files of the scenes hold, and the program itself.

    Where the files lie, and how they are called, is not part of it.

    Args:
        options: as plain values, files by what they hold: see :func:`plain`.
        readers: of all scenes, in order.
        digests: that are known already.
    """
    digests = digests or Digests()
    stamp = [*options, *([_facts(reader.scene), _contents(reader, digests)] for reader in readers)]
    return hashlib.sha256(json.dumps([__version__, stamp], sort_keys=True, default=str).encode()).hexdigest()[:16]


def plain(section: Section, digests: Digests) -> dict[str, object]:
    """Options as plain values, files by what they hold; without the scenes, of which their readers tell."""
    values = section.model_dump(mode="json", exclude=set(_SCENES))
    return {name: digests.told(value) if name in _FILES and value else value for name, value in values.items()}


def _facts(scene: Scene) -> list[object]:
    """What the metadata of a scene say, but for its name and where it lies."""
    infos = [*scene.bands.values(), *([scene.classification] if scene.classification is not None else [])]
    said = replace(scene, name="", href="", offset_rule="", bands={}, classification=None, warnings=())
    return [asdict(said), *(asdict(replace(info, href="")) for info in infos)]


def _contents(reader: Reader, digests: Digests) -> list[str]:
    """What the files of a scene hold: of all its bands, since a mask may read others than a job names."""
    if isinstance(reader, MemoryReader):
        return [reader.digest()]
    bands, classes = reader.scene.bands, reader.scene.classification
    named = [reader.scene.href, *(info.href for info in (*bands.values(), *([classes] if classes is not None else [])))]
    named += reader.files(names(reader, tuple(bands)))
    # Of a zip, archive.zip!file, the archive; names of files within a product are those of the bands once more.
    paths = (Path(part) for text in named for part in (text, text.rpartition("!")[0]) if part)
    return [digests.of(path) for path in dict.fromkeys(path.resolve() for path in paths if path.is_file())]


def area_px(area: BaseGeometry | None, geobox: GeoBox) -> int:
    """Pixels of the area of interest, at least 1; without one, of the grid."""
    shape = int(geobox.shape[0]), int(geobox.shape[1])
    if area is None:
        return math.prod(shape)
    return max(1, sum(int(vector.rasterise_mask(area, geobox, window).sum()) for window in blocks(shape, 512)))
