"""Completes the model card of the change network that ships: what training cannot know of itself.

python training/change_card.py WEIGHTS [--figures F]      F: as benchmarks/change_probability.py --json writes them
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

POOLED = "held-out pairs with changes that were planted or generated"
"""What the benchmark calls all pairs whose changes are known."""
TEXTS: dict[str, Any] = {
    "version": "1",
    "licence": "Apache-2.0",
    "source": "R. Caye Daudt et al. (2018), Fully convolutional siamese networks for change detection",
    "data": [
        "33TWL 2023-08-13, 15, 18, 20 at 120 m (columns below 700); T29UNU 2022-10-05 at 60 m; T33UUU 2017-02-16 (L1C,"
        " west); T33SVB 2018-12-29; three L1C scenes of Slovenia; a Belgian field series before June 2018; the Amazon:"
        " MIT or Apache-2.0 or GPL-3; Sundarbans 2020-01-27: GPL-3; contains modified Copernicus Sentinel data",
        "drawn: three landscapes of groundshift.testing through a year, covers of a table of spectra along patterns",
        "changes: put in by groundshift.training.insert; nothing is labelled by hand",
    ],
    "held out": [
        "to stop and to calibrate by: 33TWL columns from 700 on; T22HBD 2021-01-22; T33UUU east; Belgium from June"
        " 2018; another drawn landscape",
        "to measure: 33TWM, aquileia, bushfire, oscd-bercy; landscapes of groundshift.testing",
    ],
    "limits": [
        "trained on one processor in about an hour, on few real places, most of them in Europe",
        "months apart, much of what the seasons do is taken for change",
        "clouds and their shadows are to be masked; a thin veil is left alone, a cloud is a change",
        "a change that fills all that the network sees (64 pixels around) is told from other light by its colour alone",
        "its own probability seldom exceeds 0.85, also where change is plain: there its odds are the bias of its last"
        " layer; about half of small and weak planted changes stay below 0.5",
        "what is near the noise of the pair is not found: under about 15 % of the reflectance",
    ],
    "training": {
        "commands": [
            "python training/change_places.py --out places",
            "groundshift models train change places/train --held-out places/held-out: three rounds, the last below",
        ],
        "rounds": [
            "seed 1, rate 2e-3, stopped by hand at step 400; changes of at most a third of the window then",
            "seed 2, rate 1.8e-3, from the first, stopped by hand at step 300",
        ],
    },
}


def main() -> None:
    """Write the card anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--figures", type=Path)
    options = parser.parse_args()
    path = options.weights.with_suffix(".json")
    card = json.loads(path.read_text("utf-8"))
    last = {key: value for key, value in card["training"].items() if key not in TEXTS["training"]}
    figures = {**card.get("figures", {})}
    if options.figures:
        measured = json.loads(options.figures.read_text("utf-8"))
        figures["calibration"] = {POOLED: measured["accuracy"].pop(POOLED)}
        figures["benchmarks/change_probability.py"] = measured
    both = {**card, **TEXTS, "training": {**TEXTS["training"], "last round": last}, "figures": figures}
    both["sha256"] = card["sha256"]
    path.write_text(json.dumps(both, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
