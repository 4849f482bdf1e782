"""A stack of features: what it holds, in words that a user types, and how a block of it is computed."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import UsageError
from groundshift.features import components, indices, terrain, texture
from groundshift.features.components import Components
from groundshift.features.indices import Index
from groundshift.features.texture import GLCM_FEATURES, GlcmOptions
from groundshift.model.bands import BANDS, parse_band

Float32 = NDArray[np.float32]
Kind = Literal["band", "index", "terrain", "layer", "component", "texture"]

BAND_NAMES = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
"""Reflectance of the default stack, and what components are made of."""
INDEX_NAMES = ("NDVI", "NDRE", "EVI2", "BI2", "MNDWI", "NDBI")
TERRAIN_NAMES = ("DEM", "slope", "aspect")
DEFAULT = (*BAND_NAMES, *INDEX_NAMES, *TERRAIN_NAMES)
"""The default stack: twenty bands, in this order."""
ROADS = ("roads", "roads_distance")
ROADS_LIMIT_M = 1000.0
"""Distances to the nearest road end here: what is farther away does not matter, and blocks need a border."""
_TERRAIN = {
    "DEM": ("m", "elevation"),
    "slope": ("degrees", "slope of the ground (Horn), 0 is flat"),
    "aspect": ("degrees", "where the slope faces, from north over east; -1 flat"),
    "aspect_sin": ("", "sine of the aspect: how much the slope faces east; 0 flat"),
    "aspect_cos": ("", "cosine of the aspect: how much the slope faces north; 0 flat"),
}
_ROADS = {
    "roads": ("", "1 where a road touches the pixel"),
    "roads_distance": ("m", "to the nearest road, at most 1000"),
}
_RESERVED = frozenset(name.lower() for name in (*_TERRAIN, *_ROADS, "default", "pca", "glcm"))
_COMPONENT = re.compile(r"pc\d+", re.IGNORECASE)
_TEXTURE_UNITS = {"entropy": "nats"}


@dataclass(frozen=True)
class Feature:
    """One band of a stack."""

    name: str
    """In the file: ``B02``, ``NDVI``, ``slope``, ``PC1``, ``glcm_B08_entropy``."""
    kind: Kind
    unit: str = ""
    description: str = ""
    of: Feature | None = None
    """What a texture is a texture of."""
    measure: str = ""
    """Of a texture: one of :data:`~groundshift.features.texture.GLCM_FEATURES`."""
    index: Index | None = None
    number: int = 0
    """Of a component, from 1."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What a stack holds, band by band, and how textures are made."""

    features: tuple[Feature, ...]
    texture: GlcmOptions = field(default_factory=GlcmOptions)

    @property
    def sources(self) -> tuple[Feature, ...]:
        """Bands, indices and components that the stack holds or that textures are made of, each once."""
        found = [each.of or each for each in self.features if each.kind not in ("terrain", "layer")]
        return tuple(dict.fromkeys(found))

    @property
    def textured(self) -> tuple[Feature, ...]:
        """What textures are made of."""
        return tuple(dict.fromkeys(each.of for each in self.features if each.of is not None))

    @property
    def component_count(self) -> int:
        """Components that are needed."""
        return max((each.number for each in self.sources if each.kind == "component"), default=0)

    @property
    def bands(self) -> tuple[str, ...]:
        """Reflectance bands that are needed, in the order of the product metadata."""
        needed = {each.name for each in self.sources if each.kind == "band"}
        for each in self.sources:
            needed |= set(each.index.bands) if each.index else set()
        if self.component_count:
            needed |= set(BAND_NAMES)
        return tuple(band for band in BANDS if band in needed)

    @property
    def terrain(self) -> bool:
        """An elevation model is needed."""
        return any(each.kind == "terrain" for each in self.features)

    @property
    def roads(self) -> bool:
        """Lines are needed."""
        return any(each.kind == "layer" for each in self.features)

    @property
    def halo_px(self) -> int:
        """Pixels around a block that :func:`compute` needs."""
        reach = texture.halo_px(self.texture) if self.textured else 0
        return max(reach, terrain.HALO_PX if self.terrain else 0)

    def users(self, band: str) -> tuple[str, ...]:
        """Names of the features that need a band."""
        whole = band in BAND_NAMES
        return tuple(
            each.name
            for each in self.features
            if band in _reads(each.of or each) or (whole and (each.of or each).kind == "component")
        )


def _reads(source: Feature) -> tuple[str, ...]:
    return source.index.bands if source.index else (source.name,)


def parse(text: str, known: Mapping[str, Index] | None = None, *, terrain: bool = True) -> tuple[Feature, ...]:
    """The features that a list such as ``B2,NDVI,slope,pca:1-3,glcm:B8:entropy+contrast`` names, in its order.

    ``default`` stands for the twenty of :data:`DEFAULT`; bands, indices and terrain go by their names; ``pca:1-3``
    is the first three principal components of the eleven bands; ``glcm:SOURCE:MEASURE`` is a texture of a band, an
    index or a component (``PC1``), several measures joined by ``+``, ``all`` for every one.

    Args:
        text: items with commas between.
        known: indices by name; None: all that are registered.
        terrain: False leaves terrain out of ``default``, for want of an elevation model.

    Raises:
        UsageError: an item is unknown, with the nearest that is, or is named twice.
    """
    table = indices.INDICES if known is None else known
    taken = [name for name in table if name.lower() in _RESERVED or _COMPONENT.fullmatch(name)]
    if taken:
        raise UsageError(f"an index cannot be called {taken[0]}, which stands for something else: choose another name.")
    found: list[Feature] = []
    for item in (word.strip() for word in text.split(",")):
        if item:
            found += _item(item, table, terrain=terrain)
    if not found:
        raise UsageError("--features names nothing: expected default, or a list such as B2,B3,B4,B8,NDVI.")
    names = [each.name for each in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"--features names {twice} twice: name each once.")
    return tuple(found)


def _item(item: str, known: Mapping[str, Index], *, terrain: bool) -> list[Feature]:
    head, _, rest = item.partition(":")
    match head.lower():
        case "default" if not rest:
            return [_single(name, known) for name in DEFAULT if terrain or name not in TERRAIN_NAMES]
        case "pca":
            return [_component(number) for number in _numbers(item, rest)]
        case "glcm":
            return _textures(item, rest, known)
    return [_single(item, known)]


def _numbers(item: str, text: str) -> range:
    first, _, last = text.partition("-")
    try:
        low, high = int(first), int(last or first)
    except ValueError:
        low = high = 0
    if not 1 <= low <= high <= len(BAND_NAMES):
        raise UsageError(f"{item!r} names no components: expected pca:1-3, numbers from 1 to {len(BAND_NAMES)}.")
    return range(low, high + 1)


def _textures(item: str, text: str, known: Mapping[str, Index]) -> list[Feature]:
    source, _, measures = text.partition(":")
    words = measures.lower().split("+")
    chosen = list(GLCM_FEATURES) if words == ["all"] else words
    wrong = [word for word in chosen if word not in GLCM_FEATURES]
    if not source or wrong:
        raise UsageError(
            f"{item!r} is no texture{_near(wrong[0], GLCM_FEATURES) if wrong and wrong[0] else ''}: expected "
            f"glcm:B8:entropy, with one or several (a+b) of {', '.join(GLCM_FEATURES)}, or all."
        )
    of = _single(source, known)
    if of.kind in ("terrain", "layer"):
        raise UsageError(f"{item!r}: textures are made of bands, indices and components (PC1), not of {of.name}.")
    return [
        Feature(
            f"glcm_{of.name}_{word}",
            "texture",
            _TEXTURE_UNITS.get(word, ""),
            f"{word} of the grey-level co-occurrence of {of.name}",
            of=of,
            measure=word,
        )
        for word in chosen
    ]


def _component(number: int) -> Feature:
    return Feature(f"PC{number}", "component", "", f"principal component {number} of the bands", number=number)


def _single(word: str, known: Mapping[str, Index]) -> Feature:
    """A band, an index, a component or a layer by its name, capitals aside."""
    folded = {name.lower(): name for name in (*_TERRAIN, *_ROADS, *known)}
    folded |= {f"pc{i}": f"PC{i}" for i in range(1, len(BAND_NAMES) + 1)}
    name = folded.get(word.strip().lower())
    if name is None:
        try:
            name = parse_band(word)
        except UsageError:
            names = [*BANDS, *known, *_TERRAIN, *_ROADS]
            raise UsageError(
                f"there is no feature {word!r}{_near(word, names)}: expected a band, an index ({', '.join(known)}), "
                f"{', '.join(_TERRAIN)}, {', '.join(_ROADS)}, pca:1-3 or glcm:B8:entropy."
            ) from None
        return Feature(name, "band", "reflectance", f"surface reflectance, {BANDS[name].common_name}")
    if name in _TERRAIN:
        return Feature(name, "terrain", *_TERRAIN[name])
    if name in _ROADS:
        return Feature(name, "layer", *_ROADS[name])
    if name in known:
        index = known[name]
        return Feature(name, "index", index.unit, index.formula, index=index)
    return _component(int(name[2:]))


def _near(word: str, names: Sequence[str]) -> str:
    folded = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.strip().lower(), folded, n=1, cutoff=0.5)
    return f" (did you mean {folded[close[0]]}?)" if close else ""


@dataclass(frozen=True)
class Fitted:
    """What is fitted once, on the whole image, and then the same in every block."""

    components: Components | None = None
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Values between which the grey levels of textures lie, by source."""

    def to_plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        made = None if self.components is None else self.components.to_json()
        return {"components": made, "limits": {name: list(pair) for name, pair in self.limits.items()}}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Fitted:
        """The reverse of :meth:`to_plain`."""
        made = plain.get("components")
        limits = {str(name): (float(low), float(high)) for name, (low, high) in plain.get("limits", {}).items()}
        return cls(None if made is None else Components.from_json(made), limits)


@dataclass(frozen=True, eq=False)
class Ground:
    """What a block holds beside reflectance; each (y, x) float32, None where no feature needs it."""

    elevation: Float32 | None = None
    east_m: NDArray[np.float64] | float = 10.0
    """Width of a pixel, one number or one a row."""
    south_m: float = 10.0
    layers: Mapping[str, Float32] = field(default_factory=dict)


def source_values(
    sources: Sequence[Feature], bands: Mapping[str, Float32], fitted: Components | None
) -> dict[str, Float32]:
    """Bands, indices and components (y, x) by name: pixel kernels."""
    count = max((each.number for each in sources if each.kind == "component"), default=0)
    made = None
    if count and fitted is not None:
        made = components.apply(fitted, np.stack([bands[band] for band in BAND_NAMES]), count)
    found = {}
    for each in sources:
        if each.kind == "band":
            found[each.name] = bands[each.name]
        elif each.index is not None:
            found[each.name] = each.index(bands)
        elif made is not None:
            found[each.name] = made[each.number - 1]
    return found


def compute(plan: Stack, bands: Mapping[str, Float32], ground: Ground, fitted: Fitted) -> Float32:
    """Compute the features of a block.

    Args:
        plan: which.
        bands: reflectance (y, x) float32 by canonical name, NaN = missing.
        ground: elevation and layers of the same pixels.
        fitted: components and grey levels.

    Returns:
        (feature, y, x) float32, NaN = missing; right at ``plan.halo_px`` from the border of the block on.

    Law: cutting the image into blocks, each with its halo, changes nothing.
    """
    values = source_values(plan.sources, bands, fitted.components)
    values |= ground.layers
    if plan.terrain and ground.elevation is not None:
        made = terrain.terrain(ground.elevation, ground.east_m, ground.south_m)
        values |= {
            "DEM": ground.elevation,
            **{each.name: getattr(made, each.name) for each in dataclasses.fields(made)},
        }
    for of in plan.textured:
        values |= _texture(plan, of, values[of.name], fitted.limits[of.name])
    return np.stack([values[each.name] for each in plan.features])


def _texture(plan: Stack, of: Feature, values: Float32, limits: tuple[float, float]) -> dict[str, Float32]:
    wanted = {each.measure: each.name for each in plan.features if each.of == of}
    chosen = tuple(name for name in GLCM_FEATURES if name in wanted)
    options = dataclasses.replace(plan.texture, features=chosen)
    levels = texture.quantise(values, *limits, options.levels)
    return {wanted[name]: made for name, made in zip(chosen, texture.glcm(levels, options), strict=True)}
