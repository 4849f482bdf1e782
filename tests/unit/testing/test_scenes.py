"""The generator of synthetic scenes: its law, its truth, its sun, its noise."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

from groundshift.errors import UsageError
from groundshift.model.grid import Window, blocks
from groundshift.model.scl import SceneClass
from groundshift.testing.clouds import shadow_offset_px
from groundshift.testing.scenes import DateOptions, PairOptions, SceneOptions, SyntheticPair, pair, whole
from groundshift.testing.spectra import CHANGE_SPECTRA, NOISE_SHAPE, TRUTH_NO_DATA, Change

SHAPE = (180, 240)
RICH = PairOptions(
    scene=SceneOptions(seed=5, shape=SHAPE, tail_dof=6, noise_range_px=1.2),
    after=DateOptions(
        gain=1.1,
        offset=0.01,
        haze=0.02,
        season=0.05,
        shift_px=(0.3, -1.4),
        cloud_share=0.2,
        nodata_share=0.1,
        saturated_spots=20,
    ),
    changed=0.1,
    flood_height=1.0,
    harvest_share=0.2,
)


def quiet(**changes: object) -> SyntheticPair:
    """A pair without noise, clouds and atmosphere."""
    scene = SceneOptions(seed=2, shape=(300, 360), noise=0.0)
    return pair(PairOptions(**{"scene": scene, "after": DateOptions(), **changes}))  # type: ignore[arg-type]


@pytest.mark.parametrize(("bands", "resolution_m"), [(("B02", "B08"), 10), (("B11", "B03"), 20), (("B09", "B8A"), 60)])
def test_cutting_a_scene_into_blocks_changes_nothing(bands: tuple[str, ...], resolution_m: int) -> None:
    scene = pair(RICH).after
    window = whole(SHAPE, resolution_m)
    together = scene.reflectance(window, bands, resolution_m)
    size = (window.shape[0] // 3 + 1, window.shape[1] // 2 + 1)
    for part in blocks(window.shape, *size):
        piece = pair(RICH).after.reflectance(part, bands, resolution_m)
        np.testing.assert_array_equal(piece, together[:, *part.slices])


def test_cutting_classes_and_truth_into_blocks_changes_nothing() -> None:
    both = pair(RICH)
    scl, truth = both.after.scl(whole(SHAPE, 20)), both.truth(whole(SHAPE))
    for part in blocks((90, 120), 37, 50):
        np.testing.assert_array_equal(pair(RICH).after.scl(part), scl[part.slices])
    for part in blocks(SHAPE, 77, 100):
        np.testing.assert_array_equal(pair(RICH).truth(part), truth[part.slices])


def test_equal_options_draw_equal_scenes_and_other_seeds_do_not() -> None:
    window = Window(10, 60, 20, 90)
    one = pair(RICH).after.reflectance(window, ["B04"])
    again = copy.deepcopy(pair(RICH).after).reflectance(window, ["B04"])
    np.testing.assert_array_equal(one, again)
    other = pair(PairOptions(scene=SceneOptions(seed=6, shape=SHAPE))).after.reflectance(window, ["B04"])
    assert np.nanmean(np.abs(one - other)) > 0.01


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.20, 0.35])
def test_truth_holds_the_share_that_was_asked_for(share: float) -> None:
    kinds = (Change.CLEAR_CUT, Change.BURN, Change.CONSTRUCTION)
    both = pair(PairOptions(scene=SceneOptions(seed=3, shape=(600, 720)), changed=share, kinds=kinds))
    truth = both.truth(whole((600, 720)))
    assert np.mean(truth > 0) == pytest.approx(share, rel=0.05, abs=1e-9)
    assert set(np.unique(truth)) <= {0, *kinds}


def test_pixels_change_where_the_truth_says_and_nowhere_else() -> None:
    both = quiet(changed=0.1, kinds=(Change.CONSTRUCTION,), edge_px=1.0)
    window = whole((300, 360))
    before, after = (scene.reflectance(window, ["B03", "B08"]) for scene in (both.before, both.after))
    amount = both.amount(window)
    far = ~np.asarray(_grown(amount > 0, 5))
    np.testing.assert_array_equal(before[:, far], after[:, far])
    core = ~_grown(amount < 1, 5)
    np.testing.assert_allclose(after[0, core].mean(), CHANGE_SPECTRA[Change.CONSTRUCTION, 2], rtol=0.05)


def _grown(mask: np.ndarray, by: int) -> np.ndarray:
    padded = np.pad(mask, by)
    size = 2 * by + 1
    return np.lib.stride_tricks.sliding_window_view(padded, (size, size)).any(axis=(2, 3))


def test_a_coarse_band_is_the_mean_of_the_fine_field() -> None:
    scene = quiet().before
    fine = scene.reflectance(whole((300, 360)), ["B04"])
    coarse = scene.reflectance(whole((300, 360), 60), ["B04"], 60)
    np.testing.assert_allclose(coarse, fine.reshape(1, 50, 6, 60, 6).mean(axis=(2, 4)), rtol=1e-5)


def test_noise_has_the_asked_size_and_band_correlation() -> None:
    options = SceneOptions(seed=4, shape=(300, 300), noise=0.01, band_correlation=0.7)
    both = pair(PairOptions(scene=options, after=DateOptions(), changed=0.0))
    bands, window = ["B02", "B08"], whole((300, 300))
    difference = both.after.reflectance(window, bands) - both.before.reflectance(window, bands)
    spread = difference.reshape(2, -1).std(axis=1)
    np.testing.assert_allclose(spread, math.sqrt(2) * 0.01 * NOISE_SHAPE[[1, 7]], rtol=0.02)
    assert np.corrcoef(difference.reshape(2, -1))[0, 1] == pytest.approx(0.7, abs=0.02)


def test_heavy_tails_keep_the_variance_and_reach_farther() -> None:
    def noise(dof: int | None) -> np.ndarray:
        options = SceneOptions(seed=4, shape=(300, 300), noise=0.01, tail_dof=dof)
        both = pair(PairOptions(scene=options, after=DateOptions(), changed=0.0))
        window = whole((300, 300))
        return (both.after.reflectance(window, ["B08"]) - both.before.reflectance(window, ["B08"])).ravel()

    gauss, student = noise(None), noise(6)
    assert student.std() == pytest.approx(gauss.std(), rel=0.05)
    assert np.mean(np.abs(student) > 4 * student.std()) > 5 * np.mean(np.abs(gauss) > 4 * gauss.std())


def test_the_atmosphere_is_gain_and_offset() -> None:
    both = quiet(changed=0.0, after=DateOptions(gain=1.2, offset=0.03))
    window = Window(0, 50, 0, 50)
    before, after = (scene.reflectance(window, ["B04"]) for scene in (both.before, both.after))
    np.testing.assert_allclose(after, 1.2 * before + 0.03, rtol=1e-5)


def test_shadows_lie_where_the_sun_throws_them() -> None:
    # Sun in the north-east, 45 degrees up: 1000 m of height throw 1000 m to the south-west.
    rows, columns = shadow_offset_px(1000, 45, 45)
    assert (rows, columns) == pytest.approx((100 / math.sqrt(2), -100 / math.sqrt(2)))
    date = DateOptions(cloud_share=0.05, cloud_height_m=600, sun_zenith_deg=45, sun_azimuth_deg=90)
    shape = (480, 480)
    scene = pair(PairOptions(scene=SceneOptions(seed=8, shape=shape), after=date, changed=0.0)).after
    scl = scene.scl(whole(shape, 20))
    cloud, shadow = scl >= SceneClass.CLOUD_MEDIUM, scl == SceneClass.CLOUD_SHADOW
    west = [np.mean(shadow[:, : 240 - by] & cloud[:, by:]) for by in range(60)]
    assert abs(int(np.argmax(west)) - 30) <= 2  # 600 m are 30 pixels of 20 m


def test_clouds_cover_what_was_asked_and_shine() -> None:
    date = DateOptions(cloud_share=0.2)
    scene = pair(PairOptions(scene=SceneOptions(seed=8, shape=(600, 600)), after=date, changed=0.0)).after
    scl = scene.scl(whole((600, 600), 20))
    cloudy = np.isin(scl, (SceneClass.CLOUD_MEDIUM, SceneClass.CLOUD_HIGH))
    assert cloudy.mean() == pytest.approx(0.2, abs=0.03)
    blue = scene.reflectance(whole((600, 600), 20), ["B02"], 20)[0]
    assert blue[scl == SceneClass.CLOUD_HIGH].min() > 0.35


def test_beyond_the_swath_there_is_no_data_on_any_layer() -> None:
    both = pair(RICH)
    scene, window = both.after, whole(SHAPE, 20)
    valid = scene.valid(window, 20)
    assert 1 - valid.mean() == pytest.approx(0.1, abs=0.02)
    np.testing.assert_array_equal(scene.scl(window) == 0, ~valid)
    np.testing.assert_array_equal(np.isnan(scene.reflectance(window, ["B11"], 20)[0]), ~valid)
    np.testing.assert_array_equal(both.truth(whole(SHAPE)) == TRUTH_NO_DATA, ~scene.valid(whole(SHAPE)))


def test_saturated_spots_are_infinite_and_classified() -> None:
    scene, window = pair(RICH).after, whole(SHAPE, 20)
    hot = np.isinf(scene.reflectance(window, ["B03"], 20)[0])
    assert hot.any()
    np.testing.assert_array_equal(hot, scene.scl(window) == SceneClass.SATURATED)


def test_misregistration_moves_the_image() -> None:
    both = quiet(changed=0.0, after=DateOptions(shift_px=(1.0, -2.0)))
    before = both.before.reflectance(Window(50, 100, 50, 100), ["B08"])
    after = both.after.reflectance(Window(51, 101, 48, 98), ["B08"])
    np.testing.assert_allclose(after, before, atol=2e-4)


@pytest.mark.parametrize(
    "options",
    [
        lambda: SceneOptions(shape=(601, 600)),
        lambda: SceneOptions(band_correlation=1.0),
        lambda: SceneOptions(tail_dof=5),
        lambda: DateOptions(cloud_share=1.5),
        lambda: PairOptions(changed=0.5),
        lambda: PairOptions(kinds=()),
    ],
)
def test_options_out_of_bounds_are_usage_errors(options: object) -> None:
    with pytest.raises(UsageError, match="expected"):
        options()  # type: ignore[operator]


def test_a_band_finer_than_it_is_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no finer"):
        quiet().before.reflectance(Window(0, 6, 0, 6), ["B11"], 10)
