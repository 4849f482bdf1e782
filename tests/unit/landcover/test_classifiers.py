"""Classifiers: the contract of scikit-learn, missing values, shares of classes, temperature, and what they refuse."""

import numpy as np
import pytest
from sklearn.base import clone

from groundshift.errors import InputError, ProductError, UsageError
from groundshift.landcover.classifiers import Classifier, Lessons, candidates, classifier, held_out, soon
from groundshift.landcover.trained import Trained, read_weights
from groundshift.landcover.trees import read_lightgbm

QUICK = {"lightgbm": {"iterations": 8}, "rf": {"trees": 10}, "knn": {}, "mlp": {"epochs": 12}}
NAMES = tuple(f"feature {i}" for i in range(6))


def samples(number: int = 900, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classes 3, 5 and 9, apart from each other; 5 has six tenths of the samples."""
    rng = np.random.default_rng(seed)
    classes = rng.choice([3, 5, 9], number, p=[0.2, 0.6, 0.2])
    values = rng.normal(size=(number, 6)) + 2 * np.searchsorted([3, 5, 9], classes)[:, np.newaxis]
    return (values * [1, 10, 1e4, 1e-3, 1, 1]).astype(np.float32), classes


@pytest.fixture(scope="module", params=QUICK)
def fitted(request: pytest.FixtureRequest) -> Classifier:
    return classifier(request.param, **QUICK[request.param]).fit(*samples())


def test_what_was_learnt_holds_for_other_samples(fitted: Classifier) -> None:
    values, classes = samples(seed=1)
    found = fitted.predict_proba(values)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert (fitted.predict(values) == classes).mean() > 0.85
    np.testing.assert_array_equal(fitted.classes_, [3, 5, 9])


def test_options_of_the_default_go_to_those_that_have_them() -> None:
    network, forest, neighbours = candidates("auto", epochs=3, trees=4, seed=5)
    assert (network.kind, network.epochs, network.seed) == ("mlp", 3, 5)
    assert (forest.kind, forest.trees, forest.seed) == ("rf", 4, 5)
    assert [soon(neighbours, 3000, features) for features in (100, 200)] == [True, False]
    assert soon(network, 3000, 200)
    assert [each.kind for each in candidates("knn")] == ["knn"]
    with pytest.raises(UsageError, match=r"auto has no option leaves: expected some of mlp: .*epochs.*; rf: .*trees"):
        candidates("auto", leaves=3)


def test_the_same_samples_give_the_same_bytes_whatever_the_threads(fitted: Classifier) -> None:
    few = {"iterations": 2} if fitted.kind == "lightgbm" else {}
    one, two = (clone(fitted).set_params(threads=threads, **few).fit(*samples()) for threads in (1, 2))
    assert one.weights_ == two.weights_
    np.testing.assert_array_equal(one.predict_proba(samples(seed=1)[0]), two.predict_proba(samples(seed=1)[0]))


def test_missing_values_are_predicted_with_what_is_there(fitted: Classifier) -> None:
    values, classes = samples(seed=1)
    values[:, 2] = np.nan
    found = fitted.predict_proba(values)
    assert np.isfinite(found).all()
    assert (fitted.predict(values) == classes).mean() > 0.8


def test_missing_values_may_be_trained_with(fitted: Classifier) -> None:
    values, classes = samples()
    values[np.random.default_rng(2).random(values.shape) < 0.2] = np.nan
    values[:, 5] = np.nan  # never there
    values[:, 4] = 7  # always the same
    again = clone(fitted).fit(values, classes)
    assert (again.predict(samples(seed=1)[0]) == samples(seed=1)[1]).mean() > 0.75


def test_cutting_pixels_into_parts_changes_nothing(fitted: Classifier) -> None:
    values = samples(seed=1)[0]
    parts = [fitted.predict_proba(values[start : start + 77]) for start in range(0, len(values), 77)]
    tolerance = 0 if fitted.kind in ("lightgbm", "rf") else 1e-6
    np.testing.assert_allclose(np.concatenate(parts), fitted.predict_proba(values), rtol=0, atol=tolerance)
    assert fitted.predict_proba(values[:0]).shape == (0, 3)


def test_a_card_and_the_weights_are_the_classifier(fitted: Classifier) -> None:
    values = samples(seed=1)[0]
    trained = Trained(fitted.card(NAMES, ("crop", "grass", "wood")), fitted.weights_)
    np.testing.assert_array_equal(trained.predict_proba(values), fitted.predict_proba(values))
    turned = trained.predict_proba(values[:, ::-1], NAMES[::-1])
    np.testing.assert_array_equal(turned, fitted.predict_proba(values))
    np.testing.assert_array_equal(trained.predict(values), fitted.predict(values))


def test_the_shares_of_the_classes_come_back_after_balanced_training() -> None:
    rng = np.random.default_rng(0)
    classes = rng.choice([1, 2], 4000, p=[0.9, 0.1])
    values = rng.normal(size=(4000, 2)).astype(np.float32)  # says nothing
    for balanced in (True, False):
        model = classifier("lightgbm", iterations=3, balanced=balanced).fit(values, classes)
        np.testing.assert_allclose(model.predict_proba(values).mean(axis=0), [0.9, 0.1], atol=0.03)
    known = model.card(("a", "b"), ("one", "two"), shares=(0.5, 0.5))
    np.testing.assert_allclose(Trained(known, model.weights_).predict_proba(values).mean(axis=0), 0.5, atol=0.05)


def test_weights_of_samples_count() -> None:
    values, classes = samples()
    wrong = np.where(classes == 9, 5, classes)  # the second half calls class 9 class 5
    both = np.concatenate([values, values]), np.concatenate([classes, wrong])
    weight = np.repeat([1.0, 0.0], len(values))
    for kind in ("lightgbm", "rf", "mlp"):
        model = classifier(kind, **QUICK[kind]).fit(*both, sample_weight=weight)
        assert (model.predict(values)[classes == 9] == 9).mean() > 0.7


def test_with_groups_the_temperature_is_that_of_groups_which_were_held_out() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(60), 10)
    values = rng.normal(size=(60, 5))[group].astype(np.float32)  # a group is one point, learnt by heart
    classes = rng.integers(1, 3, 60)[group]
    model = classifier("lightgbm", iterations=40)
    assert model.fit(values, classes).temperature_ == 1
    assert model.fit(values, classes, group).temperature_ > 3
    held = held_out(model, values, classes, group)
    assert 0.3 < (held.argmax(axis=1) + 1 == classes).mean() < 0.7


def test_a_class_that_a_fold_never_saw_has_no_probability() -> None:
    values, classes = samples(300)
    held = held_out(classifier("knn"), values, classes, classes, folds=3)
    assert (held[np.arange(300), np.searchsorted([3, 5, 9], classes)] == 0).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"y": np.ones(900)}, "1 class"),
        ({"y": np.ones(7)}, "a class and a weight for every sample"),
        ({"X": np.full((900, 6), np.inf)}, "infinite"),
        ({"sample_weight": -np.ones(900)}, "negative"),
        ({"sample_weight": samples()[1] != 9}, "all samples of a class have weight 0"),
        ({"groups": np.zeros(900)}, "one group"),
    ],
)
def test_samples_that_cannot_be_learnt_are_refused(change: dict[str, np.ndarray], said: str) -> None:
    values, classes = samples()
    with pytest.raises(InputError, match=said):
        classifier("lightgbm", iterations=2).fit(**({"X": values, "y": classes} | change))


def test_names_and_options_that_there_are_not_are_refused() -> None:
    with pytest.raises(UsageError, match="no classifier 'svm': expected one of lightgbm, rf, knn, mlp, tempcnn"):
        classifier("svm")
    with pytest.raises(UsageError, match="rf has no option leafs"):
        classifier("rf", leafs=3)


def test_another_number_of_features_is_refused(fitted: Classifier) -> None:
    with pytest.raises(InputError, match="expected \\(samples, 6\\)"):
        fitted.predict_proba(np.zeros((4, 5), np.float32))


def test_weights_of_another_model_are_refused(fitted: Classifier) -> None:
    card = fitted.card(NAMES[:5], ("crop", "grass", "wood"))
    with pytest.raises(ProductError, match="for 6 features and 3 classes, the card names 5 and 3"):
        Trained(card, fitted.weights_)


@pytest.mark.parametrize("kind", [*QUICK, "tempcnn"])
@pytest.mark.parametrize("content", [b"", b"tree\nversion=v4\n", b"\xff\x00\x12", b"\x08\x08\x3a\x00"])
def test_weights_that_are_none_are_refused(kind: str, content: bytes) -> None:
    with pytest.raises(ProductError, match=r"model|network"):
        read_weights(kind, content)


def test_boosted_trees_that_we_cannot_evaluate_are_refused() -> None:
    text = classifier("lightgbm", iterations=2).fit(*samples()).weights_.decode()
    for old, new, said in (
        ("num_cat=0", "num_cat=1", "categorical"),
        ("is_linear=0", "is_linear=1", "linear"),
        ("objective=multiclass", "objective=regression", "regression"),
        ("Tree=5", "Tre=5", "not complete"),
        ("left_child=1", "left_child=0", "tree 0 of the model does not"),
        ("left_child=1", "left_child=99999", "does not hang together"),
        ("split_feature=", "split_feature=77", "does not hang together"),
    ):
        assert old in text
        with pytest.raises(ProductError, match=said):
            read_lightgbm(text.replace(old, new))


def test_series_of_another_number_of_steps_are_refused() -> None:
    values, classes = samples()
    with pytest.raises(InputError, match="no series of 4 steps"):
        classifier("tempcnn", steps=4)._train(Lessons(values, classes, np.ones(len(classes)), 3))
