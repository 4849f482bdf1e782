"""Job files: a job written and read again is the same job; a mistake is a sentence with the file and the option."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundshift.errors import ConfigError, MissingInputError, OutputError
from groundshift.pipelines import jobfile
from groundshift.pipelines.job import ChangeJob
from groundshift.pipelines.landcover_job import TrainJob

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
MINIMAL = {"input.before": "A", "input.after": "B", "output.outdir": "O"}


@st.composite
def jobs(draw: st.DrawFn) -> ChangeJob:
    positive = st.floats(1e-9, 1e12)
    given_: dict[str, Any] = {
        "input.before": draw(texts),
        "input.after": draw(texts),
        "output.outdir": draw(texts),
        "input.scale": draw(st.none() | positive),
        "input.offset": draw(st.none() | st.floats(-1e6, 1e6)),
        "input.band_order": draw(st.none() | st.permutations(["B02", "B03", "B8A"])),
        "grid.aoi": draw(st.none() | texts),
        "grid.resolution": draw(st.none() | positive),
        "mask.classes": draw(st.none() | st.lists(st.integers(0, 11))),
        "detect.confidence": draw(st.floats(1.0000001, 99.9999999)),
        "detect.fdr": draw(st.none() | st.floats(1e-12, 0.999)),
        "normalise.seed": draw(st.integers(-(2**62), 2**62)),
        "run.strict": draw(st.booleans()),
    }
    return jobfile.make_job(given_)


@given(jobs())
def test_a_job_written_and_read_again_is_the_same_job(job: ChangeJob) -> None:
    tables = tomllib.loads(jobfile.dumps(job))
    assert jobfile.make_job(jobfile._flat(tables)) == job


def test_a_chain_written_and_read_again_is_the_same_chain(tmp_path: Path) -> None:
    steps = [{"use": "indices", "names": ["NDVI"]}, {"use": "own", "a b": {"c": [1, 2.5, True]}, "path": 'x"\\y'}]
    given = {"input.stack": "s.tif", "truth.path": "t.tif", "output.out": "m", "chain.steps": steps}
    job = jobfile.make(TrainJob, {**given, "model.options": {"epochs": 3}})
    jobfile.save(job, tmp_path / "job.toml")
    assert jobfile.load(tmp_path / "job.toml") == job


def test_every_option_of_a_saved_job_is_explained() -> None:
    text = jobfile.dumps(jobfile.make_job(MINIMAL))
    for key, field in jobfile.fields().items():
        assert f"# {field.description}\n" in text
        assert f"\n{key.split('.')[1]} = " in text or f"\n# {key.split('.')[1]} is not set\n" in text


def _file(tmp_path: Path, text: str | bytes) -> Path:
    file = tmp_path / "job.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


HEAD = '[input]\nbefore = "A"\nafter = "B"\n[output]\noutdir = "O"\n'


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (HEAD + "[detect]\nconfidnce = 99\n", ["there is no option detect.confidnce; did you mean detect.confidence?"]),
        (HEAD + "[detekt]\nfdr = 0.1\n", ["there is no option detekt.fdr; did you mean detect.fdr?"]),
        ("confidence = 99\n" + HEAD, ["there is no option confidence; did you mean detect.confidence?"]),
        (HEAD + "[nonsense]\n", ["there is no option nonsense."]),
        ("grid = 5\n" + HEAD, ["there is no option grid"]),
        (HEAD + "[detect]\nconfidence = 0.9999\n", ["detect.confidence is 0.9999: it is in percent"]),
        (HEAD + "[detect]\nconfidence = nan\n", ["detect.confidence is nan: it should be a finite number."]),
        (HEAD + "[input.scale]\nx = 1\n", ["input.scale is {'x': 1}: it should be a valid number."]),
        (
            HEAD + '[detect]\nmethod = "irmd"\n',
            ["'network' or 'ensemble'; did you mean irmad?"],
        ),
        (HEAD + '[run]\nmemory = "much"\n', ["run.memory is 'much': it should be a size such as 2G or 800M."]),
        (HEAD + '[run]\nmemory = "2"\n', ["run.memory is '2': it should be a size such as 2G or 800M."]),
        ('[input]\nbefore = "A"\n', ["input.after is missing.", "output.outdir is missing."]),
        (HEAD + "[grid]\nbands = 3\n[detect]\nfdr = 2\n", ["grid.bands is 3", "detect.fdr is 2"]),
        ("[input\n", ["is no TOML: "]),
        (b"\xff\xfe", ["is no TOML: byte 0 is not UTF-8."]),
        (b"#" * (1 << 21), ["is no job file: it is larger than 1024 KiB."]),
    ],
)
def test_a_mistake_in_a_file_names_file_and_option(tmp_path: Path, text: str | bytes, sentences: list[str]) -> None:
    file = _file(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        jobfile.load(file)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(sentences)
    for line, sentence in zip(lines, sentences, strict=True):
        assert sentence in line
        assert str(file) in line


def test_a_file_from_a_windows_editor_is_read(tmp_path: Path) -> None:
    assert jobfile.load(_file(tmp_path, "\ufeff" + HEAD.replace("\n", "\r\n"))).input.before == "A"


def test_a_file_that_is_not_there_is_exit_code_66(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"there is no job file .*absent\.toml"):
        jobfile.load(tmp_path / "absent.toml")


def test_a_folder_is_no_job_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        jobfile.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("detect.confidence", "expected SECTION.NAME=VALUE"), ("detect.confidense=9", "did you mean detect.confidence?")],
)
def test_a_setting_that_does_not_fit_says_why(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        jobfile.parse_setting(text)


def test_saving_where_nothing_can_be_written_is_exit_code_73(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.touch()
    with pytest.raises(OutputError):
        jobfile.save(jobfile.make_job(MINIMAL), blocker / "job.toml")


def test_a_path_that_is_no_text_cannot_be_saved_and_leaves_nothing(tmp_path: Path) -> None:
    job = jobfile.make_job(MINIMAL | {"input.before": os.fsdecode(b"\xff.zip")})
    with pytest.raises(OutputError, match="UTF-8"):
        jobfile.save(job, tmp_path / "job.toml")
    assert list(tmp_path.iterdir()) == []


def test_saving_replaces_the_file_and_leaves_no_other(tmp_path: Path) -> None:
    file = _file(tmp_path, "old")
    jobfile.save(jobfile.make_job(MINIMAL), file)
    assert jobfile.load(file) == jobfile.make_job(MINIMAL)
    assert list(tmp_path.iterdir()) == [file]
