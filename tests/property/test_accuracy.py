"""Laws of the agreement of a map with the truth."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from groundshift.accuracy.confusion import (
    Confusion,
    auc,
    auc_of_histograms,
    bootstrap_weights,
    confusion,
    confusion_by_block,
    histograms_by_block,
    score_arrays,
    scores,
)
from groundshift.model.grid import blocks

counts = st.builds(Confusion, *[st.integers(0, 10**8)] * 4)
shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)


@st.composite
def maps(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape = draw(shapes)
    return tuple(draw(hnp.arrays(np.bool_, shape)) for _ in range(3))  # type: ignore[return-value]


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(2, 60))
    score = draw(hnp.arrays(np.int16, n, elements=st.integers(-20, 20))).astype(np.float64)
    truth = draw(hnp.arrays(np.bool_, n))
    assume(truth.any() and not truth.all())
    return score, truth


@given(counts)
def test_every_score_that_exists_lies_in_its_range(table: Confusion) -> None:
    for name, value in scores(table).items():
        if value is not None:
            assert (-1 if name == "kappa" else 0) <= value <= 1


@given(counts)
def test_kappa_and_overall_accuracy_do_not_care_which_class_is_called_change(table: Confusion) -> None:
    ours = scores(table)
    swapped = scores(Confusion(table.tn, table.fn, table.fp, table.tp))
    assert swapped["kappa"] == pytest.approx(ours["kappa"], nan_ok=True)
    assert swapped["overall_accuracy"] == pytest.approx(ours["overall_accuracy"])


@given(counts)
def test_exchanging_map_and_truth_exchanges_precision_and_recall(table: Confusion) -> None:
    ours = scores(table)
    exchanged = scores(Confusion(table.tp, table.fn, table.fp, table.tn))
    assert exchanged["precision"] == ours["recall"]
    assert exchanged["f1"] == ours["f1"]
    assert exchanged["iou"] == ours["iou"]


@given(counts)
def test_f1_follows_from_iou(table: Confusion) -> None:
    ours = scores(table)
    if ours["iou"] is not None:
        assert ours["f1"] == pytest.approx(2 * ours["iou"] / (1 + ours["iou"]))


@given(counts)
def test_kappa_is_accuracy_beyond_chance(table: Confusion) -> None:
    n = table.total
    assume(n > 0)
    pe = ((table.tp + table.fp) * (table.tp + table.fn) + (table.fn + table.tn) * (table.fp + table.tn)) / n**2
    assume(pe < 0.999)
    oa = (table.tp + table.tn) / n
    assert scores(table)["kappa"] == pytest.approx((oa - pe) / (1 - pe), abs=1e-9)


@given(counts, counts)
def test_pooling_is_adding_up_and_does_not_care_for_the_order(a: Confusion, b: Confusion) -> None:
    assert a + b == b + a
    assert (a + b).total == a.total + b.total


@given(maps(), st.integers(1, 5))
def test_cutting_into_blocks_changes_no_count(of: tuple[np.ndarray, np.ndarray, np.ndarray], rows: int) -> None:
    changed, truth, valid = of
    parts = confusion_by_block(changed, truth, valid, list(blocks(truth.shape, rows, rows)))
    assert tuple(parts.sum(axis=0)) == astuple(confusion(changed, truth, valid))


@given(scored())
def test_the_auc_is_the_share_of_pairs_in_the_right_order(of: tuple[np.ndarray, np.ndarray]) -> None:
    score, truth = of
    pairs = score[truth][:, None] - score[~truth][None, :]
    assert auc(score, truth) == pytest.approx(np.mean((np.sign(pairs) + 1) / 2))


@given(scored())
def test_the_auc_survives_every_monotone_transform(of: tuple[np.ndarray, np.ndarray]) -> None:
    score, truth = of
    assert auc(np.exp(score / 7) + 3, truth) == auc(score, truth)


@given(scored())
def test_the_auc_of_the_opposite_score_is_its_complement(of: tuple[np.ndarray, np.ndarray]) -> None:
    score, truth = of
    assert auc(-score, truth) == pytest.approx(1 - auc(score, truth))  # type: ignore[operator]


@given(scored())
def test_the_auc_from_histograms_is_the_exact_one_to_a_bin(of: tuple[np.ndarray, np.ndarray]) -> None:
    score, truth = (a[None] for a in of)
    parts = histograms_by_block(score, truth, np.ones(truth.shape, bool), list(blocks(truth.shape, 1, 7)), bins=512)
    assert parts.sum() == truth.size
    assert float(auc_of_histograms(parts.sum(axis=0))) == pytest.approx(auc(score, truth), abs=1 / 32)


@given(st.integers(1, 50), st.integers(0, 5))
def test_a_replicate_draws_as_many_blocks_as_there_are(blocks_: int, seed: int) -> None:
    weights = bootstrap_weights(blocks_, 20, seed)
    assert weights.shape == (20, blocks_)
    assert (weights.sum(axis=1) == blocks_).all()


@given(st.lists(counts, min_size=1, max_size=5))
def test_many_tables_at_once_score_as_one_by_one(tables: list[Confusion]) -> None:
    together = score_arrays(np.array([astuple(t) for t in tables]))
    for i, table in enumerate(tables):
        for name, value in scores(table).items():
            assert together[name][i] == pytest.approx(np.nan if value is None else value, nan_ok=True)
