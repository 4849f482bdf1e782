"""The U-Net as torch knows it: for training only, nothing that runs imports it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (16, 32, 64, 96, 128)
"""Channels from full size down to a sixteenth."""


def _twice(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inputs, outputs):
        layers += [nn.Conv2d(width, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class UNetTorch(nn.Module):
    """Bands that are absent are zeros; a bias by the bands present tells them from dark ones.

    There is no pooling over the whole image, so that a pixel depends on a bounded neighbourhood only.

    Source: O. Ronneberger et al. (2015), U-Net; here with mean pooling and bilinear upsampling.
    """

    def __init__(self, bands: int = 13, classes: int = 5, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.told = nn.Linear(bands, widths[0])
        self.stem = nn.Conv2d(bands + 1, widths[0], 3, padding=1)
        self.down = nn.ModuleList(_twice(widths[max(level - 1, 0)], width) for level, width in enumerate(widths))
        self.up = nn.ModuleList(_twice(one + other, one) for one, other in pairwise(widths))
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, pixels: Tensor, present: Tensor) -> Tensor:
        """Scores of the classes (n, class, y, x).

        Args:
            pixels: (n, band + 1, y, x), stretched reflectance and, last, valid as 0 or 1; sides multiples of 16.
            present: (n, band) 1 where the band is there.
        """
        x = functional.relu(self.stem(pixels) + self.told(present)[:, :, None, None])
        kept: list[Tensor] = []
        for level, step in enumerate(self.down):
            x = step(functional.avg_pool2d(x, 2) if level else x)
            kept.append(x)
        kept.pop()
        for step in reversed(self.up):
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = step(torch.cat([x, kept.pop()], dim=1))
        scores: Tensor = self.head(x)
        return scores


class _Probable(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *inputs: Tensor) -> Tensor:
        scores = self.net(*inputs)
        return torch.sigmoid(scores) if scores.shape[1] == 1 else torch.softmax(scores, dim=1)


def export(net: nn.Module, inputs: dict[str, Tensor], path: Path) -> None:
    """Write a network as ONNX: probabilities for images of any size, weights stored as 16-bit floats.

    Args:
        net: trained; gives scores (n, class, y, x), softmax makes them probabilities; of one class: the sigmoid.
        inputs: examples of what it takes, by name; those of four axes (n, layer, y, x) are images.
        path: file to write.
    """
    import onnx

    sides = {2: "rows", 3: "columns"}
    images = [name for name, example in inputs.items() if example.ndim == 4]
    torch.onnx.export(
        _Probable(net).eval(),
        tuple(inputs.values()),
        str(path),
        input_names=list(inputs),
        output_names=["probabilities"],
        dynamic_axes=dict.fromkeys([*images, "probabilities"], sides),
        opset_version=17,
        dynamo=False,
    )
    model = onnx.load(str(path))
    _halve(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _halve(model: Any) -> None:
    """Store large weights as 16-bit floats that are cast when the network is opened."""
    from onnx import TensorProto, helper, numpy_helper

    graph, casts = model.graph, []
    for weight in list(graph.initializer):
        values = numpy_helper.to_array(weight)
        if values.dtype != "float32" or values.size < 256:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype("float16"), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)
