"""Fixtures that all tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

# Several tests run at a time, each with processes of its own, on as many cores: threads of the linear algebra would
# mostly wait for each other (tall, narrow matrices cost 40 times the processor time). Read when numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Hundreds of fresh interpreters are started; each would compile every module again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import numpy as np

from groundshift.model.bands import BANDS

_DATA = Path(__file__).parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real images that lie beside the project; skips where it is absent."""
    if not _DATA.is_dir():
        pytest.skip("real data (../shared/data) is not on this machine")
    return _DATA


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything below tests/real carries the mark of its folder."""
    for item in items:
        if "real" in Path(str(item.fspath)).relative_to(Path(__file__).parent).parts:
            item.add_marker(pytest.mark.real)


class PlainImagery:
    """Smooth reflectance with a corner of no data and a saturated square, as the SAFE writer takes it."""

    shape = (1224, 1224)
    sun = (40.0, 30.0)

    def __init__(self, saturates: bool = False) -> None:
        self.saturates = saturates

    def reflectance(self, window: Any, bands: Any, resolution_m: int = 10) -> Any:
        """(band, y, x), a smooth function of the position in metres."""
        y = ((np.arange(window.y0, window.y1) + 0.5) * resolution_m)[:, None]
        x = ((np.arange(window.x0, window.x1) + 0.5) * resolution_m)[None]
        wave = 0.05 + 0.15 * (np.sin(y / 700) * np.cos(x / 500) + 1)
        image = np.stack([wave * (1 + 0.05 * BANDS[band].band_id) for band in bands]).astype(np.float32)
        image[:, y + x < 3000] = np.nan
        if self.saturates:
            image[:, (abs(y - 8000) < 100) & (abs(x - 8000) < 100)] = np.inf
        return image

    top_of_atmosphere = reflectance

    def scl(self, window: Any) -> Any:
        """(y, x) at 20 m: chequered vegetation and soil."""
        y, x = np.arange(window.y0, window.y1)[:, None], np.arange(window.x0, window.x1)[None]
        return np.where((y + x + 1) * 20 < 3000, 0, np.where((y // 50 + x // 50) % 2, 4, 5)).astype(np.uint8)


@pytest.fixture(scope="session")
def plain_imagery() -> type[PlainImagery]:
    """The imagery of the small products below, for comparing with what is read."""
    return PlainImagery


@pytest.fixture(scope="session")
def safe_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Level-2A product as a folder: B02 (four tiles), B05, B09, SCL; baseline 05.10. Damage only copies."""
    from groundshift.testing.safe import write_safe

    return write_safe(PlainImagery(), tmp_path_factory.mktemp("safe"), bands="B02,B05,B09")


@pytest.fixture
def safe_copy(safe_folder: Path, tmp_path: Path) -> Path:
    """A copy of the small product, to be damaged."""
    return Path(shutil.copytree(safe_folder, tmp_path / "copy" / safe_folder.name))


@pytest.fixture(scope="session")
def write_raster() -> Any:
    """A function (path, (band, y, x), **profile) that writes a small raster; pixels of 10 m in UTM 33N by default."""
    import warnings

    import rasterio
    from affine import Affine
    from rasterio.errors import NotGeoreferencedWarning

    def write(path: Path, dn: Any, *, descriptions: Any = None, tags: Any = None, **profile: Any) -> Path:
        dn = dn[None] if dn.ndim == 2 else dn
        place = {"crs": 32633, "transform": Affine(10, 0, 500000, 0, -10, 5100000)}
        shape = {"count": dn.shape[0], "height": dn.shape[1], "width": dn.shape[2], "dtype": dn.dtype}
        path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, "w", **({"driver": "GTiff"} | place | shape | profile)) as dataset:
                dataset.write(dn)
                for name, value in {"descriptions": descriptions, **(tags or {})}.items():
                    if value is not None:
                        setattr(dataset, name, value)
        return path

    return write


PAIR_SHAPE = (240, 300)


@pytest.fixture(scope="session")
def small_pair() -> Any:
    """A generated pair of 240 x 300 pixels: clouds, a swath edge, glint, and four kinds of change planted."""
    from groundshift.testing.scenes import DateOptions, PairOptions, SceneOptions, pair

    return pair(
        PairOptions(
            scene=SceneOptions(seed=5, shape=PAIR_SHAPE, noise=0.004),
            before=DateOptions(cloud_share=0.03, nodata_share=0.05),
            after=DateOptions(gain=1.05, offset=0.004, haze=0.001, cloud_share=0.03, saturated_spots=3),
            changed=0.04,
        )
    )


@pytest.fixture(scope="session")
def safe_pair(small_pair: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The generated pair as two SAFE folders, baseline 05.10: B02, B03, B04, B08, B11, SCL. Damage only copies."""
    return write_pair(small_pair, tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="session")
def write_safe_pair() -> Any:
    """A function (pair, folder, **options of write_safe) that writes the two products of a generated pair."""
    return write_pair


def write_pair(pair: Any, folder: Path, **options: Any) -> tuple[Path, Path]:
    """Two products ten days apart."""
    from groundshift.testing.safe import write_safe

    options = {"bands": "B02,B03,B04,B08,B11"} | options
    times = (datetime(2021, 3, day, 0, 2, 41, 24_000, tzinfo=UTC) for day in (15, 25))
    first, second = (
        write_safe(scene, folder, sensing_time=time, **options)
        for scene, time in zip((pair.before, pair.after), times, strict=True)
    )
    return first, second


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The change job in this process, its report and pictures left blank: for tests of everything else."""
    from groundshift.execution.pool import Pool
    from groundshift.pipelines import change, results

    monkeypatch.setattr(change, "open_pool", lambda *_, **__: Pool(0))
    monkeypatch.setattr(results.page, "render", lambda _facts: "<!DOCTYPE html>")
    monkeypatch.setattr(results.pictures, "png", lambda picture: str(picture.shape).encode())
    monkeypatch.setattr(results.pictures, "slide", lambda picture, *_, **__: picture)


@pytest.fixture(scope="module")
def parked_workers() -> Iterator[None]:
    """Idle workers of a pool that closes serve the next one: to start them takes longer than most tests' work."""
    from groundshift.execution.pool import Pool, _Worker

    close, hire = Pool.close, Pool._hire

    def park(pool: Pool) -> None:
        for worker in [worker for worker in pool._crew if worker.task is None and worker.process.poll() is None]:
            pool._crew.remove(worker)
            _PARKED.append((_place(pool), worker))
        while len(_PARKED) > 2:
            _end(_PARKED.pop(0)[1])
        close(pool)

    def take(pool: Pool) -> _Worker:
        for place, worker in _PARKED:
            if place == _place(pool) and worker.process.poll() is None:
                _PARKED.remove((place, worker))
                return worker
        return hire(pool)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Pool, "close", park)
        patched.setattr(Pool, "retire", lambda _pool: None)
        patched.setattr(Pool, "_hire", take)
        yield


_PARKED: list[Any] = []


def _place(pool: Any) -> tuple[Any, ...]:
    """What a worker has of where it was started."""
    from groundshift.execution.pool import environment

    variables = {name: value for name, value in environment().items() if not name.startswith("PYTEST_")}
    return os.getcwd(), pool._address_space, variables


def _end(worker: Any) -> None:
    worker.process.kill()
    worker.channel.close()
    worker.process.wait()


def pytest_sessionfinish() -> None:
    """End the workers that wait for a test."""
    while _PARKED:
        _end(_PARKED.pop()[1])
