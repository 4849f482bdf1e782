"""``S2-CD`` exactly as it was published."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from groundshift.cli.s2cd import area_or_projection
from groundshift.errors import UsageError

from .conftest import Recorded

Run = Callable[..., int]
SYDNEY = "POLYGON((150.6266 -33.49, 150.952 -33.49, 150.952 -33.77, 150.6266 -33.49))"
SHORT = ("-i1", "A.zip", "-i2", "B.zip", "-outdir", "OUT")


def test_the_defaults_are_those_of_the_published_command(pipeline: Recorded, s2cd: Run) -> None:
    assert s2cd(*SHORT) == 0
    job = pipeline.jobs[0]
    assert (job.input.before, job.input.after, job.output.outdir) == ("A.zip", "B.zip", "OUT")
    assert job.grid.bands == ("B02", "B03", "B04", "B08")
    assert (job.grid.resolution, job.grid.projection, job.grid.aoi) == (10, "EPSG:4326", None)
    assert (job.kinds.classes, job.kinds.reference_vector) == (4, "1,0,0,0")
    assert (job.detect.confidence, job.output.format) == (99.99, "GTiff")
    assert job.input.verify


def test_the_published_long_form_works(pipeline: Recorded, s2cd: Run) -> None:
    long = ["--input1", "A.zip", "--input2", "B.zip", "--bands", "B2,B12", "--AoI", SYDNEY, "--resolution", "20"]
    long += ["--projection", "EPSG:32756", "--numberClasses", "6", "--referenceVector", "0,1"]
    long += ["--levelConfidence", "99,9", "--output_format", "HFA", "--outdir", "OUT"]
    assert s2cd(*long) == 0
    job = pipeline.jobs[0]
    assert (job.grid.bands, job.grid.aoi, job.grid.resolution) == (("B02", "B12"), SYDNEY, 20)
    assert (job.grid.projection, job.kinds.classes, job.kinds.reference_vector) == ("EPSG:32756", 6, "0,1")
    assert (job.detect.confidence, job.output.format, job.output.outdir) == (99.9, "HFA", "OUT")


def test_the_published_example_works_and_its_p_is_the_area(pipeline: Recorded, s2cd: Run) -> None:
    assert s2cd("-i1", "A.zip", "-i2", "B.zip", "-b", "B3,B4,B8", "-r", "20", "-p", SYDNEY, "-outdir", "OUT") == 0
    job = pipeline.jobs[0]
    assert (job.grid.aoi, job.grid.projection, job.grid.resolution) == (SYDNEY, "EPSG:4326", 20)
    assert job.grid.bands == ("B03", "B04", "B08")
    assert job.kinds.reference_vector == "1,0,0"


@pytest.mark.parametrize("form", ["-bands", "--bands", "-b"])
def test_one_dash_is_as_good_as_two(form: str, pipeline: Recorded, s2cd: Run) -> None:
    assert s2cd(*SHORT, form, "B3") == 0
    assert s2cd(*SHORT, f"{form}=B3") == 0
    assert {job.grid.bands for job in pipeline.jobs} == {("B03",)}


@pytest.mark.parametrize(
    "value", [SYDNEY, "  multipolygon(((0 0,1 0,1 1,0 0)))", "SRID=4326;POLYGON((0 0,1 0,1 1,0 0))"]
)
def test_p_with_a_polygon_is_the_area(value: str) -> None:
    assert area_or_projection(value) == "aoi"


@pytest.mark.parametrize("value", ["EPSG:32756", "32756", "WGS84", "+proj=utm +zone=56 +south", "ESRI:54009"])
def test_p_with_a_crs_is_the_projection(value: str) -> None:
    assert area_or_projection(value) == "projection"


def test_p_with_a_file_that_is_there_is_the_area(tmp_path: Path) -> None:
    file = tmp_path / "EPSG 4326.gpkg"
    file.touch()
    assert area_or_projection(str(file)) == "aoi"


@pytest.mark.parametrize("value", ["no-such-file.gpkg", "nonsense", "EPSG:99999999", "POINT(1 2)", ""])
def test_p_with_anything_else_is_a_usage_error(value: str) -> None:
    with pytest.raises(UsageError, match="neither a polygon in WKT, nor a vector file that is there, nor a projection"):
        area_or_projection(value)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((*SHORT, "-p", SYDNEY, "--AoI", SYDNEY), "leave one out"),
        ((*SHORT, "-p", "EPSG:4326", "--projection", "EPSG:4326"), "leave one out"),
        ((*SHORT, "--levelConfidence", "0,9999"), "--levelConfidence is '0,9999': it is in percent"),
        ((*SHORT, "--levelConfidence", "100"), "--levelConfidence is '100': it should be less than 100"),
        ((*SHORT, "--numberClasses", "four"), "--numberClasses is 'four': it should be a valid integer"),
        ((*SHORT, "-b", "B2,B2"), "named twice"),
        ((*SHORT, "--numberOfClasses", "4"), "there is no option --numberOfClasses; did you mean --numberClasses?"),
        ((*SHORT, "-out", "x"), "did you mean"),
        ((*SHORT, "-r"), "-r needs a value"),
        ((*SHORT, "-r", "-b", "B2"), "-r needs a value"),
        ((*SHORT, "stray"), "'stray' belongs to no option"),
        (("-i1", "A", "-outdir", "O"), "--input2"),
    ],
)
def test_a_mistake_is_exit_code_2_and_one_sentence(
    argv: tuple[str, ...], message: str, pipeline: Recorded, s2cd: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert s2cd(*argv) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith("S2-CD: error: ")
    assert err.count("\n") == 1
    assert pipeline.jobs == []


def test_a_value_may_begin_with_a_dash(pipeline: Recorded, s2cd: Run) -> None:
    assert s2cd("-i1", "-A.zip", "-i2", "-B.zip", "-outdir", "-out", "--referenceVector", "-1,0,0,0") == 0
    job = pipeline.jobs[0]
    assert (job.input.before, job.output.outdir, job.kinds.reference_vector) == ("-A.zip", "-out", "-1,0,0,0")


def test_what_groundshift_adds_is_accepted(pipeline: Recorded, s2cd: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert s2cd(*SHORT, "--json", "--no-verify", "--strict", "--trust", "pixels") == 0
    job = pipeline.jobs[0]
    assert (job.input.verify, job.run.strict, job.input.trust) == (False, True, "pixels")
    assert capsys.readouterr().out.startswith("{")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_has_two_examples(flag: str, s2cd: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert s2cd(flag) == 0
    assert capsys.readouterr().out.count("\n  S2-CD -i1 ") == 2


def test_the_entry_point_is_installed() -> None:
    script = Path(sys.executable).with_name("S2-CD")
    found = subprocess.run([script, "--version"], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout[:12]) == (0, "groundshift ")
