"""Conformance suite of the `Stream` port.

Subclass `StreamConformance` in a test module (with a name starting with `Test`) and define how to open a stream; pytest
then tests what every stream owes its reader: the pieces make the whole, and a cancelled stream ends and reports it.

Deliberately absent: how soon pieces come, and how many tokens each has.
"""

# ruff: noqa: D102 - the names of the tests say what they hold

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from lavra.base.ports import Stream
from lavra.base.types import Completion, Delta, FinishReason


class StreamConformance:
    """The contract of every `Stream`."""

    def open_stream(self) -> Stream:
        """Open a new, unread stream of the same request each time.

        The request is greedy and writes many more tokens than come before a reader can cancel.
        """
        raise NotImplementedError("a conformance suite says which stream it tests")

    def test_satisfies_the_protocol(self) -> None:
        stream = self.open_stream()
        assert isinstance(stream, Stream)
        _read(stream)

    def test_the_last_delta_carries_the_completion_and_no_other(self) -> None:
        deltas = list(self.open_stream())
        assert len(deltas) > 1, "a stream of one piece says nothing about the order of pieces"
        assert [delta.completion is not None for delta in deltas] == [False] * (len(deltas) - 1) + [True]

    def test_the_pieces_make_the_whole(self) -> None:
        whole = self.check_whole(_read(self.open_stream()))
        assert whole.tokens
        assert whole.finish_reason in (FinishReason.STOP, FinishReason.LENGTH)

    def test_the_same_request_writes_the_same(self) -> None:
        first, second = (_last(_read(self.open_stream())) for _ in range(2))
        assert (first.text, first.tokens, first.finish_reason) == (second.text, second.tokens, second.finish_reason)

    def test_a_cancelled_stream_says_so(self) -> None:
        stream, deltas = self.open_stream(), list[Delta]()
        for delta in stream:
            deltas.append(delta)
            stream.cancel()
        self.check_cancelled(deltas)

    def test_another_thread_may_cancel(self) -> None:
        stream, deltas = self.open_stream(), list[Delta]()
        with ThreadPoolExecutor(1) as other:
            for delta in stream:
                deltas.append(delta)
                other.submit(stream.cancel).result()
        self.check_cancelled(deltas)

    def test_a_stream_cancelled_before_it_is_read_ends_too(self) -> None:
        stream = self.open_stream()
        stream.cancel()
        self.check_cancelled(_read(stream))

    def test_cancelling_after_the_end_changes_nothing(self) -> None:
        stream = self.open_stream()
        whole = _last(_read(stream))
        stream.cancel()
        stream.cancel()
        assert whole.finish_reason in (FinishReason.STOP, FinishReason.LENGTH)
        assert (whole.text, whole.tokens) == _text_and_tokens(_last(_read(self.open_stream())))

    def check_cancelled(self, deltas: Sequence[Delta]) -> None:
        """Check that the stream ended early, and that its completion is the part that was read."""
        whole, free = self.check_whole(deltas), _last(_read(self.open_stream()))
        assert whole.finish_reason is FinishReason.CANCELLED
        assert len(whole.tokens) < len(free.tokens)
        assert free.tokens[: len(whole.tokens)] == whole.tokens

    def check_whole(self, deltas: Sequence[Delta]) -> Completion:
        """Check the completion at the end: its text and tokens are those of the deltas joined."""
        whole = _last(deltas)
        assert "".join(delta.text for delta in deltas) == whole.text
        assert tuple(chain.from_iterable(delta.tokens for delta in deltas)) == whole.tokens
        assert tuple(chain.from_iterable(delta.logprobs for delta in deltas)) == whole.logprobs
        assert len(whole.tokens) == whole.usage.completion_tokens
        return whole


def _read(stream: Stream) -> list[Delta]:
    return list(stream)


def _last(deltas: Sequence[Delta]) -> Completion:
    assert deltas, "a stream ended without a delta"
    whole = deltas[-1].completion
    assert whole is not None, "a stream ended without its completion"
    return whole


def _text_and_tokens(whole: Completion) -> tuple[str, tuple[int, ...]]:
    return whole.text, whole.tokens
