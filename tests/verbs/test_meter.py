"""Progress of verbs: nothing for quick ones, a bar in a terminal, lines elsewhere."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from lavra.base.events import emit
from lavra.base.ports import Progress, silent
from lavra.testing.progress import ProgressConformance
from lavra.verbs import meter as console
from lavra.verbs.meter import Meter, Unit, meter, stages_shown


class Clock:
    """Time that passes only when the test advances it."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(console, "time", clock)
    return clock


class TestLines(ProgressConformance):
    """A meter that shows every call."""

    stream_type: type[io.StringIO] = io.StringIO

    @pytest.fixture(autouse=True)
    def _eager(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(console, "LINE_EVERY", 0.0)
        monkeypatch.setattr(console, "BAR_AFTER", 0.0)
        self.stream = self.stream_type()
        with meter(Unit.THINGS, self.stream) as self.meter:
            yield

    def make_progress(self) -> Meter:
        return self.meter

    def shown(self) -> str | None:
        self.meter.close()
        return self.stream.getvalue()


class TestBar(TestLines):
    stream_type = Terminal


class TestSilent(ProgressConformance):
    def make_progress(self) -> Progress:
        return silent


def run(shown: Meter, clock: Clock, step: str, seconds: int, note: str = "") -> None:
    for second in range(seconds + 1):
        shown(step, second * 1e6, seconds * 1e6, note)
        clock.now += 1
    clock.now -= 1


def test_quick_work_shows_nothing(clock: Clock) -> None:
    for stream in (io.StringIO(), Terminal()):
        with meter(Unit.BYTES, stream) as shown:
            run(shown, clock, "read", 1)
            run(shown, clock, "write", 1)
        assert stream.getvalue() == ""


def test_without_a_terminal_there_is_a_line_every_five_seconds(clock: Clock) -> None:
    stream = io.StringIO()
    with meter(Unit.BYTES, stream) as shown:
        run(shown, clock, "read", 12, note="loss 2.3")
    assert stream.getvalue().splitlines() == [
        "read: 5 MB of 12 MB, 5s so far, about 7s left, loss 2.3",
        "read: 10 MB of 12 MB, 10s so far, about 2s left, loss 2.3",
    ]


def test_an_unknown_total_promises_nothing(clock: Clock) -> None:
    stream = io.StringIO()
    with meter(Unit.THINGS, stream) as shown:
        shown("find", 0)
        clock.now += 6
        shown("find", 1234)
    assert stream.getvalue() == "find: 1,234, 6s so far\n"


def test_on_a_terminal_a_bar_opens_after_two_seconds_and_goes(clock: Clock) -> None:
    stream = Terminal()
    with meter(Unit.BYTES, stream) as shown:
        run(shown, clock, "read", 1)
        assert stream.getvalue() == ""
        run(shown, clock, "read", 4, note="[not markup]")
        run(shown, clock, "write", 4)
    seen = stream.getvalue()
    assert "read" in seen
    assert "of 4 MB" in seen
    assert "write" in seen
    assert seen.rstrip().endswith("\x1b[2K")  # the bar is wiped at the end


def test_a_bar_is_closed_when_the_work_fails(clock: Clock) -> None:
    stream = Terminal()

    def fail() -> None:
        with meter(Unit.BYTES, stream) as shown:
            run(shown, clock, "read", 5)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h") == 1  # the cursor is back


def test_stages_are_shown_as_they_go(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    place = {"stage": "corpus", "index": 1, "total": 2}
    with stages_shown(stream):
        emit("stage.start", key="0", **place)
        emit("stage.done", folder="x", seconds=61.0, **place)
        emit("stage.done", folder="x", seconds=0.1, skipped="no text to measure", **place)
        emit("stage.reused", folder="x", **place)
        emit("stage.reused", folder="x", note="1 of 2 files was not used", **place)
        emit("stage.failed", error=OSError(), seconds=0.5, **place)
        emit("train.step", step=3)
    emit("stage.start", **place)
    assert stream.getvalue().splitlines() == [
        "[1/2] corpus …",
        "[1/2] corpus: done in 1m 01s",
        "[1/2] corpus: skipped: no text to measure",
        "[1/2] corpus: unchanged, reused",
        "[1/2] corpus: unchanged, reused; 1 of 2 files was not used",
        "[1/2] corpus: stopped after 0.5s",
    ]
    assert capsys.readouterr().out == ""
