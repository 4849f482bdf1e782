"""The temporal convolutional network as torch knows it: for training only, nothing that runs imports it."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Float32 = NDArray[np.float32]

CHANNELS = 64
KERNEL = 5
DENSE = 256
DROPOUT = 0.5


@dataclass(frozen=True, eq=False)
class Training:
    """How the network is trained, beside its samples."""

    classes: int
    epochs: int
    seed: int
    threads: int
    medians: Float32
    """(band * step,) what the exported network puts in place of missing values."""
    batch: int = 256
    rate: float = 2e-3
    """Highest learning rate of the one cycle."""


class TempCnnTorch(nn.Module):  # type: ignore[misc]
    """Three convolutions over time and a dense layer; takes raw series, and scales every band by itself.

    Source: C. Pelletier, G. I. Webb, F. Petitjean (2019), Temporal convolutional neural network for the classification
    of satellite image time series; Remote Sensing 11(5):523.
    """

    def __init__(self, bands: int, steps: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(bands, 1))
        self.register_buffer("inverse", torch.ones(bands, 1))
        layers: list[nn.Module] = []
        for inputs in (bands, CHANNELS, CHANNELS):
            layers += [nn.Conv1d(inputs, CHANNELS, KERNEL, padding=KERNEL // 2), nn.BatchNorm1d(CHANNELS), nn.ReLU()]
            layers.append(nn.Dropout(DROPOUT))
        dense = [nn.Linear(CHANNELS * steps, DENSE), nn.BatchNorm1d(DENSE), nn.ReLU(), nn.Dropout(DROPOUT)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), *dense, nn.Linear(DENSE, classes))

    def forward(self, series: Tensor) -> Tensor:
        """Scores (sample, class) of series (sample, band, step)."""
        scores: Tensor = self.layers((series - self.centre) * self.inverse)
        return scores


class _FromFeatures(nn.Module):  # type: ignore[misc]
    """The whole way from features (sample, band * step), NaN = missing, to probabilities."""

    def __init__(self, net: TempCnnTorch, medians: Tensor, shape: tuple[int, int]) -> None:
        super().__init__()
        self.net, self.shape = net, shape
        self.register_buffer("medians", medians)

    def forward(self, features: Tensor) -> Tensor:
        filled = torch.where(torch.isnan(features), self.medians, features)
        return torch.softmax(self.net(filled.reshape(-1, *self.shape)), dim=1)


def train(series: Float32, index: NDArray[np.integer], weight: NDArray[np.float64], how: Training) -> bytes:
    """Train the network and return it as ONNX, from ``features`` to ``probabilities``.

    Args:
        series: (sample, band, step) without missing values.
        index: (sample,) class, from 0.
        weight: (sample,) how much a sample counts.
        how: everything else.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(how.threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(how.seed)
            net = _trained(series, index, weight, how)
    finally:
        torch.set_num_threads(threads)
    return _exported(_FromFeatures(net, torch.from_numpy(how.medians), series.shape[1:]))


def _trained(series: Float32, index: NDArray[np.integer], weight: NDArray[np.float64], how: Training) -> TempCnnTorch:
    net = TempCnnTorch(series.shape[1], series.shape[2], how.classes)
    spread = series.std(axis=(0, 2), dtype=np.float64)
    net.centre[:, 0] = torch.from_numpy(series.mean(axis=(0, 2), dtype=np.float64))
    net.inverse[:, 0] = torch.from_numpy(1 / np.where(spread > 0, spread, 1))
    data = torch.from_numpy(series), torch.from_numpy(index.astype(np.int64)), torch.from_numpy(weight).float()
    # A last batch of one sample has no variance to normalise by.
    batches = max(round(len(series) / how.batch), 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=how.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, how.rate, total_steps=max(batches * how.epochs, 2))
    net.train()
    for _ in range(how.epochs):
        for rows in torch.randperm(len(series)).tensor_split(batches):
            values, labels, weights = (each[rows] for each in data)
            loss = (functional.cross_entropy(net(values), labels, reduction="none") * weights).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    net.eval()
    return net


def _exported(net: _FromFeatures) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            net.eval(),
            (net.medians[None].repeat(2, 1),),
            file,
            input_names=["features"],
            output_names=["probabilities"],
            dynamic_axes={"features": {0: "samples"}, "probabilities": {0: "samples"}},
            opset_version=17,
            dynamo=False,
        )
    return file.getvalue()
