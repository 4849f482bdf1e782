"""Quicklooks: the same brightness is the same reflectance, and every cut of the image gives the same picture."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from groundshift.model.grid import Window, blocks
from groundshift.model.legend import NO_DATA, change_legend
from groundshift.report import pictures

RNG = np.random.default_rng(0)
RAMP = np.linspace(-0.05, 1.5, 4000, dtype=np.float32)


def _scene(shape: tuple[int, int] = (30, 40), scale: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    return RNG.gamma(2, scale / 2, (3, *shape)).astype(np.float32), np.ones(shape, bool)


def _law(*dates: tuple[np.ndarray, np.ndarray]) -> pictures.Stretch:
    return pictures.common_stretch(dates or (_scene(),))


@pytest.mark.parametrize(
    ("available", "bands"),
    [
        (("B02", "B03", "B04", "B08"), ("B04", "B03", "B02")),
        (("B03", "B04", "B08"), ("B08", "B04", "B03")),
        (("B04", "B8A", "B12"), ("B12", "B8A", "B04")),
        (("B02", "B08"), ("B08", "B08", "B08")),
    ],
)
def test_colours_are_natural_where_the_bands_allow(available: tuple[str, ...], bands: tuple[str, ...]) -> None:
    chosen = pictures.true_colour(available)
    assert chosen.bands == bands
    assert bands[0] in chosen.name


def test_brightness_never_falls_where_reflectance_rises_and_spans_the_whole_range() -> None:
    rgb = np.broadcast_to(RAMP, (3, 1, RAMP.size))
    bright = pictures.stretch(rgb, np.ones((1, RAMP.size), bool), _law())[0].astype(int)
    assert (np.diff(bright, axis=0) >= 0).all()
    assert (bright[0] == 0).all()
    assert (bright[-1] >= 250).all()
    assert len(np.unique(bright[:, 0])) > 200


def test_both_dates_share_one_law_though_one_is_darker() -> None:
    before, after = _scene(scale=0.3), _scene(scale=0.1)
    after[0][:, 3, 3] = before[0][:, 7, 7]
    law = _law(before, after)
    assert (pictures.stretch(*before, law)[7, 7] == pictures.stretch(*after, law)[3, 3]).all()
    assert pictures.stretch(*before, law).mean() > pictures.stretch(*after, law).mean() + 20


def test_a_few_clouds_do_not_darken_the_ground() -> None:
    clear = _scene((100, 100))
    cloudy = clear[0].copy()
    cloudy[:, 0, :50] = 1.4
    assert _law((cloudy, clear[1])).span == pytest.approx(_law(clear).span, rel=0.25)


def test_the_median_lies_where_texture_shows() -> None:
    scene = _scene((100, 100))
    assert 85 < np.median(pictures.stretch(*scene, _law(scene))) < 125


def test_what_is_not_valid_or_not_finite_is_blank() -> None:
    rgb, valid = _scene()
    valid[0, 0], rgb[1, 2, 2] = False, np.nan
    picture = pictures.stretch(rgb, valid, _law((rgb, valid)))
    assert picture.shape == (30, 40, 3)
    assert picture.dtype == np.uint8
    assert (picture[[0, 2], [0, 2]] == pictures.BLANK).all()


@pytest.mark.parametrize("fill", [0.0, 0.2])
def test_a_scene_without_valid_pixels_or_without_contrast_has_a_stretch(fill: float) -> None:
    rgb = np.full((3, 5, 5), fill, np.float32)
    for valid in (np.zeros((5, 5), bool), np.ones((5, 5), bool)):
        assert pictures.stretch(rgb, valid, _law((rgb, valid))).shape == (5, 5, 3)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 7), st.integers(1, 17), st.integers(1, 17), st.randoms())
def test_any_cut_of_the_image_gives_the_same_quicklooks(rows, columns, step, high, wide, random) -> None:
    rng = np.random.default_rng(random.randrange(1000))
    shape = (rows, columns)
    values = rng.integers(0, 64, (3, rows, columns)).astype(np.float32) / 64
    valid, labels = rng.random(shape) < 0.7, rng.choice(np.array([0, 1, 2, NO_DATA], np.uint8), shape)
    whole = pictures.ReflectanceQuicklook(shape, step=step), pictures.LabelQuicklook(shape, step=step)
    cut = pictures.ReflectanceQuicklook(shape, step=step), pictures.LabelQuicklook(shape, step=step)
    windows = list(blocks(shape, high, wide))
    random.shuffle(windows)
    for looks, parts in ((whole, [Window(0, rows, 0, columns)]), (cut, windows)):
        for part in parts:
            looks[0].add(part, values[(slice(None), *part.slices)], valid[part.slices])
            looks[1].add(part, labels[part.slices])
    for one, other in zip((*whole[0].result(), *whole[1].result()), (*cut[0].result(), *cut[1].result()), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_cell_is_the_mean_of_its_valid_pixels() -> None:
    look = pictures.ReflectanceQuicklook((2, 3), bands=1, step=2)
    valid = np.array([[True, True, False], [False, True, False]])
    look.add(Window(0, 2, 0, 3), np.array([[[0.1, 0.2, 9], [9, 0.6, np.nan]]], np.float32), valid)
    mean, usable = look.result()
    np.testing.assert_allclose(mean, [[[0.3, 0]]], rtol=1e-6)
    np.testing.assert_array_equal(usable, [[True, False]])


def test_a_small_change_stays_visible_with_its_share() -> None:
    labels = np.zeros((6, 9), np.uint8)
    labels[0, 0], labels[0, 3:6], labels[1, 3], labels[:3, 6:] = 2, 1, 2, NO_DATA
    labels[3, 0:3], labels[4, 0:3] = NO_DATA, 1
    look = pictures.LabelQuicklook((6, 9), step=3)
    look.add(Window(0, 6, 0, 9), labels)
    kinds, share = look.result()
    np.testing.assert_array_equal(kinds, [[2, 1, NO_DATA], [1, 0, 0]])
    np.testing.assert_allclose(share, [[1 / 9, 4 / 9, 0], [0.5, 0, 0]], rtol=1e-6)


@pytest.mark.parametrize(("shape", "step"), [((10980, 10980), 6), ((2048, 100), 1), ((1, 2049), 2)])
def test_a_quicklook_is_at_most_2048_pixels_long(shape: tuple[int, int], step: int) -> None:
    assert pictures.quicklook_step(shape) == step
    assert max(-(-side // step) for side in shape) <= 2048


def test_kinds_are_painted_in_the_colours_of_the_legend_over_a_pale_ground() -> None:
    legend = change_legend(3)
    labels = np.array([[0, 1, 2, 3, NO_DATA]], np.uint8)
    picture = pictures.change_picture(labels, np.full((1, 5), 100, np.uint8), legend)
    for k in (1, 2, 3):
        assert tuple(picture[0, k]) == legend[k].color[:3]
    for k in (0, 4):
        assert len(set(picture[0, k].tolist())) == 1
    assert picture[0, 0, 0] > 128


def test_a_cell_with_a_small_share_of_change_is_fainter_but_seen() -> None:
    labels, base = np.ones((1, 3), np.uint8), np.full((1, 3), 100, np.uint8)
    picture = pictures.change_picture(labels, base, change_legend(1), np.array([[0.01, 0.7, 1.0]])).astype(int)
    ground = pictures.change_picture(labels * 0, base, change_legend(1)).astype(int)
    strength = np.abs(picture - ground).sum(axis=2)[0]
    assert strength[0] > 0.4 * strength[2]
    assert all(a < b for a, b in pairwise(strength))


def test_no_data_is_hatched_so_that_it_cannot_be_taken_for_ground() -> None:
    labels = np.full((30, 30), NO_DATA, np.uint8)
    picture = pictures.change_picture(labels, np.zeros((30, 30), np.uint8), change_legend(1))
    assert len(np.unique(picture)) == 2


@pytest.mark.parametrize("shape", [(5, 7), (300, 900), (400, 200)])
@pytest.mark.parametrize("pixel_size_m", [None, 10.0])
def test_a_slide_carries_the_picture_unchanged_between_title_and_legend(
    shape: tuple[int, int], pixel_size_m: float | None
) -> None:
    picture = RNG.integers(0, 255, (*shape, 3), dtype=np.uint8)
    entries = [(entry.color[:3], entry.name) for entry in change_legend(12)[:-1]] + [(None, "not compared")]
    sheet = pictures.slide(picture, entries, "A title far too long for any slide " * 9, "subtitle", pixel_size_m)
    grow = -(-720 // shape[1]) if shape[1] < 720 else 1
    unit = max(16, round(shape[1] * grow / 62))
    top = int(4.2 * unit)
    body = sheet[top : top + shape[0] * grow : grow, unit : unit + shape[1] * grow : grow]
    np.testing.assert_array_equal(body, picture)
    below = sheet[top + shape[0] * grow :].reshape(-1, 3)
    for color, _ in entries[1:-1]:
        assert (below == np.array(color)).all(axis=1).any()
    assert (sheet[:, : unit // 2] == 255).all()


@pytest.mark.parametrize(
    ("width", "pixel", "length", "label"),
    [(1000, 10.0, 200, "2 km"), (800, 10.0, 200, "2 km"), (90, 9.1, 200 / 9.1, "200 m")],
)
def test_the_scale_bar_is_a_round_length_of_a_quarter_of_the_width_at_most(
    width: int, pixel: float, length: float, label: str
) -> None:
    assert pictures.scale_bar(width, pixel) == (pytest.approx(length), label)


def test_png_keeps_every_pixel() -> None:
    picture = RNG.integers(0, 255, (9, 11, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(pictures.png(picture)))), picture)


def test_a_picture_for_the_page_keeps_its_shape_and_stays_below_the_limit() -> None:
    small = pictures.png(RNG.integers(0, 255, (20, 30, 3), dtype=np.uint8))
    assert pictures.for_page(small) == ("image/png", small, (30, 20))
    kind, data, (width, height) = pictures.for_page(
        pictures.png(RNG.integers(0, 255, (900, 600, 3), dtype=np.uint8)), 90_000
    )
    assert kind == "image/jpeg"
    assert len(data) <= 90_000
    assert height / width == pytest.approx(1.5, rel=0.02)
    assert Image.open(io.BytesIO(data)).size == (width, height)
