"""How the benchmarks print: tables in Markdown, and the folder of their pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


def results() -> Path:
    """The folder of pictures and summaries, made on the first call."""
    RESULTS.mkdir(exist_ok=True)
    return RESULTS


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table: numbers of three digits, the first column to the left."""
    cells = [list(head), *([_text(each) for each in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = [" | ".join(_aligned(row, widths)) for row in cells]
    rule = " | ".join("-" * width if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths))
    print(f"\n{title}\n\n| {lines[0]} |\n| {rule} |")
    print("\n".join(f"| {line} |" for line in lines[1:]), flush=True)


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        text.ljust(width) if i == 0 else text.rjust(width)
        for i, (text, width) in enumerate(zip(row, widths, strict=True))
    ]


def flat(peaks: Mapping[int, int], limit: int, most: float) -> bool:
    """Say whether memory stays below a limit, and of the highest image within so many times that of the lowest.

    Args:
        peaks: bytes, by rows of the image.
        limit: bytes.
        most: of the highest over the lowest.
    """
    growth, largest = peaks[max(peaks)] / peaks[min(peaks)], max(peaks.values())
    good = largest <= limit and growth <= most
    said = "met" if good else "missed"
    print(f"\nMemory: {growth:.2f} times that of the lowest, at most {largest / 1e9:.2f} GB: {said}")
    return good
