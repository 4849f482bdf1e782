"""The temporal network: learnt with torch, run without it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from groundshift.landcover.classifiers import classifier

STEPS = 8


def series(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two bands whose season is early, late, or not there; (band, step) in a row."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(1, 4, number)
    day = np.arange(STEPS) - np.array([2, 5, 99])[classes - 1][:, np.newaxis]
    season = np.exp(-(day**2) / 2.0)
    values = np.stack([0.1 + 0.3 * season, 0.3 - 0.2 * season], axis=1) + rng.normal(0, 0.05, (number, 2, STEPS))
    return values.reshape(number, -1).astype(np.float32), classes


def test_it_learns_seasons_and_runs_without_torch(tmp_path: Path) -> None:
    model = classifier("tempcnn", steps=STEPS, epochs=6).fit(*series(600, 0))
    values, classes = series(200, 1)
    values[::5, 3] = np.nan
    found = model.predict_proba(values)
    assert (model.predict(values) == classes).mean() > 0.9
    (tmp_path / "weights").write_bytes(model.weights_)
    np.save(tmp_path / "values.npy", values)
    code = (
        "import sys, numpy as np; sys.modules['torch'] = None\n"
        "from groundshift.landcover.trained import read_weights\n"
        "from pathlib import Path\n"
        "weights = read_weights('tempcnn', Path('weights').read_bytes())\n"
        "np.save('found.npy', weights.probabilities(np.load('values.npy')))\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    again = np.load(tmp_path / "found.npy")
    np.testing.assert_array_equal(again.argmax(axis=1), found.argmax(axis=1))


def test_the_same_seed_gives_the_same_network() -> None:
    one, two = (classifier("tempcnn", steps=STEPS, epochs=1).fit(*series(100, 0)) for _ in range(2))
    assert one.weights_ == two.weights_
