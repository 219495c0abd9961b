"""Durations and sizes as people write them: `30s`, `4m`, `1h30m`; `64MB`, `1.5GiB`.

Sizes follow the standard: kB, MB, GB are powers of 1000 (SI), KiB, MiB, GiB powers of 1024 (IEC 80000-13).
"""

from __future__ import annotations

import re

from lavra.base.errors import ConfigError

_SECONDS = {"ms": 1e-3, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: dict[str, int] = {"": 1, "b": 1} | {
    f"{letter}{suffix}": step ** (power + 1)
    for power, letter in enumerate("kmgt")
    for suffix, step in (("", 1000), ("b", 1000), ("ib", 1024))
}


def parse_duration(text: str) -> float:
    """Seconds in `30s`, `4m`, `1h30m`, `250ms` or a plain number of seconds.

    >>> parse_duration("1h30m")
    5400.0

    Raises:
        ConfigError: the text is none of these, or is negative.
    """
    compact = text.strip().lower().replace(" ", "")
    parts = re.findall(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)(ms|min|s|m|h|d)?", compact)
    whole = "".join(number + unit for number, unit in parts)
    bare = sum(not unit for _, unit in parts)  # "1h30" is ambiguous: a unit-less number must stand alone
    if not parts or whole != compact or (bare and len(parts) > 1):
        raise ConfigError(f"{text!r} is not a duration; write one such as 30s, 4m or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_size(text: str) -> int:
    """Bytes in `64MB`, `1.5GiB` or a plain number of bytes.

    >>> parse_size("64MB")
    64000000

    Raises:
        ConfigError: the text is neither, or is negative.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\+?\d+)?)([a-z]*)", text.strip().lower().replace(" ", ""))
    if match is None or match[2] not in _BYTES:
        raise ConfigError(f"{text!r} is not a size; write one such as 64MB, 1.5GB or 512KiB")
    return round(float(match[1]) * _BYTES[match[2]])


def format_duration(seconds: float) -> str:
    """The shortest exact form of a duration: `0.42s`, `9.1s`, `4m`, `4m 05s`, `1h 30m`.

    >>> format_duration(245)
    '4m 05s'
    """
    if seconds < 59.5:
        return f"{seconds:.2g}s" if seconds < 9.95 else f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02d}m" if minutes else f"{hours}h"
    return f"{minutes}m {rest:02d}s" if rest else f"{minutes}m"


def format_size(num_bytes: float) -> str:
    """Bytes in powers of 1000 with three significant digits: `512 B`, `1.5 kB`, `64 MB`.

    >>> format_size(64_000_000)
    '64 MB'
    """
    value = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.4g} TB"
