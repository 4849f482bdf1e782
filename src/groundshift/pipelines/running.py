"""What all runs have in common: warnings that are collected, timed stages, verified files, units that are read once."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from odc.geo.geobox import GeoBox

from groundshift.errors import GroundshiftWarning, OutputError, StrictError
from groundshift.execution import memory
from groundshift.execution.crew import Crew
from groundshift.execution.journal import Journal
from groundshift.execution.progress import Advance, Progress
from groundshift.io import vector
from groundshift.io.atomic import free_bytes
from groundshift.model.grid import blocks
from groundshift.model.scene import Checked, OpenOptions, Reader
from groundshift.pipelines import ingest
from groundshift.pipelines.features_job import FeaturesJob
from groundshift.pipelines.ingest import Unit
from groundshift.pipelines.job import ChangeJob, InputSection
from groundshift.pipelines.mosaic_job import MosaicJob, ScenesSection
from groundshift.pipelines.outdir import WORK
from groundshift.pipelines.series_job import SeriesJob

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

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


def area_px(area: BaseGeometry | None, geobox: GeoBox) -> int:
    """Pixels of the area of interest, at least 1; without one, of the grid."""
    shape = int(geobox.shape[0]), int(geobox.shape[1])
    if area is None:
        return math.prod(shape)
    return max(1, sum(int(vector.rasterise_mask(area, geobox, window).sum()) for window in blocks(shape, 512)))
