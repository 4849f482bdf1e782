"""The audit never takes a correct product for a wrong one by a hair: laws over random quantiles."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from groundshift.radiometry.audit import OFFSET_REFLECTANCE, Dark, audit

BANDS = ("B02", "B03", "B04", "B08", "B8A", "B11", "B12")
LOW = st.floats(-0.02, 0.6, allow_nan=False)


@st.composite
def scenes(draw: st.DrawFn) -> dict[str, Dark]:
    chosen = draw(st.lists(st.sampled_from(BANDS), min_size=1, unique=True))
    out = {}
    for band in chosen:
        low = draw(LOW)
        out[band] = Dark(low, low + draw(st.floats(0, 0.2)), draw(st.integers(0, 10**7)))
    return out


@given(scenes(), st.sampled_from(["L1C", "L2A", None]))
def test_adding_the_offset_never_turns_a_scene_absent(scene: dict[str, Dark], level: str | None) -> None:
    shifted = {
        band: Dark(d.low + OFFSET_REFLECTANCE, d.high + OFFSET_REFLECTANCE, d.pixels) for band, d in scene.items()
    }
    assert audit(shifted, level).verdict != "absent"


@given(scenes(), st.sampled_from(["L1C", "L2A", None]))
def test_a_scene_with_a_dark_visible_band_is_never_present(scene: dict[str, Dark], level: str | None) -> None:
    scene["B04"] = Dark(0.05, 0.06, 10**6)
    assert audit(scene, level).verdict != "present"


@given(scenes(), st.permutations(BANDS))
def test_the_order_of_bands_does_not_matter(scene: dict[str, Dark], order: list[str]) -> None:
    shuffled = {band: scene[band] for band in order if band in scene}
    assert audit(shuffled, "L2A").verdict == audit(scene, "L2A").verdict
