"""Samples of a raster: small cases that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from groundshift.errors import InputError, UsageError
from groundshift.landcover.samples import SampleOptions, draw, merge
from groundshift.testing.reference import reference
from groundshift.testing.scenes import SceneOptions
from groundshift.testing.year import SyntheticYear, YearOptions


def test_erosion_drops_what_touches_another_class_and_keeps_the_border_of_the_raster() -> None:
    truth = np.zeros((5, 9), np.uint8)
    truth[:, :4], truth[:, 4:8] = 1, 2
    drawn = draw(truth, SampleOptions(erode_px=1))
    assert set(drawn.column[drawn.label == 1]) == {0, 1, 2}
    assert set(drawn.column[drawn.label == 2]) == {5, 6}
    assert set(drawn.row) == {0, 1, 2, 3, 4}


def test_two_fields_of_one_class_have_a_border_where_polygons_are_given() -> None:
    truth = np.ones((3, 8), np.uint8)
    fields = np.repeat([[7, 9]], 4, axis=1).repeat(3, axis=0)
    drawn = draw(truth, polygons=fields)
    assert set(drawn.column[drawn.polygon == 7]) == {0, 1, 2}
    assert set(drawn.column[drawn.polygon == 9]) == {5, 6, 7}


def test_another_seed_draws_others() -> None:
    truth = np.ones((50, 50), np.uint8)
    one, other = (draw(truth, SampleOptions(per_class=50, seed=seed)) for seed in (0, 1))
    assert len(set(zip(one.row, one.column, strict=True)) & set(zip(other.row, other.column, strict=True))) < 15


def test_a_rare_class_is_not_crowded_out_by_distance() -> None:
    truth = np.ones((200, 200), np.uint8)
    truth[90:110, 90:110] = 2
    drawn = draw(truth, SampleOptions(per_class=40, erode_px=0, distance_px=4))
    assert np.bincount(drawn.label).tolist()[1] == 40
    assert np.bincount(drawn.label).tolist()[2] > 10


def test_samples_of_the_synthetic_year_carry_its_classes() -> None:
    year = SyntheticYear(options=YearOptions(scene=SceneOptions(seed=3, shape=(240, 300))))
    classes = year.class_map()
    drawn = draw(classes, SampleOptions(per_class=100), polygons=year.parcel_map())
    np.testing.assert_array_equal(classes[drawn.row, drawn.column], drawn.label)
    assert (drawn.polygon > 0).all()
    assert len(reference(year).label) > 40


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="uint8"):
        draw(np.ones((4, 4), np.int32))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="erode_px"):
        SampleOptions(erode_px=-1)
    with pytest.raises(InputError, match="no block"):
        merge([])
