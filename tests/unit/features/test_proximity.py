"""Distances to the nearest thing, against all distances."""

from __future__ import annotations

import numpy as np

from groundshift.features import proximity


def test_every_distance_is_the_shortest_one_up_to_the_limit() -> None:
    things = np.random.default_rng(2).random((30, 40)) < 0.01
    found = proximity.distance(things, (20.0, 10.0), 150.0)
    y, x = np.nonzero(things)
    rows, columns = np.indices(things.shape)
    every = np.hypot(20 * (rows[..., None] - y), 10 * (columns[..., None] - x)).min(-1)
    np.testing.assert_allclose(found, np.minimum(every, 150), rtol=1e-6)
    halo = proximity.halo_px((20.0, 10.0), 150.0)
    assert halo == 15
    np.testing.assert_array_equal(
        proximity.distance(things[:, 2:38], (20.0, 10.0), 150.0)[:, halo:-halo], found[:, 2 + halo : 38 - halo]
    )


def test_where_there_is_nothing_all_is_far() -> None:
    assert (proximity.distance(np.zeros((3, 4), bool), (10.0, 10.0), 99.0) == 99).all()
