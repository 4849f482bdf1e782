"""eo-learn's land cover of a patch with its own tasks; runs in an environment of eo-learn, see landcover_chain.py."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np

warnings.simplefilter("ignore")

import lightgbm  # noqa: E402
from eolearn.core import (  # noqa: E402
    EOPatch,
    EOTask,
    FeatureType,
    MergeFeatureTask,
    OverwritePermission,
    SaveTask,
)
from eolearn.features import NormalizedDifferenceIndexTask, SimpleFilterTask  # noqa: E402
from eolearn.features.extra.interpolation import LinearInterpolationTask  # noqa: E402

RANGE = ("2017-01-01", "2018-01-01", 16)
BANDS, FEATURES, VALID = (FeatureType.DATA, "BANDS"), (FeatureType.DATA, "FEATURES"), (FeatureType.MASK, "IS_VALID")
INDICES = {"NDVI": (3, 2), "NDWI": (1, 3)}
CLASS, CHANCES = (FeatureType.MASK_TIMELESS, "CLASS"), (FeatureType.DATA_TIMELESS, "CHANCES")
THREADS = 2


class NormTask(EOTask):
    """Euclidean norm of all bands."""

    def execute(self, patch: EOPatch) -> EOPatch:
        patch[FeatureType.DATA, "NORM"] = np.sqrt(np.sum(patch[BANDS] ** 2, axis=-1))[..., np.newaxis]
        return patch


class PredictTask(EOTask):
    """Classes and probabilities of the pixels of a patch."""

    def __init__(self, model: lightgbm.Booster) -> None:
        self.model = model

    def execute(self, patch: EOPatch) -> EOPatch:
        values = patch[FEATURES]
        _, height, width, _ = values.shape
        samples = np.moveaxis(values, 0, -1).reshape(height * width, -1)
        found = self.model.predict(samples, num_threads=THREADS)
        patch[CLASS] = (found.argmax(axis=1) + 1).astype(np.uint8).reshape(height, width, 1)
        patch[CHANCES] = found.astype(np.float32).reshape(height, width, -1)
        return patch


def main() -> None:
    folder = Path(sys.argv[1])
    interpolation = LinearInterpolationTask(FEATURES, parallel=True, mask_feature=VALID, resample_range=RANGE)
    model = lightgbm.Booster(model_file=str(folder / "model.txt"))
    compiled(interpolation)
    clock = time.perf_counter
    parts: dict[str, float] = {}
    begin, cpu, last = clock(), time.process_time(), clock()

    def done(name: str) -> None:
        nonlocal last
        parts[name], last = clock() - last, clock()

    patch = EOPatch.load(str(folder / "patch"), features=[BANDS, VALID])
    done("loading")
    for name, bands in INDICES.items():
        patch = NormalizedDifferenceIndexTask(BANDS, (FeatureType.DATA, name), bands).execute(patch)
    patch = NormTask().execute(patch)
    patch = MergeFeatureTask({FeatureType.DATA: ["BANDS", *INDICES, "NORM"]}, FEATURES).execute(patch)
    patch = SimpleFilterTask(VALID, lambda frame: frame.mean() >= 0.8, [FEATURES, VALID]).execute(patch)
    done("features")
    patch = interpolation.execute(patch)
    done("interpolation")
    patch = PredictTask(model).execute(patch)
    done("prediction")
    SaveTask(
        str(folder),
        features=[CLASS, CHANCES],
        overwrite_permission=OverwritePermission.OVERWRITE_FEATURES,
    ).execute(patch, eopatch_folder="patch")
    done("saving")
    facts = {"seconds": clock() - begin, "cpu": time.process_time() - cpu, "parts": parts}
    print(json.dumps(facts | {"version": importlib.metadata.version("eo-learn")}))


def compiled(task: EOTask) -> None:
    """Let numba compile what it will."""
    from datetime import datetime

    from sentinelhub import CRS, BBox

    dates = [datetime(2017, month, 15) for month in (1, 3, 6, 9)]
    small = EOPatch(bbox=BBox((500000, 5000000, 510000, 5010000), CRS.UTM_33N), timestamps=dates)
    small[FEATURES] = np.random.default_rng(0).random((4, 4, 4, 9), np.float32)
    small[VALID] = np.ones((4, 4, 4, 1), bool)
    task.execute(small)


if __name__ == "__main__":
    main()
