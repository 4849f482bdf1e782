"""Training of the change network: a pool of examples that is renewed, held-out places that say when to stop.

Needs the extra ``train`` (torch, tensorboard); nothing else in the package imports this module.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.tensorboard import SummaryWriter

from groundshift.accuracy.confusion import auc
from groundshift.errors import InputError
from groundshift.nets.change_torch import WIDTHS, ChangeNetTorch
from groundshift.nets.unet_torch import export
from groundshift.training.examples import Maker, Pool
from groundshift.training.fields import SIZE, Bank
from groundshift.training.places import BANDS, Place

NAME = "change_unet"
_UNKNOWN = 255
_CHUNK = 8
_EMA = 0.995
_SMOOTH = 0.002
_SMALL_WEIGHT = 1.0
"""Added to the weight of a changed pixel around which next to nothing changed: small changes have few pixels."""
_AROUND = 17
_WARM = 1 / 12
_JUDGING = 98
"""Seed of the held-out examples."""
_STEEPEST = 1.5
"""Largest logarithm of a calibration's scale, either way: beyond, the scores say nothing."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How the change network is trained."""

    steps: int = 4000
    """At most."""
    minutes: float | None = None
    """At most; the learning rate falls accordingly. None: as long as the steps take."""
    batch: int = 12
    """Pairs of 128 x 128 pixels a step."""
    pool: int = 1500
    """Examples that are kept; the oldest are replaced."""
    first: int = 200
    """Examples made before the first step."""
    fresh: int = 3
    """New examples a step."""
    rate: float = 2e-3
    """Largest learning rate: reached after a twelfth of the training, then falling to nothing along a cosine."""
    every: int = 200
    """Steps between two looks at the held-out examples."""
    held_out: int = 64
    """Held-out examples, the same at every look."""
    patience: int = 8
    """Looks without a better one, after which training ends."""
    seed: int = 1
    """Of all random choices."""
    threads: int = 1
    """Of the processor."""

    def __post_init__(self) -> None:
        least = {"batch": 2, **dict.fromkeys(("steps", "pool", "first", "fresh", "every", "held_out", "patience"), 1)}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InputError(f"{name} is {getattr(self, name)}: expected at least {low}")
        if self.minutes is not None and not self.minutes > 0:
            raise InputError(f"minutes is {self.minutes}: expected more than 0")
        if not 0 < self.rate < 1:
            raise InputError(f"rate is {self.rate}: expected between 0 and 1")


@dataclass(frozen=True)
class Batch:
    """What the network learns from in one step."""

    before: Tensor
    after: Tensor
    told: Tensor
    truth: Tensor
    """(n, y, x) 1, 0, or 255 where it is not known."""


def train(
    places: Sequence[Place],
    held_out: Sequence[Place],
    outdir: Path,
    options: TrainOptions | None = None,
    *,
    start: Path | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train, keep the weights that are best on the held-out places, calibrate on them, and write network and card.

    Args:
        places: to learn from.
        held_out: other places; without any, drawn ground.
        outdir: folder of ``change_unet.onnx``, its card, ``change_unet.pt`` (for ``start``) and ``log``.
        options: how.
        start: ``change_unet.pt`` of another training to go on from.
        say: told of every look.

    Returns:
        The model card.

    Law: the same places, options (without minutes) and kind of processor give the same weights.
    """
    options = options or TrainOptions()
    outdir.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    bank = Bank(options.seed)
    maker = Maker(places, bank, np.random.default_rng([options.seed, 1]))
    rng = np.random.default_rng([options.seed, 2])
    judged = _held_out(held_out, options)
    pool = Pool(options.pool)
    for _ in range(max(min(options.first, options.pool), options.batch)):
        pool.put(maker.make())
    net = ChangeNetTorch(len(BANDS)).to(memory_format=torch.channels_last)
    if start is not None:
        net.load_state_dict(torch.load(start, weights_only=True))
    mean, best, patience = deepcopy(net), (math.inf, 0), 0
    optimiser = torch.optim.AdamW(net.parameters(), lr=options.rate, weight_decay=1e-3)
    begun = time.monotonic()
    with SummaryWriter(str(outdir / "log")) as log:
        for step in range(1, options.steps + 1):
            done = max(step / options.steps, (time.monotonic() - begun) / 60 / (options.minutes or math.inf))
            optimiser.param_groups[0]["lr"] = options.rate * _share_of_rate(done)
            for _ in range(options.fresh):
                pool.put(maker.make())
            value = loss(_scores(net, batch := drawn(pool, rng, options.batch)), batch.truth)
            optimiser.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            _follow(mean, net, min(_EMA, step / (step + 10)))
            log.add_scalar("loss/train", float(value.detach()), step)
            if step % options.every and done < 1:
                continue
            seen = judge(mean, judged)
            for name, number in seen.items():
                log.add_scalar(f"held-out/{name}", number, step)
            say(f"step {step}: loss {float(value.detach()):.4f}, held out: " + _listed(seen))
            patience += 1
            if seen["loss"] < best[0]:
                best, patience = (seen["loss"], step), 0
                torch.save(mean.state_dict(), outdir / f"{NAME}.pt")
            if patience >= options.patience:
                say(f"no better since step {best[1]}: done")
            if patience >= options.patience or done >= 1:
                break
    if not math.isfinite(best[0]):
        raise InputError("the loss on the held-out places is not finite: lower the rate")
    net.load_state_dict(torch.load(outdir / f"{NAME}.pt", weights_only=True))
    return _written(net.eval(), judged, outdir, {**asdict(options), "stopped_at": best[1]}, (places, held_out))


def _share_of_rate(done: float) -> float:
    """Of the largest learning rate, when that share of the training is done."""
    if done < _WARM:
        return max(done / _WARM, 0.02)
    return 0.5 + 0.5 * math.cos(math.pi * min((done - _WARM) / (1 - _WARM), 1))


def drawn(pool: Pool, rng: np.random.Generator, count: int) -> Batch:
    """A batch of the pool as tensors."""
    before, after, told, truth = pool.batch(rng, count)
    one, other = (torch.from_numpy(each).contiguous(memory_format=torch.channels_last) for each in (before, after))
    return Batch(one, other, torch.from_numpy(told), torch.from_numpy(truth))


def loss(scores: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy, and a little of soft Dice so that rare changes count; pixels of unknown truth do not.

    Changed pixels weigh the more, the less has changed around them.
    """
    known = (truth != _UNKNOWN).float()
    target = (truth == 1).float()
    soft = target * (1 - 2 * _SMOOTH) + _SMOOTH * 0.5
    entropy = functional.binary_cross_entropy_with_logits(scores, soft, reduction="none") * known
    around = functional.avg_pool2d(target[:, None], _AROUND, stride=1, padding=_AROUND // 2)[:, 0]
    weighted = entropy * (1 + _SMALL_WEIGHT * target * (1 - around))
    found = torch.sigmoid(scores) * known
    both = (found * target).sum()
    dice = 1 - (2 * both + 200) / (found.sum() + (target * known).sum() + 200)
    return weighted.sum() / known.sum().clamp(min=1) + 0.2 * dice


def judge(net: ChangeNetTorch, batches: Sequence[Batch]) -> dict[str, float]:
    """Cross-entropy, Brier score, F1 at one half and area under the ROC curve on held-out examples."""
    scores, truth = _judged(net, batches)
    probability = 1 / (1 + np.exp(-scores))
    found, there = probability >= 0.5, truth == 1
    logs = np.logaddexp(0, np.where(there, -scores, scores))
    hit = float((found & there).sum())
    return {
        "loss": float(logs.mean()),
        "brier": float(((probability - there) ** 2).mean()),
        "f1": 2 * hit / max(float(found.sum() + there.sum()), 1.0),
        "auc": auc(scores.astype(np.float32), there) or math.nan,
    }


def _listed(numbers: dict[str, float]) -> str:
    return ", ".join(f"{name} {number:.4f}" for name, number in numbers.items())


def _held_out(places: Sequence[Place], options: TrainOptions) -> list[Batch]:
    """The same examples whatever the seed, so that two trainings compare."""
    rng, chunk = np.random.default_rng(_JUDGING + 1), min(_CHUNK, options.held_out)
    pool = Pool(chunk)
    maker = Maker(places, Bank(_JUDGING), np.random.default_rng(_JUDGING))
    found = []
    for _ in range(0, options.held_out, chunk):
        for _ in range(chunk):
            pool.put(maker.make())
        found.append(drawn(pool, rng, chunk))
    return found


def _scores(net: ChangeNetTorch, batch: Batch) -> Tensor:
    scores: Tensor = net(batch.before, batch.after, batch.told)
    return scores[:, 0]


def _judged(net: ChangeNetTorch, batches: Sequence[Batch]) -> tuple[np.ndarray, np.ndarray]:
    net.eval()
    with torch.no_grad():
        scores = np.concatenate([_scores(net, batch).numpy().ravel() for batch in batches]).astype(np.float64)
    truth = np.concatenate([batch.truth.numpy().ravel() for batch in batches])
    return scores[truth != _UNKNOWN], truth[truth != _UNKNOWN]


def _follow(mean: ChangeNetTorch, net: ChangeNetTorch, share: float) -> None:
    """Move the running mean of the weights."""
    with torch.no_grad():
        for old, new in zip(mean.state_dict().values(), net.state_dict().values(), strict=True):
            if old.dtype.is_floating_point:
                old.mul_(share).add_(new, alpha=1 - share)
            else:
                old.copy_(new)


def calibrated(net: ChangeNetTorch, batches: Sequence[Batch]) -> tuple[float, float]:
    """Scale and shift of the scores that are the likeliest on held-out examples (J. Platt 1999)."""
    from scipy import optimize

    scores, truth = _judged(net, batches)
    sign = np.where(truth == 1, -1.0, 1.0)
    found = optimize.minimize(
        lambda x: float(np.logaddexp(0, sign * (np.exp(x[0]) * scores + x[1])).mean()), (0.0, 0.0), method="Nelder-Mead"
    )
    return float(np.exp(np.clip(found.x[0], -_STEEPEST, _STEEPEST))), float(found.x[1])


def folded(net: ChangeNetTorch, scale: float, shift: float) -> ChangeNetTorch:
    """A copy of a network with the calibration in its last layer."""
    copy: ChangeNetTorch = deepcopy(net).to(memory_format=torch.contiguous_format).eval()
    with torch.no_grad():
        copy.head.weight.mul_(scale)
        copy.head.bias.mul_(scale).add_(shift)
    return copy


def write(net: ChangeNetTorch, path: Path) -> None:
    """Write a network as ONNX."""
    example = torch.zeros(1, len(BANDS) + 1, SIZE, SIZE)
    export(net, {"before": example, "after": example, "present": torch.ones(1, len(BANDS))}, path)


def _written(
    net: ChangeNetTorch,
    judged: Sequence[Batch],
    outdir: Path,
    how: dict[str, Any],
    places: tuple[Sequence[Place], Sequence[Place]],
) -> dict[str, Any]:
    scale, shift = calibrated(net, judged)
    net = folded(net, scale, shift)
    path = outdir / f"{NAME}.onnx"
    write(net, path)
    card = {
        "name": NAME,
        "task": "probability of change of each pixel between two dates",
        "bands": list(BANDS),
        "resolution_m": 10.0,
        "widths": list(WIDTHS),
        "normalisation": (
            "log((reflectance clipped to 0..1.6 + 0.03) / 0.13); absent bands and pixels without data are 0; last "
            "layer: 1 = data at both dates; the third input tells which bands are present"
        ),
        "data": [f"{place.name}: {len(place.days)} dates" for place in places[0]],
        "held out": [f"{place.name}: {len(place.days)} dates" for place in places[1]],
        "training": {"command": "groundshift models train change", **how},
        "calibration": {"scale": scale, "shift": shift, "on": f"{how['held_out']} held-out examples"},
        "figures": {"held-out examples": judge(net, judged)},
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    path.with_suffix(".json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return card
