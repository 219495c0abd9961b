"""Stretches of a token sequence that a model reads at once, so that a text longer than its context is scored whole.

Every token is scored exactly once.  The stride decides how many tokens before it a window reads again: half the
window is usual, and a stride of the whole window is lm-evaluation-harness' (`get_rolling_token_windows`).
"""

from __future__ import annotations

from dataclasses import dataclass

from lavra.base.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreWindow:
    """A stretch of a token sequence read at once; tokens `first` up to `end` are scored, the rest is context.

    Attributes:
        start: first token read.
        first: first token scored, over `start`.
        end: position after the last scored token; that token itself is not read.
    """

    start: int
    first: int
    end: int


def plan_windows(num_tokens: int, *, window: int, stride: int, first: int = 1) -> list[ScoreWindow]:
    """Windows that score tokens `first` to `num_tokens` once each, reading at most `window` tokens at a time.

    Every scored token sees at least `min(its position, window - stride + 1)` tokens before it.

    Raises:
        ConfigError: the stride is under 1 or over the window.
    """
    count = number_of_windows(num_tokens, window=window, stride=stride, first=first)
    return [nth_window(number, num_tokens, window=window, stride=stride, first=first) for number in range(count)]


def nth_window(number: int, num_tokens: int, *, window: int, stride: int, first: int = 1) -> ScoreWindow:
    """Window `number` of `plan_windows`, without planning those before it."""
    begin, end = max(first, 1), _first_end(window, stride, first)
    if number:
        begin = end + (number - 1) * stride
        end = begin + stride
    end = min(num_tokens, end)
    return ScoreWindow(start=max(0, end - 1 - window), first=begin, end=end)


def number_of_windows(num_tokens: int, *, window: int, stride: int, first: int = 1) -> int:
    """The number of windows of `plan_windows`.

    Raises:
        ConfigError: the stride is under 1 or over the window.
    """
    if not 1 <= stride <= window:
        raise ConfigError(f"stride={stride} is outside 1..window={window}; half the window is a good stride")
    if num_tokens <= max(first, 1):
        return 0
    return 1 + max(0, -(-(num_tokens - _first_end(window, stride, first)) // stride))


def _first_end(window: int, stride: int, first: int) -> int:
    """End of the first window of a long text: it reads as much as it can, or scores a whole stride."""
    return max(max(first, 1) + stride, window + 1)


def stride_of(window: int, overlap: int | None) -> int:
    """Tokens scored by each window after the first.

    Args:
        window: most tokens read at once.
        overlap: tokens that each window reads again; `None` is half the window.

    Raises:
        ConfigError: the overlap leaves no token to score.
    """
    if overlap is None:
        return max(1, window // 2)
    if not 0 <= overlap < window:
        raise ConfigError(f"overlap={overlap} is outside 0..{window - 1}, the context less one token; lower it")
    return window - overlap
