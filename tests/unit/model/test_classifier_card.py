"""The card of a classifier: features by name, classes that can be."""

from dataclasses import replace

import pytest

from groundshift.errors import InputError
from groundshift.model.classifier import ModelCard

CARD = ModelCard(
    kind="rf",
    features=("B2", "B3", "NDVI"),
    codes=(1, 4),
    names=("crop", "wood"),
    trained_shares=(0.5, 0.5),
    shares=(0.5, 0.5),
)


def test_features_are_found_in_any_order() -> None:
    assert CARD.order(["NDVI", "B2", "B3"]).tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["B2", "NDVI"], r"\(rf, 3 features\): missing: B3\. "),
        (["B2", "B3", "NDVI", "B4", "DEM"], r"unknown to it: B4, DEM\. "),
        (["B2", "B3", "ndvi"], r"missing: NDVI; unknown to it: ndvi\. "),
        (["B2", "B3", "NDVI", "B3"], r"there twice: B3\. "),
        (["B2", "B3", "NDVI", *"abcdefg"], r"unknown to it: a, b, c, d, e and 2 more\. "),
    ],
)
def test_other_features_are_refused_by_name(given: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        CARD.order(given)


@pytest.mark.parametrize(
    "change",
    [
        {"codes": (4, 1)},
        {"codes": (0, 1)},
        {"codes": (1, 255)},
        {"codes": (1,), "names": ("crop",), "trained_shares": (1.0,), "shares": (1.0,)},
        {"names": ("crop",)},
        {"features": ("B2", "B2")},
        {"features": ()},
        {"temperature": 0.0},
        {"trained_shares": (0.0, 1.0)},
        {"shares": (-1.0, 2.0)},
    ],
)
def test_cards_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputError):
        replace(CARD, **change)  # type: ignore[arg-type]


def test_the_ratio_is_expected_over_trained_share() -> None:
    assert CARD.ratio is None
    ratio = replace(CARD, shares=(0.1, 0.9)).ratio
    assert ratio is not None
    assert ratio.tolist() == [0.2, 1.8]
