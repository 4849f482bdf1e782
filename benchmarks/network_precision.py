"""The change network in eight bits, and what else could make it faster: each as a ratio to the weights that ship.

Processor time of one thread on tiles as they run, and scores on held-out pairs of change_probability.py. Also the share
of the encoder, which a series would save for every date but its first and last.

    python benchmarks/network_precision.py [--weights ONNX] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime import quantization

from _pairs import BANDS, need
from _planting import burn, plant
from _tables import table
from change_probability import Answer, Case, alpine, scored
from groundshift.change.network import ChangeNet, stretch
from groundshift.nets.runtime import opened

KNOWN = 10
TILE = (1152, 512)
"""Rows and columns of a tile, halo included."""
PART = (slice(192, 704), slice(192, 704))
"""Of 33TWM, that is scored."""
Inputs = dict[str, NDArray[np.float32]]


def inputs(before: NDArray[np.float32], after: NDArray[np.float32]) -> Inputs:
    """What the network takes, of two images of B02, B03, B04, B08 (band, y, x)."""
    told = np.zeros((1, KNOWN), np.float32)
    found = {}
    for name, image in (("before", before), ("after", after)):
        pixels = np.zeros((1, KNOWN + 1, *image.shape[1:]), np.float32)
        for layer, place in zip(image, (0, 1, 2, 6), strict=True):
            pixels[0, place] = stretch(layer)
            told[0, place] = 1
        pixels[0, -1] = 1
        found[name] = pixels
    return {**found, "present": told}


def examples(count: int, side: int = 256) -> Iterator[Inputs]:
    """Windows of the Alps with changes in them, to learn ranges of values from; scores are of other draws."""
    rng = np.random.default_rng(0)
    scene = plant(alpine(13, 15), seed=90, share=0.03).pair
    rows, columns = scene.valid.shape
    while count:
        y, x = int(rng.integers(rows - side)), int(rng.integers(columns - side))
        here = (slice(y, y + side), slice(x, x + side))
        if scene.valid[here].mean() > 0.8:
            count -= 1
            known = scene.valid[here]
            yield inputs(scene.before[:, *here] * known, scene.after[:, *here] * known)


class _Reader(quantization.CalibrationDataReader):
    def __init__(self) -> None:
        self._left = examples(8)

    def get_next(self) -> Inputs | None:
        return next(self._left, None)


def single(path: Path) -> onnx.ModelProto:
    """The network with weights of 32 bits, which those of 16 that are cast when it is opened stand for."""
    model = onnx.load(str(path))
    graph = model.graph
    halves = {each.name: each for each in graph.initializer}
    for cast in [node for node in graph.node if node.op_type == "Cast" and node.input[0] in halves]:
        values = numpy_helper.to_array(halves[cast.input[0]]).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(values, cast.output[0]))
        graph.initializer.remove(halves[cast.input[0]])
        graph.node.remove(cast)
    return model


def variants(weights: Path, folder: Path) -> dict[str, Path]:
    """Files of the network in other precisions."""
    plain = folder / "single.onnx"
    onnx.save(single(weights), str(plain))
    found = {"as it ships": weights}
    for name, save in _quantised().items():
        found[name] = folder / f"{name.replace(' ', '-').replace(',', '')}.onnx"
        save(plain, found[name])
    return found


def _quantised() -> dict[str, Callable[[Path, Path], object]]:
    static: dict[str, Any] = {"op_types_to_quantize": ["Conv"], "per_channel": True}
    return {
        "int8, ranges learnt": lambda plain, to: quantization.quantize_static(
            str(plain), str(to), _Reader(), quant_format=quantization.QuantFormat.QDQ, **static
        ),
        "int8, ranges of each run": lambda plain, to: quantization.quantize_dynamic(
            str(plain), str(to), op_types_to_quantize=["Conv"], weight_type=quantization.QuantType.QUInt8
        ),
    }


def seconds(session: Any, given: Inputs, rounds: int) -> float:
    """Median processor time of a run."""
    session.run(None, given)
    took = []
    for _ in range(rounds):
        start = time.process_time()
        session.run(None, given)
        took.append(time.process_time() - start)
    return statistics.median(took)


def encoder(plain: Path, folder: Path) -> Path:
    """The part that one date needs of its own: for both dates, as it runs."""
    model = onnx.load(str(plain))
    first = next(node for node in model.graph.node if node.op_type == "Abs")
    split = next(k for k, node in enumerate(model.graph.node) if node.name == first.name)
    last = [node.output[0] for node in model.graph.node[:split] if node.op_type == "Relu"][-1]
    target = folder / "encoder.onnx"
    onnx.utils.extract_model(str(plain), str(target), ["before", "after", "present"], [last])
    return target


def cases() -> list[Case]:
    """Small changes and a burn, put into the clear pair of 33TWM."""
    clear = alpine(13, 15)
    parts = (clear.before[:, *PART], clear.after[:, *PART], clear.valid[PART])
    clear = replace(clear, before=parts[0], after=parts[1], valid=parts[2])
    planted, burned = plant(clear, seed=0), burn(clear, 0.05, 1.0, seed=3)
    return [
        Case("planted", planted.pair, planted.number > 0),
        Case("burnt", burned.pair, burned.number > 0),
        Case("clear", clear, np.zeros_like(clear.valid)),
    ]


def judged(path: Path, seen: list[Case]) -> list[float | None]:
    """AP and F1 of the pairs with changes; percent called change in the one without."""
    session, row = opened(path.read_bytes(), path.name, keeps_memory=True), []
    for case in seen:
        found = _probability(session, case)
        if not case.truth.any():
            row.append(100 * float((found >= 0.5)[case.pair.valid].mean()))
            continue
        scores = scored(case.truth, Answer(found, found >= 0.5, probable=True), case.pair.valid)
        row += [scores[1], scores[2]]
    return row


def _probability(session: Any, case: Case) -> NDArray[np.float32]:
    valid, sides = case.pair.valid, case.pair.valid.shape
    spare = [(0, 0), *((0, -side % 16) for side in sides)]
    dates = [np.pad(np.nan_to_num(image) * valid, spare) for image in (case.pair.before, case.pair.after)]
    given = inputs(*dates)
    known = np.pad(valid, spare[1:]).astype(np.float32)
    for name in ("before", "after"):
        given[name] *= known
    found: NDArray[np.float32] = session.run(None, given)[0][0, 0, : sides[0], : sides[1]]
    return found


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=ChangeNet().weights, help="ONNX file (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (%(default)s)")
    options = parser.parse_args()
    need("alps-2023")
    rng = np.random.default_rng(1)
    before = rng.uniform(0.02, 0.4, (len(BANDS), *TILE)).astype(np.float32)
    given, seen, rows = inputs(before, before * np.float32(1.05)), cases(), []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        found = variants(options.weights, folder)
        whole = 0.0
        for name, path in found.items():
            took = seconds(opened(path.read_bytes(), name, keeps_memory=True), given, options.rounds)
            whole = whole or took
            rows.append([name, TILE[0] * TILE[1] / took / 1e6, whole / took, *judged(path, seen)])
        part = opened(encoder(folder / "single.onnx", folder).read_bytes(), "encoder", keeps_memory=True)
        share = seconds(part, given, options.rounds) / whole
    head = ["network", "Mpx/s", "speed", "planted AP", "F1", "burnt AP", "F1", "clear %"]
    table("One thread, halo counted; the rest on pairs of 33TWM", head, rows)
    print(f"\nThe encoder takes {share:.0%}: a long series that kept its features would take {1 - share / 2:.0%}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
