"""Training without labels: examples are what they say, and the command makes weights that run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from groundshift.cli.models import check_installed
from groundshift.errors import InputError, UsageError
from groundshift.training import disturb, places
from groundshift.training.examples import Maker, Pool, _doubtful, kept
from groundshift.training.fields import SIZE, Bank
from groundshift.training.insert import magnitude, peculiar
from groundshift.training.places import BANDS, Place


@pytest.fixture(scope="module")
def bank() -> Bank:
    return Bank(1)


@pytest.fixture
def place() -> Place:
    """Two days of one ground of four bands, smaller than a window, with a hole."""
    rng = np.random.default_rng(2)
    ground = rng.uniform(0.02, 0.4, (4, 100, 90)).astype(np.float32)
    clear = np.ones((2, 100, 90), bool)
    clear[1, :20, :20] = False
    images = np.stack([ground, ground * np.float32(1.1)])
    return Place(
        name="field", bands=("B02", "B03", "B04", "B08"), images=images, clear=clear, days=np.array([0.0, 3.0])
    )


def test_examples_are_pairs_with_truth(bank: Bank, place: Place) -> None:
    maker = Maker([place], bank, np.random.default_rng(3))
    made = [maker.make() for _ in range(12)]
    for example in made:
        assert example.before.shape == example.after.shape == (len(BANDS), SIZE, SIZE)
        assert np.isfinite(example.before).all()
        assert not example.before[~example.present].any()
        assert set(np.unique(example.truth)) <= {0, 1, 255}
    truths = np.stack([example.truth for example in made])
    assert 0 < (truths == 1).mean() < 0.5
    assert any(not (example.truth == 1).any() for example in made)


def test_the_same_seed_makes_the_same_examples(bank: Bank, place: Place) -> None:
    one, other = (Maker([place], bank, np.random.default_rng(4)).make() for _ in range(2))
    np.testing.assert_array_equal(one.before, other.before)
    np.testing.assert_array_equal(one.truth, other.truth)


def test_a_batch_tells_which_bands_there_are(bank: Bank, place: Place) -> None:
    maker, pool = Maker([place], bank, np.random.default_rng(5)), Pool(4)
    for _ in range(6):
        pool.put(maker.make())
    assert len(pool) == 4
    before, after, told, truth = pool.batch(np.random.default_rng(6), 4)
    assert before.shape == after.shape == (4, len(BANDS) + 1, SIZE, SIZE)
    assert (told.sum(axis=1) >= 3).all()
    for k in range(4):
        assert not before[k, :-1][told[k] == 0].any()
        assert (truth[k][before[k, -1] == 0] == 255).all()
    np.testing.assert_array_equal(before[:, -1], after[:, -1])


def test_three_bands_are_kept_at_least() -> None:
    rng, four = np.random.default_rng(7), np.isin(BANDS, ("B02", "B03", "B04", "B08"))
    assert min((kept(rng, four) & four).sum() for _ in range(200)) >= 3


def test_what_disturbs_is_smaller_than_a_change(bank: Bank) -> None:
    rng = np.random.default_rng(8)
    image = rng.uniform(0.05, 0.3, (len(BANDS), SIZE, SIZE)).astype(np.float32)
    there = np.ones(len(BANDS), bool)
    found = [
        float(np.median(magnitude(image, disturb.disturbed(rng, bank, image, real=True), there))) for _ in range(8)
    ]
    assert max(found) < 0.6
    assert np.median(found) < 0.25


@pytest.mark.parametrize("by", [0.0, 0.5, -0.25, 1.3])
def test_a_ramp_is_shifted_by_what_was_asked(by: float) -> None:
    ramp = np.broadcast_to(np.arange(40, dtype=np.float32), (1, 40, 40))
    np.testing.assert_allclose(disturb.shifted(ramp, 0, by)[0, :, 5:-5], ramp[0, :, 5:-5] - by, atol=1e-4)


def test_places_are_kept_in_files(tmp_path: Path, place: Place) -> None:
    places.save(place, tmp_path / "field.npz")
    again = places.load(tmp_path / "field.npz")
    assert (again.name, again.bands, again.pairs) == ("field", place.bands, [(0, 1), (1, 0)])
    np.testing.assert_allclose(again.images, place.images, atol=2e-4)
    (tmp_path / "other.npz").write_bytes(b"no")
    with pytest.raises(InputError, match=r"other\.npz: not a place to train on"):
        places.load(tmp_path / "other.npz")


def seasons() -> Place:
    """Three days of one ground, two of them near, with a cloud that no mask found on the second."""
    rng = np.random.default_rng(5)
    ground = rng.uniform(0.05, 0.2, (4, 140, 140)).astype(np.float32)
    images = np.stack([ground, ground * np.float32(1.1), ground * np.float32(1.6)])
    images[1, :, 40:80, 50:90] = 0.7
    days, clear = np.array([0.0, 3.0, 90.0]), np.ones((3, 140, 140), bool)
    return Place(name="year", bands=("B02", "B03", "B04", "B08"), images=images, clear=clear, days=days)


def test_dates_of_different_seasons_are_far_pairs() -> None:
    assert seasons().pairs == [(0, 1), (1, 0)]
    assert seasons().far_pairs == [(0, 2), (1, 2), (2, 0), (2, 1)]
    rng = np.random.default_rng(1)
    for far in (True, False):
        found = places.cut(rng, seasons(), twice=True, far=far)
        assert found is not None
        assert found.far == far


def test_what_stands_out_of_a_real_pair_is_neither_change_nor_none() -> None:
    found = places.cut(np.random.default_rng(1), seasons(), twice=True)
    assert found is not None
    assert found.after is not None
    cloud = (found.before.max(axis=0) == 0.7) | (found.after.max(axis=0) == 0.7)
    cloudy = np.asarray(_doubtful(found, found.present))
    assert cloudy[ndimage.binary_erosion(cloud)].all()
    assert not cloudy[~ndimage.binary_dilation(cloud, iterations=2)].any()


def test_a_gain_is_nothing_peculiar() -> None:
    rng, there = np.random.default_rng(8), np.ones(len(BANDS), bool)
    image = rng.uniform(0.3, 0.5, (len(BANDS), 30, 30)).astype(np.float32)
    everywhere = np.ones((30, 30), bool)
    assert peculiar(image, image * np.float32(1.2), there, everywhere).max() < 0.02
    assert magnitude(image, image * np.float32(1.2), there).min() > 0.15


def test_a_lower_sun_makes_nothing_brighter() -> None:
    rng = np.random.default_rng(8)
    image = rng.uniform(0.05, 0.3, (len(BANDS), SIZE, SIZE)).astype(np.float32)
    found = disturb.low_sun(rng, image)
    assert (found <= image).all()
    assert (found > 0).all()


def test_without_its_packages_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(
        UsageError, match=r"training needs tensorboard, which is not installed: pip install 'groundshift\[train\]'"
    ):
        check_installed()


def test_the_command_makes_weights_that_run(tmp_path: Path, place: Place) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("tensorboard")
    from groundshift.change.network import ChangeNet
    from groundshift.cli.main import _groundshift as command
    from groundshift.cli.main import guarded

    places.save(place, tmp_path / "field.npz")
    out = tmp_path / "net"
    line = ["models", "train", "change", str(tmp_path / "field.npz"), "--outdir", str(out), "--quiet"]
    assert guarded(command, [*line, "--steps", "2", "--batch", "2", "--examples", "2"], "groundshift") == 0
    card = json.loads((out / "change_unet.json").read_text("utf-8"))
    assert card["training"]["steps"] == 2
    assert any((out / "log").iterdir())
    before = np.full((3, 40, 40), 0.1, np.float32)
    found = ChangeNet(weights=out / "change_unet.onnx").probability(
        before, before, ("B02", "B03", "B04"), np.ones((40, 40), bool)
    )
    assert ((found >= 0) & (found <= 1)).all()
    assert guarded(command, [*line, "--start", "nowhere.pt"], "groundshift") == 2
