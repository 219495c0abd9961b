"""The current activity is shown after some silent seconds, and never over a bar or a conversation."""

from __future__ import annotations

import io
import threading

import pytest

from lavra.verbs import activity as module
from lavra.verbs import meter as console
from lavra.verbs.activity import Activity, report_long_silence
from lavra.verbs.meter import Unit, meter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_silence_is_broken_again_and_again(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    activity = Activity()
    activity.begin("opening model")
    for _ in range(30):
        clock.now += 0.5
        activity.look()
    assert capsys.readouterr().err.splitlines() == [f"opening model: {seconds}s so far" for seconds in (4, 8, 12)]


def test_nothing_is_said_while_something_is_shown_or_nothing_is_done(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    activity = Activity()
    activity.begin("train")
    for _ in range(10):
        clock.now += 3
        activity.heard()
        activity.look()
    activity.live(shown=True)
    clock.now += 60
    activity.look()
    activity.live(shown=False)
    activity.begin("")
    clock.now += 60
    activity.look()
    assert capsys.readouterr().err == ""


def test_a_meter_names_what_is_done_and_a_bar_keeps_the_others_quiet(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "time", clock)
    monkeypatch.setattr(console, "activity", Activity())
    with meter(Unit.THINGS, io.StringIO()) as shown:
        shown("score before", 0)
        clock.now += 5
        console.activity.look()
    assert capsys.readouterr().err == "score before: 5s so far\n"


def test_the_watch_ends_with_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module, "SILENCE", 0.0)
    monkeypatch.setattr(module, "_LOOKS", 0.01)
    said = threading.Event()
    monkeypatch.setattr(Activity, "heard", lambda self: said.set())
    before = threading.active_count()
    with report_long_silence("waiting"):
        said.wait(0.1)
    assert "waiting: 0s so far" in capsys.readouterr().err
    assert threading.active_count() == before
    module.activity.look()
    assert capsys.readouterr().err == ""
