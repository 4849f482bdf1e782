"""Writes the model card of a network beside its weights.

python training/card.py WEIGHTS [--figures figures.json]      figures: as benchmarks/cloud_masks.py --json writes them
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ground import BANDS

ROUNDS = [
    "--seed 5 --steps 1600 --batch 16 --pool 2500 --first 300 --fresh 4 --rate 2e-3, stopped at step 600 (checkpoint);"
    " water under a shadow was labelled as shadow half of the time then",
    "--seed 6 --steps 1200 --batch 12 --pool 2500 --first 400 --fresh 3 --rate 1.2e-3 --start CHECKPOINT",
    "--seed 8 --steps 1700 --batch 16 --first 200 --rate 1.5e-3 --start CHECKPOINT, with colours alone in 40 % of the"
    " examples (30 % before)",
    "--seed 11 --steps 4200 --batch 16 --first 400 --rate 1.5e-3 --start CHECKPOINT, with river sand and gravel among"
    " the covers",
    "--seed 21 --steps 1300 --batch 16 --first 400 --rate 5e-4 --start MEAN, the mean of the weights after the third"
    " (0.4) and the fourth (0.6) round",
]
SCRIPTS = {"cloud_unet": "cloud_unet", "preview_cloud": "preview_nets", "preview_haze": "preview_nets"}
BENCHMARKS = {"cloud_unet": "cloud_masks", "preview_cloud": "previews", "preview_haze": "previews"}
CLOUD_UNET: dict[str, Any] = {
    "name": "cloud_unet",
    "version": "1",
    "task": "probabilities of clear, cloud, thin cloud, shadow and snow for each pixel of a Sentinel-2 image",
    "licence": "Apache-2.0",
    "bands": list(BANDS),
    "classes": ["clear", "cloud", "thin cloud", "shadow", "snow"],
    "resolution_m": 20.0,
    "normalisation": (
        "2.5 (sqrt(reflectance clipped to 0..1.6) - 0.4); bands that are absent and pixels without data are 0; last"
        " layer: 1 = data; the second input tells which bands are present"
    ),
    "data": [
        "clear ground, real: T33UUU 2017-02-16 (L1C, two windows without cloud), T33SVB 2018-12-29, T22HBD 2021-01-22,"
        " clear parts of T29UNU 2022-10-05 (rows above 1200 at 60 m) and of 33TWL 2023-08-13, three L1C scenes of"
        " Slovenia (eo-learn's example patch): MIT or Apache-2.0; contains modified Copernicus Sentinel data",
        "clear ground, drawn: groundshift.testing, and covers of a table of spectra laid along real or random patterns",
        "clouds, shadows, cirrus, contrails, haze: simulated (two-stream clouds, shadows by sun and height, mean"
        " atmosphere), thickness from random fields and from the real clouds below",
        "clouds, real: T29UNU 2022-10-05, 33TWL 2023-08-10, 13 and 20, a Belgian field series before June 2018; labels"
        " by the brightness of blue over dark ground together with the products' own scene classification",
    ],
    "held out": [
        "cloud-chips (hand masks): never trained on, no threshold tuned on it; looked at after all rounds but the"
        " second; sand and gravel came among the drawn covers because of what was seen there; their scribbles were"
        " read with a wrong legend then",
        "aquileia, sundarbans, bushfire, oscd-bercy; tile 33TWM; 33TWL 2023-08-15 and 18; T29UNU rows from 1200 on;"
        " Belgium from June 2018",
        "clouds of groundshift.testing",
    ],
    "limits": [
        "trained on few real places, most of them in Europe: salt, sand, snow and tropics are known as drawn only",
        "with colours only, snow and ice are taken for cloud, many thin clouds are missed, and shadows under haze too",
        "trained for 9000 steps only, on one processor: more would help",
        "fog, smoke, dust and a veil that dims the whole image evenly are found in part",
        "made for pixels of about 20 m; at 60 m and more, small clouds and their shadows are missed",
        "shadows are not checked against the height of clouds and the sun here",
        "its probabilities of shadow are too low: masks count 0.3 as shadow, where F1 on simulated images is best",
    ],
}
_SEEN: dict[str, Any] = {
    "version": "1",
    "licence": "Apache-2.0",
    "bands": ["B04", "B03", "B02"],
    "resolution_m": 240.0,
    "normalisation": (
        "2.5 (sqrt(reflectance / 0.3558) - 0.5), reflectance clipped to 0..0.3558, for Level-1C after subtraction of"
        " 0.028, 0.045 and 0.075; pixels without data are 0; last layer: 1 = data"
    ),
    "data": [
        "the simulated and real images of cloud_unet, at 120 m and averaged to 240 m, on the same ground",
    ],
    "held out": ["tile 33TWM; 33TWL 2023-08-15 and 18; T29UNU rows from 1200 on; cloud-chips; clouds of"
                 " groundshift.testing"],
}  # fmt: skip
TEXTS: dict[str, dict[str, Any]] = {
    "cloud_unet": CLOUD_UNET,
    "preview_cloud": {
        "name": "preview_cloud",
        "task": "probabilities of clear and cloud for each pixel of a preview",
        "classes": ["clear", "cloud"],
        **_SEEN,
        "limits": ["snow and bright roofs may pass for cloud: colours alone do not tell them", "few real places"],
    },
    "preview_haze": {
        "name": "preview_haze",
        "task": "probabilities of clear and hazy air for each pixel of a preview, outside of clouds",
        "classes": ["clear", "hazy"],
        **_SEEN,
        "limits": ["haze is simulated in training: no labels of real haze were to be had"],
    },
}


def write_card(weights: Path, training: Mapping[str, Any], figures: Any = None) -> None:
    """Write the card with the checksum of the weights."""
    name = weights.stem
    card = {
        **TEXTS[name],
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "training": {"script": f"training/{SCRIPTS[name]}.py", **_plain(training)},
        "figures": figures or f"see benchmarks/{BENCHMARKS[name]}.py",
    }
    weights.with_suffix(".json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _plain(training: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("rounds", "seed", "steps", "batch", "pool", "first", "fresh", "rate", "start")
    return {key: str(value) if isinstance(value, Path) else value for key, value in training.items() if key in kept}


def main() -> None:
    """Write the card again, with the settings of training that it states."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--figures", type=Path)
    parser.add_argument("--rounds", action="store_true", help="trained in the rounds that this script lists")
    options = parser.parse_args()
    old = json.loads(options.weights.with_suffix(".json").read_text("utf-8"))
    figures = json.loads(options.figures.read_text("utf-8")) if options.figures else old["figures"]
    training = {"rounds": ROUNDS} if options.rounds else old["training"]
    write_card(options.weights, training, figures)


if __name__ == "__main__":
    main()
