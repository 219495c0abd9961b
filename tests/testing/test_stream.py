"""The suite of streams: the toy's own pass, and each broken variant fails."""

from __future__ import annotations

from dataclasses import replace

from lavra.base.types import GenerateRequest
from lavra.testing.stream import StreamConformance
from tests.testing.suites import check
from tests.testing.toy_model import ToyModel, ToyStream


class WithStreams(StreamConformance):
    def __init__(self, stream=ToyStream, model=None):
        self.stream, self.model = stream, model or ToyModel()

    def open_stream(self):
        return self.stream(self.model, GenerateRequest(prompt="abc", max_tokens=9))


class Deaf(ToyStream):
    def cancel(self):
        pass


class Raising(ToyStream):
    def cancel(self):
        if self.cancelled:
            raise RuntimeError("cancelled twice")
        self.cancelled = True


class Silenced(ToyStream):
    """A cancelled stream ends without a completion."""

    def __iter__(self):
        for delta in ToyStream.__iter__(self):
            if self.cancelled:
                return
            yield delta


class Forgetful(ToyStream):
    """The completion of a cancelled stream lacks the text that was read."""

    def cut(self, written):
        return super().cut("")


class Doubled(ToyStream):
    """Every delta comes twice."""

    def __iter__(self):
        return (delta for delta in ToyStream.__iter__(self) for _ in range(2))


class Restless(ToyStream):
    """Each stream of a request has another text."""

    count = 0

    def __init__(self, model, request):
        Restless.count += 1
        super().__init__(model, replace(request, prompt=request.prompt + "x" * Restless.count))


class NoStream:
    def __init__(self, model, request):
        self.stream = ToyStream(model, request)

    def __iter__(self):
        return iter(self.stream)


CANCELLED = {"a_cancelled_stream_says_so", "another_thread_may_cancel", "a_stream_cancelled_before_it_is_read_ends_too"}


def test_streams():
    broken = {
        "deaf": (lambda: WithStreams(Deaf), CANCELLED),
        "raising": (lambda: WithStreams(Raising), {"cancelling_after_the_end_changes_nothing"}),
        "silenced": (lambda: WithStreams(Silenced), CANCELLED),
        "forgetful": (lambda: WithStreams(Forgetful), {"a_cancelled_stream_says_so"}),
        "doubled": (
            lambda: WithStreams(Doubled),
            {"the_last_delta_carries_the_completion_and_no_other", "the_pieces_make_the_whole"},
        ),
        "restless": (lambda: WithStreams(Restless), {"the_same_request_writes_the_same"}),
        "no stream": (lambda: WithStreams(NoStream), {"satisfies_the_protocol"}),
    }
    check(WithStreams(), broken)
