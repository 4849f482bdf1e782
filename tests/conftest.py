"""Fixtures that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

_DATA = Path(__file__).parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real images that lie beside the project; skips where it is absent."""
    if not _DATA.is_dir():
        pytest.skip("real data (../shared/data) is not on this machine")
    return _DATA


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything below tests/real carries the mark of its folder."""
    for item in items:
        if "real" in Path(str(item.fspath)).relative_to(Path(__file__).parent).parts:
            item.add_marker(pytest.mark.real)
