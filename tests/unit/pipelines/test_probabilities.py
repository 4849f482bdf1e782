"""What probabilities say of values that no sample holds."""

from __future__ import annotations

import numpy as np

from groundshift.change import probability
from groundshift.change.radial import MIDDLES
from groundshift.pipelines import probabilities


def test_what_no_unchanged_pixel_should_reach_has_changed_and_the_larger_the_pair_the_farther_that_lies() -> None:
    calm = np.random.default_rng(1).chisquare(4, 20_000).astype(np.float32)
    plain = probability.fit(calm, np.ones(len(calm), bool))
    assert plain.probability([1000.0])[0] == 0, "a sample without change says nothing of it"
    few, many = (probabilities._with_tail(plain, calm, count) for count in (20_000, 100_000_000))
    assert few.probability([1000.0])[0] > 0.99
    assert few.probability([float(np.median(calm))])[0] == 0
    assert (np.diff(few.curve) >= 0).all()
    first, second = (float(MIDDLES[np.argmax(np.array(local.curve) > 0.5)]) for local in (few, many))
    assert calm.max() * 0.7 < first < second
