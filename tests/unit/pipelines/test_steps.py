"""The steps that come with groundshift, on series that can be read off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import groundshift as gs
from groundshift.errors import ConfigError, InputError, MissingInputError
from groundshift.pipelines import steps

DAYS = ("2021-01-05", "2021-02-10", "2021-02-10T10:00", "2021-06-20", "2021-11-30")


def series(**more: object) -> xr.Dataset:
    """Two bands that rise by 0.1 a date, in 2 x 3 pixels; the third date is not valid in the first pixel."""
    rise = np.arange(5, dtype=np.float32)[:, None, None] * np.float32(0.1) + np.zeros((5, 2, 3), np.float32)
    valid = np.ones((5, 2, 3), bool)
    valid[2, 0, 0] = False
    made = {"B04": rise, "B08": rise + np.float32(0.2), "valid": valid}
    times = np.array(DAYS, "M8[ns]")
    return xr.Dataset({name: (("time", "y", "x"), values) for name, values in made.items()}, {"time": times, **more})


def test_granules_of_a_day_become_one_date_of_what_is_valid() -> None:
    made = gs.run_chain(series(), ["merge_days"])
    assert made.sizes["time"] == 4
    assert made.B04[1, 0, 0] == pytest.approx(0.1)
    assert made.B04[1, 1, 1] == pytest.approx(0.15)


def test_frames_that_show_little_of_the_whole_area_are_dropped() -> None:
    given = series(valid_fraction=("time", [0.9, 0.1, 0.85, 0.7, 1.0]))
    assert gs.run_chain(given, ["drop_frames"]).time.size == 3
    assert gs.run_chain(given, [{"use": "drop_frames", "minimum": 0.6}]).time.size == 4
    with pytest.raises(InputError, match="none of 5 dates"):
        gs.run_chain(given, [{"use": "drop_frames", "minimum": 1.5}])


def test_a_cut_series_drops_the_same_frames_as_the_whole_one() -> None:
    given = series(valid_fraction=("time", [0.9, 0.1, 0.85, 0.7, 1.0]))
    cut = given.isel(x=slice(1, 2))
    assert (gs.run_chain(cut, ["drop_frames"]).time.values == gs.run_chain(given, ["drop_frames"]).time.values).all()


def test_indices_are_added_by_name() -> None:
    made = gs.run_chain(series(), [{"use": "indices", "names": ["NDVI"]}])
    np.testing.assert_allclose(made.NDVI[0], 1.0)
    assert set(made.data_vars) == {"B04", "B08", "valid", "NDVI"}
    with pytest.raises(InputError, match=r"indices \(NDWI\) needs B03"):
        gs.run_chain(series(), ["indices"])


def test_a_calendar_of_days_of_the_year_is_of_the_year_of_most_dates() -> None:
    made = gs.run_chain(series(), [{"use": "regular", "step_days": 16}])
    assert made.time.size == 23
    assert str(made.time.values[0])[:10] == "2021-01-01"
    assert float(made.B04[0, 1, 1]) == 0.0, "before the first observation what it was then"
    april = float(made.B04.sel(time="2021-04-15", method="nearest")[1, 1])
    assert 0.15 < april < 0.3
    assert int(made.observations[0, 0]) == 4
    assert float(made.longest_gap[0, 0]) > 120
    assert "distance" not in made
    far = gs.run_chain(series(), [{"use": "regular", "step_days": 16, "distance": True}]).distance
    assert float(far.sel(time="2021-09-14", method="nearest")[1, 1]) == pytest.approx(77.5, abs=1)


def test_a_calendar_may_name_its_days_and_leave_the_ends_open() -> None:
    made = gs.run_chain(
        series(), [{"use": "regular", "first": "2021-01-01", "last": "2021-03-01", "step_days": 10, "outside": "nan"}]
    )
    assert made.time.size == 6
    assert np.isnan(made.B04[0]).all()
    with pytest.raises(ConfigError, match="days are written"):
        gs.run_chain(series(), [{"use": "regular", "first": "spring"}])


def test_statistics_are_those_of_numpy_and_of_nothing_there_are_none() -> None:
    rng = np.random.default_rng(3)
    given = xr.Dataset(
        {"B04": (("time", "y", "x"), rng.random((7, 3, 4), np.float32)),
         "valid": (("time", "y", "x"), rng.random((7, 3, 4)) > 0.4)},
        {"time": np.arange("2021-01-01", "2021-01-08", dtype="M8[D]").astype("M8[ns]")},
    )  # fmt: skip
    given.valid[:, 1, 1] = False
    made = gs.run_chain(given, [{"use": "statistics", "percentiles": [10, 33, 75]}])
    seen = given.B04.where(given.valid).values
    assert np.isnan(made.B04_p33[1, 1])
    seen[:, 1, 1] = 0
    for rank in (10, 33, 75):
        expected = np.nanpercentile(seen, rank, axis=0)
        expected[1, 1] = np.nan
        np.testing.assert_allclose(made[f"B04_p{rank}"], expected, atol=1e-6)


def test_statistics_of_what_is_valid() -> None:
    made = gs.run_chain(series(), [{"use": "statistics", "percentiles": [0, 50, 100]}])
    assert made.B04_p50[0, 0] == pytest.approx(0.2)
    assert made.B04_p100[1, 1] == pytest.approx(0.4)
    assert made.observations[0, 0] == 4


def test_select_keeps_what_is_named() -> None:
    assert set(gs.run_chain(series(), [{"use": "select", "names": ["B08"]}]).data_vars) == {"B08", "valid"}


def test_steps_of_a_file_are_known_once_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import groundshift as gs\n\n@gs.step\ndef brighter_of_a_file(series, by=0.1):\n"
        "    return series.assign(B04=series.B04 + by)\n"
    )
    steps.load([str(tmp_path / "mine.py")])
    made = gs.run_chain(series(), ["brighter_of_a_file"])
    np.testing.assert_allclose(made.B04, series().B04 + 0.1)


def test_a_file_of_steps_that_is_missing_or_broken_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no file of steps"):
        steps.load([str(tmp_path / "none.py")])
    (tmp_path / "broken.py").write_text("def step(:\n")
    with pytest.raises(ConfigError, match="SyntaxError"):
        steps.load([str(tmp_path / "broken.py")])
