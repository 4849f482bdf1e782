"""``groundshift change`` and ``run``: which job comes out of a command line, and what is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from groundshift.cli.options import ARGUMENTS, OPTIONS
from groundshift.cli.options import __doc__ as table
from groundshift.errors import OutputError, StrictError
from groundshift.pipelines import jobfile
from groundshift.pipelines.job import ChangeJob

from .conftest import SUMMARY, Recorded

Run = Callable[..., int]
GIVEN = {
    "--bands": ("B3,8A", "grid.bands", ("B03", "B8A")),
    "--aoi": ("POLYGON((0 0,1 0,1 1,0 0))", "grid.aoi", "POLYGON((0 0,1 0,1 1,0 0))"),
    "--resolution": ("20", "grid.resolution", 20),
    "--projection": ("EPSG:3857", "grid.projection", "EPSG:3857"),
    "--band-order": ("B2,B3,B4,B8", "input.band_order", ("B02", "B03", "B04", "B08")),
    "--scale": ("65535", "input.scale", 65535),
    "--offset": ("-1000", "input.offset", -1000),
    "--mask-before": ("m1.tif", "input.mask_before", "m1.tif"),
    "--mask-after": ("m2.tif", "input.mask_after", "m2.tif"),
    "--trust": ("pixels", "input.trust", "pixels"),
    "--no-verify": (None, "input.verify", False),
    "--mask-classes": ("0,1,9", "mask.classes", (0, 1, 9)),
    "--cloud-dilation": ("0", "mask.cloud_dilation_m", 0),
    "--shadow-dilation": ("12.5", "mask.shadow_dilation_m", 12.5),
    "--regression": ("robust", "normalise.method", "robust"),
    "--sample-pixels": ("5000", "normalise.sample_pixels", 5000),
    "--seed": ("7", "normalise.seed", 7),
    "--method": ("irmad", "detect.method", "irmad"),
    "--network-weights": ("own.onnx", "detect.network_weights", "own.onnx"),
    "--normalization": ("diag", "detect.normalization", "diag"),
    "--estimator": ("textbook", "detect.estimator", "textbook"),
    "--stats-extent": ("aoi", "normalise.extent", "aoi"),
    "--context": ("none", "detect.context", "none"),
    "--confidence": ("99,9", "detect.confidence", 99.9),
    "--fdr": ("0.05", "detect.fdr", 0.05),
    "--min-area": ("400", "detect.min_area", 400),
    "--classes": ("6", "kinds.classes", 6),
    "--reference-vector": ("-1,0,0,1", "kinds.reference_vector", "-1,0,0,1"),
    "--smooth": ("3", "kinds.smooth_px", 3),
    "--format": ("GTiff", "output.format", "GTiff"),
    "--p-value": (None, "output.p_value", True),
    "--force": (None, "output.force", True),
    "--memory": ("800M", "run.memory", "800M"),
    "--workers": ("2", "run.workers", 2),
    "--scheduler": ("tcp://here:8786", "run.scheduler", "tcp://here:8786"),
    "--strict": (None, "run.strict", True),
}


def test_without_options_the_job_has_the_defaults(pipeline: Recorded, groundshift: Run) -> None:
    assert groundshift("change", "A.zip", "B.zip", "--outdir", "OUT") == 0
    assert pipeline.jobs == [ChangeJob(input={"before": "A.zip", "after": "B.zip"}, output={"outdir": "OUT"})]


@pytest.mark.parametrize("flag", GIVEN)
def test_each_option_sets_its_field_and_no_other(flag: str, pipeline: Recorded, groundshift: Run) -> None:
    word, key, expected = GIVEN[flag]
    plain = ChangeJob(input={"before": "A", "after": "B"}, output={"outdir": "O"})
    assert groundshift("change", "A", "B", "-o", "O", flag, *([word] if word is not None else [])) == 0
    found = jobfile.values(pipeline.jobs[0])
    differing = {name for name, value in found.items() if value != jobfile.values(plain)[name]}
    assert differing == {key}
    section, name = key.split(".")
    assert getattr(getattr(pipeline.jobs[0], section), name) == expected


def test_every_field_of_a_job_has_an_option_or_is_an_argument() -> None:
    assert {option.key for option in OPTIONS} | set(ARGUMENTS) == set(jobfile.fields())
    assert {option.flags[0] for option in OPTIONS} == {*GIVEN, "--outdir"}


def test_the_table_in_the_registry_is_the_registry() -> None:
    rows = [line.split() for line in (table or "").splitlines() if line.startswith("--")]
    shown = {row[0].rstrip(","): next(word for word in row if "." in word) for row in rows}
    assert shown == {option.flags[0]: option.key for option in OPTIONS}


def test_dots_in_the_reference_vector_stand_for_zeros(pipeline: Recorded, groundshift: Run) -> None:
    assert groundshift("change", "A", "B", "-o", "O", "--reference-vector", "1,0,...", "-b", "B2,B3,B4") == 0
    assert pipeline.jobs[0].kinds.reference_vector == "1,0,0"


def test_the_result_is_a_table_on_stdout_and_warnings_go_to_stderr(
    pipeline: Recorded, groundshift: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    groundshift("change", "A", "B", "-o", "O")
    out, err = capsys.readouterr()
    assert "12,346" in out
    assert "[bold]vegetation loss" in out
    assert "report: OUT/report.html" in out.splitlines()
    assert "no data: 0 %" in out.splitlines()
    assert err == "groundshift: warning: Orbit: relative orbits 30 and 73 differ.\n"
    assert "\x1b" not in out + err


def test_json_is_all_that_stdout_carries(
    pipeline: Recorded, groundshift: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert groundshift("change", "A", "B", "-o", "O", "--json") == 0
    assert json.loads(capsys.readouterr().out) == SUMMARY


def test_quiet_leaves_only_warnings(pipeline: Recorded, groundshift: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert groundshift("change", "A", "B", "-o", "O", "--quiet") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1


def test_a_saved_job_runs_again_as_the_same_job(pipeline: Recorded, groundshift: Run, tmp_path: Path) -> None:
    file = str(tmp_path / "new folder" / "job.toml")
    argv = [part for flag, (word, *_) in GIVEN.items() for part in ([flag] if word is None else [flag, word])]
    assert groundshift("change", "A", "B", "-o", "O", *argv, "--save-config", file) == 0
    assert groundshift("run", file) == 0
    assert pipeline.jobs[0] == pipeline.jobs[1]


def test_run_replaces_single_values(pipeline: Recorded, groundshift: Run, tmp_path: Path) -> None:
    file = str(tmp_path / "job.toml")
    groundshift("change", "A", "B", "-o", "O", "--save-config", file)
    settings = [
        "detect.confidence=99,9",
        "grid.bands=B2,B3",
        "output.outdir=again",
        "mask.classes=[0, 3]",
        "grid.aoi=a=b",
    ]
    assert groundshift("run", file, *[word for text in settings for word in ("--set", text)], "--force") == 0
    job = pipeline.jobs[1]
    assert (job.detect.confidence, job.grid.bands, job.output.outdir) == (99.9, ("B02", "B03"), "again")
    assert (job.mask.classes, job.grid.aoi, job.output.force) == ((0, 3), "a=b", True)


@pytest.mark.parametrize(("error", "code"), [(StrictError("Orbit: they differ."), 65), (OutputError("no space."), 73)])
def test_an_error_of_the_pipeline_is_one_sentence_and_its_exit_code(
    error: Exception, code: int, pipeline: Recorded, groundshift: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.error = error
    assert groundshift("change", "A", "B", "-o", "O", "--json") == code
    assert capsys.readouterr() == ("", f"groundshift: error: {error}\n")
