"""What a trained land cover classifier is, apart from its weights: its features, its classes, how it was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError

_NAMED = 5
"""Features that a message lists by name."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Everything that using a trained classifier needs beside its weights."""

    kind: str
    """Name of the classifier, such as ``lightgbm``."""
    features: tuple[str, ...]
    """Names of the features, in the order of the weights."""
    codes: tuple[int, ...]
    """Code of each class, in the order of the probabilities: 1 to 254, rising."""
    names: tuple[str, ...]
    """Name of each class."""
    trained_shares: tuple[float, ...]
    """Share of each class that the probabilities of the weights stand for; equal ones after balanced training."""
    shares: tuple[float, ...]
    """Share of each class that is expected where the model is used."""
    temperature: float = 1.0
    """The logarithms of the probabilities are divided by it."""
    bands: tuple[str, ...] = ()
    """Bands or other variables that the features are made of."""
    units: tuple[str, ...] = ()
    """Of the features, where the stack that they were learnt from tells any; of a series they are as made."""
    chain: Mapping[str, Any] = field(default_factory=dict)
    """How features are made and results treated, as the caller describes it; anything that JSON holds."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """How it was trained and what came of it, as the caller describes it; anything that JSON holds."""

    def __post_init__(self) -> None:
        classes = len(self.codes)
        if classes < 2 or any(len(each) != classes for each in (self.names, self.trained_shares, self.shares)):
            raise InputError("a classifier needs at least two classes, each with a code, a name and its shares.")
        if list(self.codes) != sorted(set(self.codes)) or self.codes[0] < 1 or self.codes[-1] > 254:
            raise InputError(f"class codes {self.codes}: expected different ones from 1 to 254, rising.")
        if len(set(self.features)) != len(self.features) or not self.features:
            raise InputError("a classifier needs features, each with a name of its own.")
        if self.units and len(self.units) != len(self.features):
            raise InputError(f"{len(self.units)} units of {len(self.features)} features: expected one each.")
        if not self.temperature > 0 or min(*self.shares, *self.trained_shares) < 0 or 0 in self.trained_shares:
            raise InputError(f"temperature {self.temperature}, shares {self.shares}: expected positive numbers.")

    @property
    def ratio(self) -> NDArray[np.float64] | None:
        """(class,) expected over trained share; None where they are the same."""
        if self.shares == self.trained_shares:
            return None
        return np.array(self.shares, np.float64) / np.array(self.trained_shares, np.float64)

    def check_units(self, given: Mapping[str, str]) -> None:
        """See that features are in the units of training, where both are told.

        Args:
            given: unit of each feature, by its name; empty: it is not told.

        Raises:
            InputError: some are not; their names and units are listed.
        """
        units = dict(zip(self.features, self.units, strict=True)) if self.units else {}
        other = [
            f"{name} in {given[name]}, not {unit}"
            for name, unit in units.items()
            if unit and given.get(name) and given[name] != unit
        ]
        if other:
            raise InputError(
                f"the features have another scale than those that the model was trained on: {_listed(other)}. Make "
                "them as the model's were made, or train a new one."
            )

    def order(self, given: Sequence[str]) -> NDArray[np.intp]:
        """Find the features of the model among given ones.

        Args:
            given: names of the features that there are, in any order.

        Returns:
            (feature,) index into ``given`` of each feature of the model.

        Raises:
            InputError: some are missing, unknown or there twice; their names are listed.
        """
        missing = [name for name in self.features if name not in set(given)]
        unknown = [name for name in given if name not in set(self.features)]
        twice = sorted({name for name in given if list(given).count(name) > 1}) if len(set(given)) < len(given) else []
        if missing or unknown or twice:
            found = (("missing", missing), ("unknown to it", unknown), ("there twice", twice))
            said = "; ".join(f"{what}: {_listed(names)}" for what, names in found if names)
            raise InputError(
                f"the features are not those of the model ({self.kind}, {len(self.features)} features): {said}. "
                "Make them as the model's were made, or train a new one."
            )
        place = {name: index for index, name in enumerate(given)}
        return np.array([place[name] for name in self.features], np.intp)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
