"""Networks as they run: ONNX on the processor, one thread, the weights checked once a process."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import ProductError
from groundshift.nets.card import Card, verified

WEIGHTS = Path(__file__).resolve().parent / "weights"


class Network:
    """A network that is ready to run; one a process, see :func:`load`."""

    def __init__(self, card: Card, session: Any) -> None:
        self.card = card
        self._session = session

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the first output for named inputs."""
        first: NDArray[np.float32] = self._session.run(None, dict(inputs))[0]
        return first


@cache
def load(weights: Path, *, keeps_memory: bool = False) -> Network:
    """Open a network, once a process.

    Args:
        weights: ONNX file, its card beside it.
        keeps_memory: between runs, as much as the largest took: faster where a process runs many alike.

    Raises:
        MissingInputError: weights or card are absent.
        ProductError: they are not those of the card, or not a network.
    """
    card, content = verified(weights)
    return Network(card, opened(content, str(weights), keeps_memory=keeps_memory))


def opened(content: bytes, name: str, threads: int = 1, *, keeps_memory: bool = False) -> Any:
    """Return the ONNX Runtime session of the bytes of a network.

    Args:
        content: of an ONNX file.
        name: what messages call it.
        threads: that a run of it takes.
        keeps_memory: as for :func:`load`.

    Raises:
        ProductError: not a network.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Work is spread over processes.
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = keeps_memory
    # A plan for each shape that comes along would hold a block as large as all its layers.
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ProductError(f"{name}: not a network that ONNX Runtime can run ({error}).") from error
