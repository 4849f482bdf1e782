"""Takes the weights of a network back out of its ONNX file, to train it further."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from groundshift.nets.unet_torch import UNetTorch


def recover(net: UNetTorch, path: Path, pixels: Tensor, present: Tensor) -> None:
    """Fill a network with the weights of a file, in which each normalisation is folded into the convolution before it.

    Args:
        net: gets the weights; gives the same scores as the file afterwards.
        path: ONNX file that ``export`` wrote.
        pixels, present: examples, by which the normalisations are set so that they change nothing.
    """
    import onnx
    from onnx import numpy_helper

    stored = {
        one.name.removesuffix("_half"): torch.from_numpy(numpy_helper.to_array(one).astype(np.float32))
        for one in onnx.load(str(path)).graph.initializer
    }
    for name, layer in (("told", net.told), ("stem", net.stem), ("head", net.head)):
        layer.weight.data.copy_(stored.pop(f"net.{name}.weight"))
        layer.bias.data.copy_(stored.pop(f"net.{name}.bias"))
    folded = iter(stored.values())
    steps = [layer for block in (*net.down, *reversed(net.up)) for layer in block]
    hooks = []
    for convolution, norm in zip(steps[::3], steps[1::3], strict=True):
        convolution.weight.data.copy_(next(folded))
        hooks.append(norm.register_forward_pre_hook(_neutral(next(folded))))
    net.eval()
    with torch.no_grad():
        net(pixels, present)
    for hook in hooks:
        hook.remove()
    net.train()


def _neutral(bias: Tensor):  # type: ignore[no-untyped-def]
    """Set a normalisation, as its first input comes, so that it adds a bias and nothing else."""

    def hook(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        (x,) = inputs
        mean, variance = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), unbiased=False)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.data.copy_(torch.sqrt(variance + norm.eps))
        norm.bias.data.copy_(bias + mean)

    return hook
