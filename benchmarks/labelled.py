"""Detection on pairs whose change is known: urban change in Paris, and a bushfire.

- oscd-bercy: labels of urban change only (0.7 % of the area) between November and August: whatever the seasons changed
  counts as false.
- bushfire-2018-2019 has no labels. Its truth is derived from the pair itself: near infrared below 0.62 of what it was
  (5 x 5 median, more than 300 pixels). It flatters all methods alike, and says nothing of small changes.

Both pairs come without a scene classification, so clouds and smoke are not masked.

    python benchmarks/labelled.py [--quick]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from _methods import CONFIDENCE, default, textbook
from _pairs import Mask, Pair, bercy, burnt, bushfire, need
from _tables import table
from groundshift.accuracy.confusion import auc, confusion, scores

FOLDERS = ("oscd-bercy", "bushfire-2018-2019")


def rows(pair: Pair, truth: Mask) -> Iterator[list[object]]:
    """One line a method."""
    valid = pair.valid
    for name, detect in (("default", default), ("textbook", textbook)):
        found = detect(pair)
        score = scores(confusion(found.changed, truth, valid))
        areas = [100 * float(each[valid].mean()) for each in (truth, found.changed)]
        ranked = [auc(each[valid], truth[valid]) for each in (found.amplitude, found.statistic)]
        scored = [score[key] for key in ("f1", "precision", "recall")]
        yield [f"{pair.name}, {name}", 100 * pair.masked_share, *areas, *scored, *ranked]


def main() -> int:
    """Measure both pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="no difference: it takes seconds")
    parser.parse_args()
    need(*FOLDERS)
    fire = bushfire()
    head = ["pair, method", "255, %", "truth, %", "called, %", "F1", "precision", "recall"]
    head += ["AUC amplitude", "AUC statistic"]
    found = [*rows(*bercy()), *rows(fire, burnt(fire))]
    table(f"Known changes, four bands, {CONFIDENCE} %", head, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
