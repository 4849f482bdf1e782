"""Chains of named steps: what a step may be, how a chain is written down, what becomes a feature."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from groundshift.errors import ConfigError, InputError
from groundshift.landcover import chain
from groundshift.landcover.chain import Chain, features, step


@pytest.fixture(autouse=True)
def own_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "STEPS", dict(chain.STEPS))


def series() -> xr.Dataset:
    rng = np.random.default_rng(0)
    moving = {name: (("time", "y", "x"), rng.random((3, 4, 5), np.float32)) for name in ("B04", "VV")}
    still = {"elevation": (("y", "x"), rng.random((4, 5), np.float32)), "rain": (("time",), np.arange(3.0))}
    valid = {"valid": (("time", "y", "x"), rng.random((3, 4, 5)) > 0.3)}
    return xr.Dataset(
        {**moving, **still, **valid}, {"time": np.array(["2021-01-01", "2021-01-17", "2021-02-02"], "M8[ns]")}
    )


def test_a_function_becomes_a_step_and_stays_a_function() -> None:
    @step
    def doubled(given: xr.Dataset, by: float = 2.0) -> xr.Dataset:
        return given.assign(B04=given.B04 * by)

    made = Chain.of([{"use": "doubled", "by": 3.0}])(series())
    np.testing.assert_array_equal(made.B04, series().B04 * 3)
    np.testing.assert_array_equal(doubled(series()).B04, series().B04 * 2)


def test_steps_work_one_after_the_other_and_add_their_halos() -> None:
    @step(name="first", halo_px=2)
    def one(given: xr.Dataset) -> xr.Dataset:
        return given.assign(B04=given.B04 + 1)

    @step(name="second", halo_px=1)
    def two(given: xr.Dataset) -> xr.Dataset:
        return given.assign(B04=given.B04 * 10)

    made = Chain.of(["first", "second"])
    assert made.halo_px == 3
    np.testing.assert_allclose(made(series()).B04, (series().B04 + 1) * 10)


def test_a_chain_is_the_same_when_it_is_read_from_what_it_writes() -> None:
    @step
    def keep(given: xr.Dataset, share: float = 0.5) -> xr.Dataset:
        return given

    made = Chain.of(["keep", {"use": "keep", "share": 0.2}])
    assert Chain.of(made.plain()) == made


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("regulr", "did you mean"),
        ({"use": "one", "wdth": 3}, "no option wdth"),
        ({"width": 3}, "no step None"),
    ],
)
def test_what_is_no_step_is_told(given: object, words: str) -> None:
    @step(name="one")
    def one(series: xr.Dataset, width: int = 1) -> xr.Dataset:
        return series

    @step(name="regular")
    def regular(series: xr.Dataset) -> xr.Dataset:
        return series

    with pytest.raises(ConfigError, match=words):
        Chain.of([given])  # type: ignore[list-item]


def test_a_step_that_returns_no_series_is_named() -> None:
    @step(name="lost")
    def lost(given: xr.Dataset) -> xr.Dataset:
        return None  # type: ignore[return-value]

    with pytest.raises(InputError, match="step lost returned NoneType"):
        Chain.of(["lost"])(series())


def test_every_variable_at_every_date_is_a_feature_and_valid_is_none() -> None:
    names, values = features(series())
    assert names == (
        *("B04_d000", "B04_d016", "B04_d032", "VV_d000", "VV_d016", "VV_d032"),
        *("elevation", "rain_d000", "rain_d016", "rain_d032"),
    )
    assert values.shape == (10, 4, 5)
    np.testing.assert_array_equal(values[1], series().B04[1])
    np.testing.assert_array_equal(values[6], series().elevation)
    assert (values[8] == 1).all(), "what changes in time alone is the same everywhere"


def test_the_order_of_dimensions_does_not_matter() -> None:
    turned = series().transpose("x", "time", "y")
    np.testing.assert_array_equal(features(turned)[1], features(series())[1])


def test_a_series_without_numbers_has_no_features() -> None:
    with pytest.raises(InputError, match="no variable that could be a feature"):
        features(series()[["valid"]])
