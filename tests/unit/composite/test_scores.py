"""Scores and weights of observations: presets, directions, limits, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from groundshift.composite.scores import (
    SCORES,
    ScoreOptions,
    WeightOptions,
    best_scores,
    days_from,
    haze,
    mean_weights,
)
from groundshift.errors import InputError, UsageError

FAR = np.float32(np.inf)


@pytest.mark.parametrize("preset", SCORES)
def test_scores_lie_between_nothing_and_one_and_each_fact_moves_them_the_right_way(preset: str) -> None:
    options = SCORES[preset]
    distance = np.array([10, 2990, 3010, FAR], np.float32).reshape(1, 2, 2).repeat(3, axis=0)
    days = np.array([-4, 0, 20.0])
    share = np.array([0.5, 0.0, 0.5])
    veil = np.array([0.2, 0.0, 0.2])
    score = best_scores(options, distance, cloud_share=share, days_off=days, haze=veil)
    assert score.dtype == np.float32
    assert score[0].max() < score[1].max() == pytest.approx(1, abs=0.002)
    assert score[2].max() < score[0].max()
    assert score.min() > 0
    np.testing.assert_array_equal(score[:, 1, 0], score[:, 1, 1])
    assert (score[:, 0, 0] < score[:, 0, 1]).all()
    assert (score[:, 0, 1] < score[:, 1, 0]).all()


def test_force_weighs_distance_date_and_haze_as_its_parameter_file_says() -> None:
    distance = np.full((3, 1, 1), FAR)
    zero = np.zeros(3)
    score = best_scores(SCORES["force"], distance, days_off=np.array([0, 60, 0.0]), haze=np.array([0, 0, 1.0]))
    clear = 0.4 / (1 + np.exp(-5))
    expected = np.array([clear + 1.3, clear + 0.3 + 0.0101, clear + 1]) / 1.7
    np.testing.assert_allclose(score[:, 0, 0], expected, atol=1e-4)
    beside = best_scores(SCORES["force"], np.zeros((3, 1, 1), np.float32), days_off=zero, haze=zero)
    np.testing.assert_allclose(beside[0, 0, 0], (1.3 + 0.4 / (1 + np.exp(5))) / 1.7, rtol=1e-5)


def test_haze_is_told_by_blue_beyond_half_of_red() -> None:
    red = np.array([0.05, 0.05, 0.1, 0.2], np.float32)
    blue = np.array([0.03, 0.09, 0.115, 0.3], np.float32)
    found = haze(blue, red)
    np.testing.assert_allclose(found, [0.0, 0.5, 0.5, 1.0], atol=1e-3)
    assert found.dtype == np.float32


def test_apex_weighs_distance_clear_share_and_date() -> None:
    score = best_scores(SCORES["apex"], np.full((2, 1, 1), FAR), cloud_share=np.array([0, 0.4]), days_off=np.zeros(2))
    np.testing.assert_allclose(score[:, 0, 0], [1, 1.4 / 1.6], rtol=1e-6)


def test_the_view_zenith_scores_a_hundredth_at_its_limit_pixel_by_pixel() -> None:
    options = ScoreOptions(distance=0, date=0, haze=0, view=1)
    score = best_scores(options, np.full((1, 1, 2), FAR), view_zenith=np.array([[[0.0, 7.5]]]))
    np.testing.assert_allclose(score[0, 0], [1, 0.01], rtol=1e-5)


def test_a_fact_that_is_weighed_but_not_given_is_asked_for_by_name() -> None:
    with pytest.raises(UsageError, match=r"weigh haze by 0\.3"):
        best_scores(SCORES["force"], np.zeros((2, 1, 1), np.float32), days_off=np.zeros(2))
    with pytest.raises(InputError, match="date has the shape"):
        best_scores(SCORES["apex"], np.zeros((2, 1, 1), np.float32), cloud_share=np.zeros(2), days_off=np.zeros(3))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ScoreOptions(haze=-1),
        lambda: ScoreOptions(distance=0, date=0, haze=0),
        lambda: ScoreOptions(clear_distance_m=0),
        lambda: WeightOptions(near_m=-1),
        lambda: WeightOptions(least_date=0),
        lambda: WeightOptions(least_haze=1.5),
    ],
)
def test_options_of_scores_that_cannot_be_are_refused(wrong: Any) -> None:
    with pytest.raises(UsageError):
        wrong()


def test_weights_of_the_mean_fall_towards_clouds_with_time_and_with_haze() -> None:
    distance = np.array([20, 480, 2400, FAR], np.float32).reshape(1, 2, 2).repeat(4, axis=0)
    weights = mean_weights(
        WeightOptions(), distance, days_off=np.array([0, -23, 400, 0.0]), haze=np.array([0, 0, 0, 1.0])
    )
    assert (np.diff(weights.reshape(4, 4), axis=1) > 0).all()
    np.testing.assert_allclose(weights[:, 1, 1], [1, 0.5, 0.5, 0.33], rtol=1e-6)
    np.testing.assert_allclose(weights[0, 0, 1], (1 - np.exp(-0.5)) * (1 - np.exp(-0.02)), rtol=1e-5)
    assert weights.min() > 0


def test_days_are_counted_the_short_way_round_the_year() -> None:
    np.testing.assert_allclose(days_from(360, np.array([5.0, 355, 360, 180])), [10.25, -5, 0, -180])
