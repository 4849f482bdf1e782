"""Straight lines through points whose two coordinates are both uncertain."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_PAIRS = 40_000


def deming_slope(s_xx: float, s_yy: float, s_xy: float, noise_ratio: float = 1.0) -> float:
    """Return the slope of y = slope * x + c when x and y are both noisy.

    With ``noise_ratio`` 1 it is the orthogonal (total least squares) line; unlike ordinary least squares it is not
    flattened by the noise of x.

    Args:
        s_xx, s_yy, s_xy: variances and covariance of the points.
        noise_ratio: variance of the noise of y by that of x. Its square root being the slope itself gives the
            reduced major axis, which does not depend on the units of x and y.

    Returns:
        The slope; nan where the points say nothing of it (no covariance).

    Source: Deming (1943), Statistical Adjustment of Data; for ratio 1, Canty & Nielsen (2008), eq. 18.
    """
    if not s_xy or not all(map(math.isfinite, (s_xx, s_yy, s_xy))):
        return math.nan
    difference = s_yy - noise_ratio * s_xx
    return (difference + math.sqrt(difference**2 + 4 * noise_ratio * s_xy**2)) / (2 * s_xy)


def pairwise_slope(x: NDArray[np.floating], y: NDArray[np.floating], seed: int = 0) -> float:
    """Return the median slope of y against x over random pairs of points.

    A Theil-Sen line made symmetric: the median is taken of the direction of each pair after both axes were brought
    to one spread, so that exchanging x and y gives the reciprocal. Up to 29 % of the points may be anywhere.

    Args:
        x, y: (n,) finite.
        seed: of the pairs, 40000 at most.

    Returns:
        The slope; nan where x or y is constant, or n < 2.

    Law: slope(a x, b y) = slope(x, y) * b / a for positive a, b.
    Source: Sen (1968); symmetric form after Passing & Bablok (1983).
    """
    spread_x, spread_y = _spread(x), _spread(y)
    if x.size < 2 or not spread_x or not spread_y:
        return math.nan
    i, j = np.random.default_rng(seed).integers(0, x.size, (2, _PAIRS))
    u, v = (x[i] - x[j]) / spread_x, (y[i] - y[j]) / spread_y
    apart = np.hypot(u, v) > 0
    # Directions are axes, not arrows: folded to the half turn centred on the rising diagonal.
    turn = np.mod(np.arctan2(v[apart], u[apart]) + math.pi / 4, math.pi) - math.pi / 4
    return float(np.tan(np.median(turn))) * spread_y / spread_x


def _spread(values: NDArray[np.floating]) -> float:
    if not values.size:
        return 0.0
    low, high = np.quantile(values, (0.25, 0.75))
    return float(high - low) or float(np.std(values))
