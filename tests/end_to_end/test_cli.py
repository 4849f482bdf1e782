"""The commands as a user types them, on the demo products.

Most run in this process: to start and to import what is needed takes longer than the work. What depends on the shell
or on a fresh process is said to bash.
"""

from __future__ import annotations

import contextlib
import glob
import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from groundshift.cli.main import _groundshift, guarded
from groundshift.cli.s2cd import _s2cd
from groundshift.pipelines import jobfile

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("parked_workers")]

BIN = Path(sys.executable).parent
COMMANDS = (
    "change",
    "run",
    "evaluate",
    "demo",
    "doctor",
    "mosaic",
    "select",
    "clouds",
    "screen",
    "features",
    "landcover train",
    "landcover predict",
    "landcover compare",
    "polygons",
    "plot bands",
    "plot map",
    "design",
    "assess",
)
"""In the order of a chain: some examples take what those of commands before them left."""
PRODUCT = re.compile(r"S2[ABCD]_MSIL2A_\d{8}T\d{6}_N\d{4}_R\d{3}_T56HKH_\d{8}T\d{6}(\.SAFE)?\.zip")
NEPEAN = "POLYGON((150.64 -33.49, 150.67 -33.49, 150.67 -33.515, 150.64 -33.515, 150.64 -33.49))"
SMALL = (360, 360)


def say(folder: Path, line: str, timeout: float = 280) -> subprocess.CompletedProcess[str]:
    """Say a line to bash, as a user does."""
    path = f'PATH={shlex.quote(str(BIN))}:"$PATH"'
    return subprocess.run(
        ["bash", "-c", f"export {path}; {line}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


def told(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """What a line does and says, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        name, *words = shlex.split(line)
        argv = [each for word in words for each in sorted(glob.glob(word)) or [word]]
        code = guarded({"groundshift": _groundshift, "S2-CD": _s2cd}[name], argv, name)
    return subprocess.CompletedProcess(line, code, out.getvalue(), err.getvalue())


def done(folder: Path, line: str) -> str:
    found = told(folder, line)
    assert found.returncode == 0, found.stderr
    return found.stdout


def summary(folder: Path, line: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done(folder, f"{line} --json"))
    return found


def pixels(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.glob("*.tif")):
        with rasterio.open(path) as file:
            found[path.name] = file.read().tobytes()
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ``groundshift demo`` was said, on small products under the names of its own."""
    from groundshift.testing import demo
    from groundshift.testing.demo_truth import write_demo_landcover
    from groundshift.testing.safe import write_safe
    from groundshift.testing.scenes import DateOptions, PairOptions, SceneOptions, pair, whole

    folder = tmp_path_factory.mktemp("user at home")
    options = SceneOptions(seed=3, shape=SMALL, noise=0.003)
    scenes = pair(PairOptions(scene=options, after=DateOptions(gain=1.04, cloud_share=0.02), changed=0.03))
    for scene, time in zip((scenes.before, scenes.after), demo.DATES, strict=True):
        write_safe(
            scene,
            folder / "demo" / "products",
            tile=demo.TILE,
            sensing_time=time,
            baseline=(2, 14),
            zip="stored",
            corner=demo.CORNER,
            bands=demo.BANDS,
            checksum="MD5",
        )
    layout = {"driver": "GTiff", "count": 1, "dtype": "uint8", "crs": "EPSG:32756", "nodata": 255}
    place = rasterio.transform.from_origin(*demo.CORNER, 10, 10)
    with rasterio.open(
        folder / "demo" / "truth.tif", "w", height=SMALL[0], width=SMALL[1], transform=place, **layout
    ) as file:
        file.write(scenes.truth(whole(SMALL)), 1)
    write_demo_landcover(folder / "demo" / "landcover.tif", options.seed, SMALL)
    out = done(folder, "groundshift demo")
    assert "demo/result/report.html" in out
    return folder


@pytest.mark.timeout(900)
def test_demo_leaves_two_products_under_real_names_and_a_result_that_finds_the_flood(tmp_path: Path) -> None:
    found = say(tmp_path, "groundshift demo --quiet", timeout=800)
    assert found.returncode == 0, found.stderr
    products = sorted(path.name for path in (tmp_path / "demo" / "products").iterdir())
    assert len(products) == 2
    assert all(PRODUCT.fullmatch(name) for name in products)
    left = {path.name for path in (tmp_path / "demo" / "result").iterdir()}
    expected = {"CVA.tif", "S2-CD.tif", "changes.gpkg", "before.png", "after.png", "change.png", "report.html"}
    assert expected | {"manifest.json"} <= left
    assert not {name for name in left if name.endswith(".tmp")}
    scores = summary(tmp_path, "groundshift evaluate demo/result --truth demo/truth.tif")["scores"]
    assert scores["f1"]["value"] > 0.7
    assert scores["auc"]["value"] > 0.9


def examples(place: Path, command: str) -> list[str]:
    lines = done(place, f"{command} --help").partition("Examples:\n")[2].splitlines()
    assert len(lines) == 2
    return [line.strip() for line in lines]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_of_help_run_as_they_are_printed(command: str, place: Path) -> None:
    before = pixels(place / "demo" / "result")
    if command == "landcover compare":
        _with_fewer_samples(place / "model.toml", place / "forest.toml")
    for line in examples(place, f"groundshift {command}"):
        done(place, line + (" --force" if "change" in line.split() else ""))
    # said again, the demo gives the same
    assert pixels(place / "demo" / "result") == before


def _with_fewer_samples(*jobs: Path) -> None:
    """What training left, so that both need not be done several times over in full."""
    for path in jobs:
        jobfile.save(jobfile.load(path, {"samples.per_class": 100}), path)


def test_the_examples_of_the_whole_are_those_of_its_commands(place: Path) -> None:
    of_commands = [*examples(place, "groundshift demo"), *examples(place, "groundshift change")]
    assert set(examples(place, "groundshift")) <= set(of_commands)


@pytest.mark.parametrize(("group", "commands"), [("landcover", ("train", "predict")), ("plot", ("bands", "map"))])
def test_the_examples_of_a_group_are_those_of_its_commands(group: str, commands: tuple[str, ...], place: Path) -> None:
    of_commands = [line for name in commands for line in examples(place, f"groundshift {group} {name}")]
    assert set(examples(place, f"groundshift {group}")) <= set(of_commands)


def test_the_examples_of_s2cd_run_as_they_are_printed(place: Path) -> None:
    for line, speak in zip(examples(place, "S2-CD"), (say, told), strict=True):
        found = speak(place, f"{line} --force")
        assert found.returncode == 0, found.stderr


def test_a_saved_job_run_again_gives_identical_maps(place: Path) -> None:
    done(
        place,
        "groundshift change demo/products/*.zip -o once -b B3,B8,B11 -r 20 --min-area 5000 --save-config job.toml",
    )
    done(place, "groundshift run job.toml --set output.outdir=twice")
    first, second = pixels(place / "once"), pixels(place / "twice")
    assert set(first) >= {"CVA.tif", "S2-CD.tif"}
    assert first == second


def test_json_names_files_that_are_there(place: Path) -> None:
    found = summary(place, "groundshift change demo/products/*.zip -o json -r 60")
    assert all((place / path).exists() for path in found["outputs"].values())
    assert 0 < found["changed_percent"] < 50


def test_s2cd_gives_wgs84_geotiffs_of_the_published_layout(place: Path) -> None:
    done(
        place,
        f"S2-CD -i1 demo/products/*20210315T*.zip -i2 demo/products/*20210325T*.zip -r 20 -p '{NEPEAN}' -outdir nepean",
    )
    with rasterio.open(place / "nepean" / "CVA.tif") as cva, rasterio.open(place / "nepean" / "S2-CD.tif") as classes:
        assert (cva.count, classes.count) == (2, 1)
        assert cva.crs.to_epsg() == classes.crs.to_epsg() == 4326
        assert classes.dtypes == ("uint8",)
        assert set(np.unique(classes.read(1))) <= {0, 1, 2, 3, 4, 255}
        left, bottom, right, top = classes.bounds
    assert 150.63 < left < right < 150.68
    assert -33.52 < bottom < top < -33.48


def test_a_second_run_into_the_folder_of_another_is_refused(place: Path) -> None:
    done(place, "groundshift change demo/products/*.zip -o mine -r 60")
    found = told(place, "groundshift change demo/products/*.zip -o mine -r 60 --confidence 99")
    assert found.returncode == 73
    assert "--force" in found.stderr


def test_products_under_names_of_any_kind_are_compared(place: Path) -> None:
    odd = place / "Überflutung (März) 水"
    odd.mkdir()
    for path in (place / "demo" / "products").iterdir():
        (odd / path.name).symlink_to(path)
    found = say(place, "cd Ü*; groundshift change --resolution 60 --outdir '-out put' -- *.zip")
    assert found.returncode == 0, found.stderr
    assert (odd / "-out put" / "report.html").exists()


def test_a_product_that_is_not_there_is_exit_code_66(place: Path) -> None:
    found = say(place, "groundshift change nowhere.zip demo/products/*20210325T*.zip -o none")
    assert found.returncode == 66
    assert found.stderr.count("groundshift: error:") == 1
    assert "nowhere.zip" in found.stderr
    assert not (place / "none" / "S2-CD.tif").exists()
