"""Compiled tree ensembles against LightGBM and scikit-learn, and ONNX graphs against scikit-learn."""

import lightgbm
import numpy as np
import onnxruntime
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

from groundshift.landcover.classifiers import classifier
from groundshift.landcover.forest import read_forest, write_forest
from groundshift.landcover.graphs import layers, neighbours
from groundshift.landcover.trained import read_weights
from groundshift.landcover.trees import read_lightgbm

FEATURES = 12


def samples(number: int = 1500, missing: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    values = rng.normal(size=(number, FEATURES)).astype(np.float32)
    values[:, 7] = 0.0  # never varies
    values[:, 8] = np.round(values[:, 8])  # thresholds between few values, zeros among them
    classes = (values[:, :4] + 0.5 * rng.normal(size=(number, 4))).argmax(axis=1)
    values[rng.random(values.shape) < missing] = np.nan
    return values, classes


def odd_pixels() -> np.ndarray:
    """Samples, and values at the edges of what a float32 is."""
    edges = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-36, 1e-34, -1e-36, 3e38, -3e38]
    return np.concatenate([samples()[0], np.repeat(np.float32(edges)[:, np.newaxis], FEATURES, axis=1)])


def trained(classes: int, leaves: int, zero: bool) -> lightgbm.Booster:
    values, labels = samples()
    options = {
        "objective": "multiclass" if classes > 2 else "binary",
        "num_class": classes if classes > 2 else 1,
        "num_leaves": leaves,
        "zero_as_missing": zero,
        "min_data_in_leaf": 2,
        "num_threads": 1,
        "verbose": -1,
    }
    return lightgbm.train(options, lightgbm.Dataset(values, labels % classes), 4)


# 31 leaves: 32 bits; 50: 64 bits; 90: walked level by level.
@pytest.mark.parametrize("leaves", [31, 50, 90])
@pytest.mark.parametrize(("classes", "zero"), [(4, False), (2, False), (3, True)])
def test_boosted_trees_are_those_of_lightgbm_with_missing_and_extreme_values(
    classes: int, leaves: int, zero: bool
) -> None:
    model = trained(classes, leaves, zero)
    ours = read_lightgbm(model.model_to_string())
    assert (ours.trees.nodes is None) == (leaves <= 64)
    expected = model.predict(odd_pixels(), num_threads=1)
    if classes == 2:
        expected = np.stack([1 - expected, expected], axis=1)
    np.testing.assert_allclose(ours.probabilities(odd_pixels()), expected, atol=1e-12)


def test_a_value_that_equals_a_threshold_goes_the_way_that_lightgbm_sends_it() -> None:
    model = trained(3, 31, False)
    frame = [line for line in model.model_to_string().splitlines() if line.startswith("threshold=")]
    cuts = np.unique(np.concatenate([np.array(line[10:].split(), np.float64) for line in frame]))
    near = cuts.astype(np.float32)
    around = np.concatenate([np.nextafter(near, np.float32(-9)), near, np.nextafter(near, np.float32(9))])
    pixels = np.repeat(around[:, np.newaxis], FEATURES, axis=1)
    ours = read_lightgbm(model.model_to_string())
    np.testing.assert_allclose(ours.probabilities(pixels), model.predict(pixels, num_threads=1), atol=1e-12)


def test_samples_that_lie_as_an_image_give_the_same_bits() -> None:
    ours = read_lightgbm(trained(3, 31, False).model_to_string())
    np.testing.assert_array_equal(ours.probabilities(np.asfortranarray(odd_pixels())), ours.probabilities(odd_pixels()))


def test_a_tree_without_a_split_counts_too() -> None:
    values, labels = samples(60)
    options = {"objective": "multiclass", "num_class": 4, "min_data_in_leaf": 40, "num_threads": 1, "verbose": -1}
    model = lightgbm.train(options, lightgbm.Dataset(values, labels), 2)
    ours = read_lightgbm(model.model_to_string())
    np.testing.assert_allclose(ours.probabilities(values), model.predict(values, num_threads=1), atol=1e-12)


@pytest.fixture(scope="module")
def forest() -> tuple[RandomForestClassifier, bytes]:
    values, labels = samples(missing=0)
    model = RandomForestClassifier(8, min_samples_leaf=3, random_state=0).fit(values, labels)
    medians = np.arange(FEATURES, dtype=np.float32) / 10
    return model, write_forest(model, medians, model.classes_, 4)


def test_a_forest_is_that_of_scikit_learn_in_our_kernels_and_in_onnx_runtime(
    forest: tuple[RandomForestClassifier, bytes],
) -> None:
    model, content = forest
    pixels = samples()[0]
    filled = np.where(np.isnan(pixels), np.arange(FEATURES, dtype=np.float32) / 10, pixels)
    expected = model.predict_proba(filled)
    np.testing.assert_allclose(read_forest(content).probabilities(pixels), expected, atol=1e-6)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["probabilities"], {"features": pixels})[0], expected, atol=1e-5)


def identity() -> dict[str, np.ndarray]:
    zeros, ones = np.zeros(FEATURES, np.float32), np.ones(FEATURES, np.float32)
    return {"medians": zeros, "centre": zeros, "inverse": ones}


def test_layers_are_the_network_of_scikit_learn() -> None:
    values, labels = samples(missing=0)
    net = MLPClassifier((16, 8), max_iter=200, tol=1e-2, random_state=0).fit(values, labels)
    ours = read_weights("mlp", layers(identity(), net.coefs_, net.intercepts_)).probabilities(values)
    np.testing.assert_allclose(ours, net.predict_proba(values), atol=1e-5)


def test_neighbours_vote_as_in_scikit_learn_and_all_classes_have_one_vote_more() -> None:
    values, labels = samples(missing=0)
    model = KNeighborsClassifier(5).fit(values[:1000], labels[:1000])
    votes = np.eye(4, dtype=np.float32)[labels[:1000]]
    ours = read_weights("knn", neighbours(identity(), values[:1000], votes, 5)).probabilities(values[1000:])
    np.testing.assert_allclose(ours * 6 - 0.25, model.predict_proba(values[1000:]) * 5, atol=1e-5)


def test_lightgbm_as_we_train_it_is_what_lightgbm_predicts_from_our_text() -> None:
    values, labels = samples()
    ours = classifier("lightgbm", iterations=5, balanced=False).fit(values, labels)
    theirs = lightgbm.Booster(model_str=ours.weights_.decode()).predict(values, num_threads=1)
    np.testing.assert_allclose(ours.predict_proba(values), theirs, atol=1e-5)
