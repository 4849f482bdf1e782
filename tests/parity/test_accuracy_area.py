"""Intervals against SciPy, scores against scikit-learn, variances against what samples drawn again and again show."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics

from groundshift.accuracy import calibration
from groundshift.accuracy.area import Accuracy, Points, agreement, sampled, stratified
from groundshift.accuracy.intervals import exact, wilson


@pytest.mark.parametrize("size", [7, 50, 100, 1000])
def test_intervals_of_a_share_are_those_of_scipy(size: int) -> None:
    for hits in range(0, size + 1, max(1, size // 25)):
        theirs = binomtest(hits, size)
        np.testing.assert_allclose(
            exact(np.float64(hits), np.float64(size)), theirs.proportion_ci(0.95, "exact"), atol=1e-9
        )
        if 3 < hits < size - 3:
            ci = theirs.proportion_ci(0.95, "wilson")
            # theirs has 1.959964 standard errors
            np.testing.assert_allclose(wilson(np.float64(hits), np.float64(size)), ci, atol=1e-5)


def test_agreement_of_points_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    true = rng.integers(0, 4, 500)
    mapped = np.where(rng.random(500) < 0.3, rng.integers(0, 4, 500), true)
    found = agreement(metrics.confusion_matrix(mapped, true))
    assert found.kappa.estimate == pytest.approx(metrics.cohen_kappa_score(true, mapped))
    np.testing.assert_allclose(found.f1.estimate, metrics.f1_score(true, mapped, average=None))
    np.testing.assert_allclose(found.users_accuracy.estimate, metrics.precision_score(true, mapped, average=None))
    np.testing.assert_allclose(found.producers_accuracy.estimate, metrics.recall_score(true, mapped, average=None))


class Population:
    """A map and its truth, pixel by pixel, in three strata that are not its classes, and in clusters."""

    def __init__(self) -> None:
        rng = np.random.default_rng(11)
        n = 6000
        self.stratum = np.repeat([0, 1, 2], [4000, 1500, 500])
        self.mapped = rng.choice(3, n, p=[0.6, 0.3, 0.1])
        self.cluster = np.arange(n) // 10
        easy = rng.random(n // 10)[self.cluster] < 0.8
        self.true = np.where(rng.random(n) < np.where(easy, 0.05, 0.6), (self.mapped + 1) % 3, self.mapped)

    def figures(self) -> dict[str, np.ndarray]:
        found = agreement(metrics.confusion_matrix(self.mapped, self.true))
        return {name: getattr(found, name).estimate for name in NAMES}

    def points(self, chosen: np.ndarray, clusters: bool = False) -> Points:
        return Points(
            self.stratum[chosen],
            self.mapped[chosen],
            self.true[chosen],
            self.cluster[chosen] if clusters else None,
        )


NAMES = ("overall_accuracy", "users_accuracy", "producers_accuracy", "f1", "kappa")


def check(population: Population, drawn: list[Accuracy]) -> None:
    """Estimates centre on the truth, their spread is what half widths say, and intervals hold the truth."""
    for name, truth in population.figures().items():
        values = np.array([getattr(each, name).estimate for each in drawn])
        error = np.array([getattr(each, name).half_width for each in drawn]) / 1.96
        spread = values.std(axis=0, ddof=1)
        assert (np.abs(values.mean(axis=0) - truth) < 0.3 * spread).all(), name
        np.testing.assert_allclose(np.sqrt((error**2).mean(axis=0)), spread, rtol=0.18, err_msg=name)
        held = [(getattr(each, name).low <= truth) & (truth <= getattr(each, name).high) for each in drawn]
        assert (np.mean(held, axis=0) > 0.91).all(), name


def test_variances_are_those_of_samples_drawn_again_and_again() -> None:
    population, rng = Population(), np.random.default_rng(5)
    sizes, taken = [4000, 1500, 500], [120, 90, 200]
    drawn = []
    for _ in range(250):
        chosen = np.concatenate(
            [rng.choice(np.flatnonzero(population.stratum == h), n, replace=False) for h, n in enumerate(taken)]
        )
        drawn.append(sampled(population.points(chosen), sizes, 3, population=sizes))
    check(population, drawn)


def test_variances_of_clusters_are_those_of_clusters_drawn_again_and_again() -> None:
    population, rng = Population(), np.random.default_rng(6)
    of_cluster = population.stratum[::10]
    drawn = []
    for _ in range(250):
        # with replacement, as the estimator takes it: a cluster drawn twice counts twice
        number = np.concatenate([rng.choice(np.flatnonzero(of_cluster == h), n) for h, n in enumerate([24, 16, 12])])
        chosen = (number[:, None] * 10 + np.arange(10)).ravel()
        points = population.points(chosen)
        draws = Points(points.stratum, points.mapped, points.reference, np.repeat(np.arange(len(number)), 10))
        drawn.append(sampled(draws, [4000, 1500, 500], 3))
    check(population, drawn)


def test_a_rare_class_that_is_mostly_omitted_is_covered_where_the_textbook_fails() -> None:
    weight, p = np.array([0.01, 0.99]), np.array([[0.9, 0.1], [0.004, 0.996]])
    truth = 0.009 / (0.009 + 0.99 * 0.004)
    rng = np.random.default_rng(7)
    textbook = ours = 0
    for _ in range(300):
        found = stratified(np.stack([rng.multinomial(100, row) for row in p]), weight).producers_accuracy
        textbook += abs(found.estimate[0] - truth) <= found.half_width[0]
        ours += found.low[0] <= truth <= found.high[0]
    assert textbook < 0.5 * 300
    assert ours > 0.93 * 300


def test_scores_of_probabilities_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(8)
    p, y = rng.dirichlet([0.5, 1, 2], 400), rng.integers(0, 3, 400)
    assert calibration.log_loss(p, y) == pytest.approx(metrics.log_loss(y, p))
    assert calibration.brier_score(p, y) == pytest.approx(np.mean(((p - np.eye(3)[y]) ** 2).sum(axis=1)))
