"""Trains the two networks that look at previews, a U-Net for cloud and three convolutions for haze; writes weights.

    python training/preview_nets.py --data ../shared/data [--steps 1500] [--out src/groundshift/nets/weights]

Needs `pip install groundshift[train]`. Pixels are of about 240 m: simulated and real images, averaged.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from card import write_card
from ground import PATH, SIZE, Bank, Ground
from groundshift.clouds.preview import stretch
from groundshift.nets.unet_torch import UNetTorch, export
from real import Real
from sky import CLEAR, CLOUD, IGNORE, SHADOW, SNOW, THIN, Example, simulate

COLOURS = (3, 2, 1)
HALF = SIZE // 2
REAL_SHARE = 0.25
PIXEL_M = 120.0
HAZY, CLEAN = 0.03, 0.012
"""Reflectance that a veil adds to blue: from which it is haze, up to which it is none."""


class Cloud(UNetTorch):
    """The U-Net, small, of three colours that are always there."""

    def __init__(self) -> None:
        super().__init__(bands=3, classes=2, widths=(12, 24, 48, 64))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Scores of clear and cloud (n, 2, y, x); sides multiples of 8."""
        return super().forward(pixels, torch.ones(1, 3))


class Haze(nn.Sequential):
    """Hazy or not, for each pixel, from 13 x 13 pixels around it: three convolutions."""

    def __init__(self) -> None:
        steps = [nn.Conv2d(inputs, outputs, 5, padding=2) for inputs, outputs in ((4, 24), (24, 24), (24, 2))]
        super().__init__(steps[0], nn.ReLU(), steps[1], nn.ReLU(), steps[2])


class Maker:
    """Makes examples: pixels (4, y, x), cloud and haze (2, y, x) as 0, 1 or IGNORE."""

    def __init__(self, data: Path, seed: int) -> None:
        self.bank = Bank(1)
        self.real = Real(data)
        self.ground = Ground(data, self.bank, self.real.clear)
        self.rng = np.random.default_rng(seed)

    def example(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """A real one now and then, else a simulated one."""
        rng = self.rng
        if rng.random() < REAL_SHARE:
            example = self.real.draw(rng)
            haze = np.full(example.label.shape, IGNORE, np.uint8)
        else:
            patch = self.ground.draw(rng)
            example = simulate(rng, self.bank, patch, self.real.textures, PIXEL_M)
            haze = _veil(example, patch.reflectance[1])
        rgb = example.image[list(COLOURS)]
        if example.present[10]:
            rgb = rgb - PATH[list(COLOURS)][:, None, None]
        cloud = np.full(haze.shape, IGNORE, np.uint8)
        cloud[np.isin(example.label, (CLEAR, SHADOW, SNOW))] = 0
        cloud[np.isin(example.label, (CLOUD, THIN))] = 1
        halved = rgb.reshape(3, HALF, 2, HALF, 2).mean(axis=(2, 4))
        return stretch(halved, np.ones((HALF, HALF), bool)), np.stack([_halved(cloud), _halved(haze)])


def _veil(example: Example, ground: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Where the image is bluer than its ground, outside of clouds and shadows."""
    expected = PATH[1] + 0.86 * ground if example.present[10] else ground
    added = example.image[1] - expected
    haze = np.full(ground.shape, IGNORE, np.uint8)
    haze[added < CLEAN] = 0
    haze[added > HAZY] = 1
    haze[np.isin(example.label, (CLOUD, SHADOW))] = IGNORE
    haze[example.label == THIN] = 1
    return haze


def _halved(label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Labels of pixels twice as large; ignored where the four disagree by half."""
    parts = label.reshape(HALF, 2, HALF, 2).swapaxes(1, 2).reshape(HALF, HALF, 4)
    ones, known = (parts == 1).sum(axis=2), (parts != IGNORE).sum(axis=2)
    out = np.full((HALF, HALF), IGNORE, np.uint8)
    out[(known == 4) & (ones == 0)] = 0
    out[ones >= 3] = 1
    return out


def train(options: argparse.Namespace) -> dict[str, nn.Module]:
    """Fit both on the same examples."""
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    maker, rng = Maker(options.data, options.seed + 1), np.random.default_rng(options.seed + 2)
    pixels = np.zeros((options.pool, 4, HALF, HALF), np.float16)
    labels = np.full((options.pool, 2, HALF, HALF), IGNORE, np.uint8)
    written, begun = 0, time.perf_counter()
    nets: dict[str, nn.Module] = {"preview_cloud": Cloud(), "preview_haze": Haze()}
    optimiser = torch.optim.AdamW([p for net in nets.values() for p in net.parameters()], lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=options.steps, pct_start=0.1)
    for step in range(options.steps):
        for _ in range(options.fresh if step else options.first):
            pixels[written % options.pool], labels[written % options.pool] = maker.example()
            written += 1
        chosen = rng.choice(min(written, options.pool), options.batch, replace=False)
        turns, flip = int(rng.integers(4)), bool(rng.integers(2))
        batch, truth = (np.rot90(a[chosen], turns, (2, 3)) for a in (pixels, labels))
        if flip:
            batch, truth = batch[:, :, ::-1], truth[:, :, ::-1]
        inputs = torch.from_numpy(np.ascontiguousarray(batch, dtype=np.float32))
        target = torch.from_numpy(np.ascontiguousarray(truth, dtype=np.int64))
        losses = [
            functional.cross_entropy(net(inputs), target[:, i], ignore_index=IGNORE, label_smoothing=0.02)
            for i, net in enumerate(nets.values())
        ]
        optimiser.zero_grad()
        sum(losses).backward()  # type: ignore[union-attr]
        optimiser.step()
        schedule.step()
        if step % 50 == 49:
            told = ", ".join(f"{float(value.detach()):.3f}" for value in losses)
            print(f"step {step + 1}: losses {told}, {time.perf_counter() - begun:.0f} s", flush=True)
    return {name: net.eval() for name, net in nets.items()}


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[1]
    parser.add_argument("--data", type=Path, default=here.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=here / "src" / "groundshift" / "nets" / "weights")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--pool", type=int, default=4000)
    parser.add_argument("--first", type=int, default=600, help="examples made before the first step")
    parser.add_argument("--fresh", type=int, default=8, help="new examples a step")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, net in train(options).items():
        path = options.out / f"{name}.onnx"
        export(net, {"pixels": torch.zeros(1, 4, HALF, HALF)}, path)
        write_card(path, vars(options))


if __name__ == "__main__":
    main()
