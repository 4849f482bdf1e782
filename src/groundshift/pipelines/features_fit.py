"""What a stack of features is fitted on before it is computed: offsets, principal components, grey levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from groundshift.errors import NoDataError
from groundshift.features import components
from groundshift.features.stack import Fitted
from groundshift.model.grid import Window, blocks
from groundshift.pipelines import features_blocks, ingest
from groundshift.pipelines.features_blocks import Sum, Try
from groundshift.pipelines.mosaic_layers import LayerStack
from groundshift.radiometry import audit
from groundshift.radiometry.audit import Dark

if TYPE_CHECKING:
    from groundshift.pipelines.features import Run

_TILE = 512
_SAMPLE_TILE = 64
_SAMPLE_TILES = 128
"""Half a million pixels in tiles spread over the image."""
_TRIAL_TILE, _TRIALS = 384, 24
_PERCENTILES = (1.0, 99.0)
"""Between which grey levels lie (notes: Haralick textures are quantised globally, never by window)."""


def audited(state: Run) -> None:
    """Do the pixels carry the offsets that the metadata tell of? Settles the offsets of all scenes.

    Raises:
        ProductError: they do not, and nobody said whom to believe.
    """
    for i, (layer, scene) in enumerate(zip(state.plan.layers, state.scenes, strict=True)):
        dark: dict[str, Dark] = {}
        for group, (_, part) in zip(state.plan.groups, scene.parts, strict=True):
            dark |= dict(zip(group.bands, _dark(part), strict=True))
        infos = [layer.scene.bands[band] for band in dark]
        verdict = audit.audit(dark, layer.scene.level)
        offsets, warning = audit.reconcile(verdict, infos, state.job.input.trust, layer.scene.name)
        state.warn(warning)
        parts = [
            (factor, replace(part, stack=ingest.audited(part.stack, [offsets[band] for band in group.bands])))
            for group, (factor, part) in zip(state.plan.groups, scene.parts, strict=True)
        ]
        state.scenes[i] = replace(scene, parts=tuple(parts))


def _dark(layer: LayerStack) -> tuple[Dark, ...]:
    """How dark the bands of a scene get, before the offset, on a sample of its clear pixels."""
    found = []
    rows, columns = layer.stack.dn.shape[1:]
    for window in _spread(Window(0, rows, 0, columns)):
        reflectance, usable, _ = layer.stack.read(window)
        found.append(reflectance[:, usable])
    sample = np.concatenate(found, axis=1)
    every = np.ones(sample.shape[1], bool)
    told = [np.float32(offset * scale) for offset, scale in zip(layer.stack.offset, layer.stack.scale, strict=True)]
    return tuple(audit.dark_quantiles(band - step, every, 1.0) for band, step in zip(sample, told, strict=True))


def _spread(whole: Window, side: int = _SAMPLE_TILE, most: int = _SAMPLE_TILES) -> list[Window]:
    """Tiles spread evenly over a window, or all of them."""
    tiles = [
        Window(whole.y0 + part.y0, whole.y0 + part.y1, whole.x0 + part.x0, whole.x0 + part.x1)
        for part in blocks(whole.shape, side, side)
    ]
    chosen = np.unique(np.linspace(0, len(tiles) - 1, min(len(tiles), most)).round().astype(int))
    return [tiles[i] for i in chosen]


def sharpening(state: Run) -> None:
    """How the coarser bands of each scene are sharpened: guided by the finer ones where that helps."""
    plan = state.plan
    if len(plan.groups) == 1:
        return
    tile = _TRIAL_TILE // plan.multiple * plan.multiple
    work = [
        Try(scene, tuple(_spread(_whole_tiles(scene.window, tile), tile, _TRIALS)), state.guides, plan.sharpening)
        for scene in state.scenes
    ]
    with state.stage("try sharpening", len(work)) as advance:
        found = state.pool.run(features_blocks.trial, work, lambda _: advance(1), str)
    state.scenes = [replace(scene, sharpening=each) for scene, each in zip(state.scenes, found, strict=True)]


def _whole_tiles(window: Window, tile: int) -> Window:
    """A window grown to tiles that begin at multiples of their side."""
    low, high = (window.y0 // tile * tile, window.x0 // tile * tile), (-(-window.y1 // tile), -(-window.x1 // tile))
    return Window(low[0], high[0] * tile, low[1], high[1] * tile)


def fit(state: Run) -> Fitted:
    """Components and grey levels of the whole stack, once.

    Raises:
        NoDataError: there is not enough to fit on.
    """
    plan = state.plan.stack
    if state.plan.fitted is not None:
        return state.plan.fitted
    found = Fitted()
    if plan.component_count:
        found = Fitted(_components(state))
    if plan.textured:
        found = replace(found, limits=_limits(state, found))
    return found


def _components(state: Run) -> components.Components:
    """Principal components of the bands over all pixels of the stack; the same whatever the workers and memory."""
    assert state.reflectance is not None
    bands = features_blocks.component_bands(state.plan.bands)
    window = state.plan.window
    work = [
        Sum(
            state.reflectance,
            bands,
            Window(part.y0 + window.y0, part.y1 + window.y0, part.x0 + window.x0, part.x1 + window.x0),
        )
        for part in blocks(window.shape, _TILE, _TILE)
    ]
    with state.stage("components", len(work)) as advance:
        parts = state.pool.run(features_blocks.moments, work, lambda _: advance(1), str)
    total = parts[0]
    for part in parts[1:]:
        total = components.merge(total, part)
    return components.fit(total, standardise=False)


def _limits(state: Run, fitted: Fitted) -> dict[str, tuple[float, float]]:
    """Between which values the grey levels of each texture lie."""
    assert state.reflectance is not None
    windows: Sequence[Window] = _spread(state.plan.window)
    with state.stage("grey levels", 1) as advance:
        found = features_blocks.sample(state.plan.stack, state.plan.bands, state.reflectance, windows, fitted)
        advance(1)
    limits = {}
    for name, values in found.items():
        if not values.size:
            raise NoDataError(f"no pixel of the stack has a {name}, so it has no texture: are all under cloud?")
        low, high = (float(each) for each in np.percentile(values, _PERCENTILES))
        limits[name] = (low, high if high > low else low + 1.0)
    return limits
