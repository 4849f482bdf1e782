"""The change network as torch knows it: for training only, nothing that runs imports it."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (16, 32, 48, 64)
"""Channels at a half, a quarter, an eighth and a sixteenth of the resolution."""
_COARSE = 8
_WINDOW = 5
"""Side of the window over which what all differences have in common is taken out, in coarse pixels of 16 pixels."""
_STEADY = 1e-4
"""Least variance of the differences of the surroundings."""


def _once(inputs: int, outputs: int, size: int = 3, leak: float = 0.0) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.LeakyReLU(leak) if leak else nn.ReLU())


_LEAK = 0.1
"""Of the decoder. Without it, all that speaks against a change is zero where change is plain, and the odds of all plain
changes are one number: the bias of the last layer."""


class ChangeNetTorch(nn.Module):
    """A siamese U-Net: one encoder for both dates, and a decoder of what their features differ in and have in common.

    Differences are taken without their sign, so that the order of the dates does not matter. Of the first, linear,
    features the mean difference of the surroundings is also taken off, which is what a gain adds to logarithms of
    reflectance, and how much differences vary there is told beside: between seasons much, so that little is a change.
    The finest features are of half the resolution, made of all pixels; the last layer gives four pixels
    for each. A pixel depends on a bounded neighbourhood only.

    Source: R. Caye Daudt et al. (2018), Fully convolutional siamese networks for change detection (FC-Siam-diff).
    """

    def __init__(self, bands: int = 10, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        first = widths[0]
        self.told = nn.Linear(bands, first)
        self.stem = nn.Conv2d(bands + 1, first, 4, stride=2, padding=1)
        self.fine = _once(first, first)
        self.down = nn.ModuleList(
            nn.Sequential(_once(finer, coarser), _once(coarser, coarser)) for finer, coarser in pairwise(widths)
        )
        self.fuse = nn.ModuleList(_once((2 if level else 6) * width, width, 1) for level, width in enumerate(widths))
        self.up = nn.ModuleList(_once(coarser + finer, finer, leak=_LEAK) for finer, coarser in pairwise(widths))
        self.last = _once(first, first, leak=_LEAK)
        self.head = nn.Conv2d(first, 4, 3, padding=1)

    def forward(self, before: Tensor, after: Tensor, present: Tensor) -> Tensor:
        """Scores of change (n, 1, y, x): logarithms of odds.

        Args:
            before: (n, band + 1, y, x), stretched reflectance and, last, valid as 0 or 1; sides multiples of 16.
            after: the same of the other date.
            present: (n, band) 1 where the band is there.
        """
        both = torch.cat([before, after])
        linear = self.stem(both) + self.told(torch.cat([present, present]))[:, :, None, None]
        features = [self.fine(functional.relu(linear))]
        for step in self.down:
            features.append(step(functional.avg_pool2d(features[-1], 2)))
        compared = [_compared(x) for x in features]
        known = functional.avg_pool2d(before[:, -1:] * after[:, -1:], 2)
        compared[0] = torch.cat([compared[0], _peculiar(linear, known)], dim=1)
        fused = [step(x) for step, x in zip(self.fuse, compared, strict=True)]
        x = fused.pop()
        for step in reversed(self.up):
            x = step(torch.cat([_enlarged(x, 2), fused.pop()], dim=1))
        scores: Tensor = functional.pixel_shuffle(self.head(self.last(x)), 2)
        return scores


def _compared(x: Tensor) -> Tensor:
    """What two dates, one half of the first axis each, differ in and have in common."""
    before, after = x.chunk(2)
    return torch.cat([(before - after).abs(), before + after], dim=1)


def _peculiar(linear: Tensor, known: Tensor) -> Tensor:
    """Differences of the linear features as they are and without what the surroundings have too, sum, and variation."""
    before, after = linear.chunk(2)
    difference = (before - after) * known
    around, square, share = (
        functional.avg_pool2d(functional.avg_pool2d(x, _COARSE), _WINDOW, stride=1, padding=_WINDOW // 2)
        for x in (difference, difference**2, known)
    )
    common = around / (share + 1e-3)
    usual = (square / (share + 1e-3) - common**2).clamp(min=_STEADY).sqrt()
    own = difference - _enlarged(common, _COARSE) * known
    return torch.cat([difference.abs(), own.abs(), before + after, _enlarged(usual, _COARSE)], dim=1)


def _enlarged(x: Tensor, factor: int) -> Tensor:
    return functional.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)
