"""Trains the cloud mask `unet` from nothing and writes weights and model card.

    python training/cloud_unet.py --data ../shared/data [--steps 3000] [--out src/groundshift/nets/weights]

Needs `pip install groundshift[train]`. A seed decides everything but the order in which a processor adds; one thread.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from card import write_card
from ground import SIZE, Bank, Ground
from groundshift.clouds.unet import stretch
from groundshift.nets.unet_torch import UNetTorch, export
from real import Real
from sky import IGNORE, Example, simulate

RGB, NIR = (1, 2, 3), 7
TEN = (1, 2, 3, 4, 5, 6, 7, 8, 11, 12)
REAL_SHARE = 0.18
CLASS_WEIGHT = (1.0, 1.0, 1.3, 1.7, 1.0)


@dataclass
class Pool:
    """Examples kept in memory, the oldest replaced by new ones."""

    image: NDArray[np.float16]
    present: NDArray[np.bool_]
    label: NDArray[np.uint8]
    trust: NDArray[np.float32]
    filled: int = 0
    written: int = 0

    @classmethod
    def of(cls, size: int) -> Pool:
        """An empty pool."""
        return cls(
            np.zeros((size, 13, SIZE, SIZE), np.float16),
            np.zeros((size, 13), bool),
            np.zeros((size, SIZE, SIZE), np.uint8),
            np.zeros(size, np.float32),
        )

    def put(self, example: Example) -> None:
        """Add one."""
        slot = self.written % len(self.trust)
        self.image[slot], self.present[slot] = example.image, example.present
        self.label[slot], self.trust[slot] = example.label, example.trust
        self.written += 1
        self.filled = min(self.written, len(self.trust))

    def batch(self, rng: np.random.Generator, count: int) -> tuple[torch.Tensor, ...]:
        """Draw, turn, drop bands: pixels, present, label, trust."""
        chosen = rng.choice(self.filled, count, replace=False)
        pixels = np.zeros((count, 14, SIZE, SIZE), np.float32)
        told = np.zeros((count, 13), np.float32)
        label = np.zeros((count, SIZE, SIZE), np.int64)
        for k, slot in enumerate(chosen):
            present = self.present[slot] & _kept(rng)
            image = self.image[slot].astype(np.float32) * np.float32(rng.lognormal(0, 0.06))
            truth = self.label[slot].astype(np.int64)
            turns = int(rng.integers(4))
            image, truth = np.rot90(image, turns, (1, 2)), np.rot90(truth, turns)
            if rng.random() < 0.5:
                image, truth = image[:, ::-1], truth[::-1]
            valid = (image != 0).any(axis=0).astype(np.float32)
            if rng.random() < 0.08:
                y, x = np.mgrid[0:SIZE, 0:SIZE]
                valid[y * rng.normal() + x * rng.normal() > rng.uniform(20, 110)] = 0
            pixels[k, :13] = stretch(image) * present[:, None, None] * valid
            pixels[k, 13] = valid
            told[k] = present
            label[k] = np.where(valid > 0, truth, IGNORE)
        channels_last = torch.from_numpy(pixels).contiguous(memory_format=torch.channels_last)
        return channels_last, torch.from_numpy(told), torch.from_numpy(label), torch.from_numpy(self.trust[chosen])


def _kept(rng: np.random.Generator) -> NDArray[np.bool_]:
    """Bands that a product may have: colours, colours and near infrared, ten, all, or a few at random."""
    keep = np.zeros(13, bool)
    keep[list(RGB)] = True
    kind = rng.random()
    if kind < 0.40:
        return keep
    keep[NIR] = True
    if kind < 0.52:
        return keep
    if kind < 0.64:
        keep[list(TEN)] = True
        return keep
    if kind < 0.90:
        return np.ones(13, bool)
    return keep | (rng.random(13) < 0.5)


def loss(scores: torch.Tensor, label: torch.Tensor, trust: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, smoothed where labels are weak, and soft Dice of cloud and of shadow."""
    known = label != IGNORE
    target = torch.where(known, label, 0)
    weight = torch.tensor(CLASS_WEIGHT)[target] * known * trust[:, None, None]
    log = functional.log_softmax(scores, dim=1)
    picked = -log.gather(1, target[:, None])[:, 0]
    smooth = torch.where(trust < 1, 0.1, 0.02)[:, None, None]
    entropy = ((1 - smooth) * picked - smooth * log.mean(dim=1)) * weight
    probability, seen = log.exp(), known.float() * trust[:, None, None]
    dice = torch.zeros(())
    for wanted, found in (
        ((target == 1) | (target == 2), probability[:, 1] + probability[:, 2]),
        (target == 3, probability[:, 3]),
    ):
        both = (wanted * found * seen).sum()
        dice = dice + 1 - (2 * both + 50) / ((wanted * seen).sum() + (found * seen).sum() + 50)
    return entropy.sum() / weight.sum().clamp(min=1) + 0.35 * dice


class Maker:
    """Makes examples."""

    def __init__(self, data: Path, seed: int) -> None:
        self.bank = Bank(1)
        self.real = Real(data)
        self.ground = Ground(data, self.bank, self.real.clear)
        self.rng = np.random.default_rng(seed + 1)

    def example(self) -> Example:
        """A real one now and then, else a simulated one."""
        if self.rng.random() < REAL_SHARE:
            return self.real.draw(self.rng)
        return simulate(self.rng, self.bank, self.ground.draw(self.rng), self.real.textures)


def train(options: argparse.Namespace) -> UNetTorch:
    """Fit, printing the loss now and then."""
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    maker, rng = Maker(options.data, options.seed), np.random.default_rng(options.seed + 2)
    pool = Pool.of(options.pool)
    for _ in range(min(options.first, options.pool)):
        pool.put(maker.example())
    net = UNetTorch().to(memory_format=torch.channels_last)
    if options.start:
        net.load_state_dict(torch.load(options.start, weights_only=True))
    optimiser = torch.optim.AdamW(net.parameters(), lr=options.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, options.rate, total_steps=options.steps, pct_start=0.08, final_div_factor=100
    )
    running, begun = 0.0, time.perf_counter()
    for step in range(options.steps):
        for _ in range(options.fresh):
            pool.put(maker.example())
        pixels, told, label, trust = pool.batch(rng, options.batch)
        with torch.autocast("cpu", torch.bfloat16, enabled=not options.exact):
            scores = net(pixels, told)
        value = loss(scores.float(), label, trust)
        optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimiser.step()
        schedule.step()
        running = 0.98 * running + 0.02 * float(value.detach()) if step else float(value.detach())
        if step % 50 == 49:
            print(f"step {step + 1}: loss {running:.3f}, {time.perf_counter() - begun:.0f} s", flush=True)
        if options.checkpoint and step % 200 == 199:
            torch.save(net.state_dict(), options.checkpoint)
    return net.eval()


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[1]
    parser.add_argument("--data", type=Path, default=here.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=here / "src" / "groundshift" / "nets" / "weights")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--pool", type=int, default=3000)
    parser.add_argument("--first", type=int, default=400, help="examples made before the first step")
    parser.add_argument("--fresh", type=int, default=4, help="new examples a step")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--exact", action="store_true", help="32-bit floats throughout")
    parser.add_argument("--start", type=Path, help="weights to go on from")
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()
    net = train(options)
    options.out.mkdir(parents=True, exist_ok=True)
    inputs = {"pixels": torch.zeros(1, 14, 64, 64), "present": torch.ones(1, 13)}
    export(net, inputs, options.out / "cloud_unet.onnx")
    write_card(options.out / "cloud_unet.onnx", vars(options))


if __name__ == "__main__":
    main()
