"""A class map in another legend."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from groundshift.errors import InputError
from groundshift.model import crosswalk as legends


def crosswalk(
    codes: NDArray[np.uint8], source: str, target: str, choices: Mapping[str, str] | None = None
) -> NDArray[np.uint8]:
    """Bring a class map to another legend; what is lost is told by :func:`groundshift.model.crosswalk.crosswalk`.

    Args:
        codes: (y, x) uint8 of the legend ``source``; 0 and 255 stay.
        source, target: names in :data:`groundshift.model.legend.LEGENDS`.
        choices: class of the target for classes of the source that could be several.

    Returns:
        (y, x) uint8; 0 where the other legend has no such class.

    Raises:
        InputError: a code that the source legend has not.
        UsageError: a class that could be several and is not chosen.
    """
    table = legends.crosswalk(source, target, choices).codes
    met = np.flatnonzero(np.bincount(codes.reshape(-1), minlength=256))
    foreign = [int(code) for code in met if int(code) not in table]
    if foreign:
        raise InputError(f"the map holds {', '.join(map(str, foreign))}, which are no codes of the legend {source!r}.")
    lookup = np.array([table.get(code, 0) for code in range(256)], np.uint8)
    return lookup[codes]
