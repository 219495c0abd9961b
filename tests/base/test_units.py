"""Durations and sizes in the forms that people write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError
from lavra.base.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("4m", 240),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1h 30m 5s", 5405),
        ("250ms", 0.25),
        ("2min", 120),
        ("90", 90),
        ("1.5h", 5400),
        ("2D", 172800),
        ("1e2s", 100),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "m", "4 parsecs", "-3s", "1h30", "4m!", "nan", "1..2s"])
def test_invalid_durations_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a duration; write one such as"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64MB", 64_000_000),
        ("64MiB", 64 * 2**20),
        ("1.5 GB", 1_500_000_000),
        ("512k", 512_000),
        ("7", 7),
        ("7B", 7),
        ("2TiB", 2**41),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "4XB", "1e-9GB", "4 M B x"])
def test_invalid_sizes_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a size; write one such as"):
        parse_size(text)


@given(st.integers(0, 10**7))
def test_a_shown_duration_reads_back_to_what_it_shows(seconds: int) -> None:
    tolerance = 0 if seconds < 3600 else 59  # minutes are all that is shown beyond an hour
    assert abs(parse_duration(format_duration(seconds)) - seconds) <= tolerance


@given(st.integers(0, 10**14))
def test_a_shown_size_reads_back_within_its_digits(size: int) -> None:
    assert parse_size(format_size(size)) == pytest.approx(size, rel=0.006)


def test_durations_and_sizes_are_shown() -> None:
    assert [format_duration(s) for s in (0.4, 9.12, 59.7, 240, 245, 3600, 5400)] == [
        "0.4s",
        "9.1s",
        "1m",
        "4m",
        "4m 05s",
        "1h",
        "1h 30m",
    ]
    assert [format_size(s) for s in (512, 1500, 999_600, 64_000_000)] == ["512 B", "1.5 kB", "1 MB", "64 MB"]
