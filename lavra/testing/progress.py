"""Conformance suite of the `Progress` port.

Subclass `ProgressConformance` in a test module (with a name starting with `Test`) and define how to make the progress,
and how to read the text that it has shown, where it shows any.

Deliberately absent: how progress looks, and how often it shows anything.
"""

# ruff: noqa: D102 - the names of the tests say what they hold

from __future__ import annotations

from lavra.base.ports import Progress


class ProgressConformance:
    """The contract of every `Progress`."""

    def make_progress(self) -> Progress:
        """Make a progress as a command does; it shows every call, where it can."""
        raise NotImplementedError("a conformance suite says which progress it tests")

    def shown(self) -> str | None:
        """All text that the latest progress has shown; None for a progress that shows nothing."""
        return None

    def test_it_takes_every_state_of_a_step(self) -> None:
        """Report steps by place and by name, with and without a total, from nothing to all; calls return nothing."""
        progress = self.make_progress()
        for done in (0, 1, 2.5, 10):
            assert progress("read", done, 10) is None  # type: ignore[func-returns-value]
            assert progress("read", done, 10, "loss 2.31") is None  # type: ignore[func-returns-value]
        assert progress(step="read", done=10, total=10, note="") is None  # type: ignore[func-returns-value]

    def test_a_total_may_be_unknown_or_nothing_or_wrong(self) -> None:
        progress = self.make_progress()
        for total in (None, 0, 5, None):
            for done in (0, 3, 6):
                progress("count", done, total)

    def test_a_step_may_begin_again(self) -> None:
        progress = self.make_progress()
        for step in ("read", "write", "read"):
            for done in (0, 5, 9, 4):
                progress(step, done, 9)

    def test_any_text_is_only_text(self) -> None:
        """Report names of files and answers of models in steps and notes."""
        progress = self.make_progress()
        for text in ("[/bold]", "[red]", "{0} {name} %s", "a\tb", "", "naïve 日本"):
            for done in (0, 1, 2):
                progress(text, done, 2, text)

    def test_it_is_called_as_often_as_there_is_news(self) -> None:
        progress = self.make_progress()
        for done in range(1_000):
            progress("train", done, 1_000, f"loss {done}")

    def test_what_is_shown_names_the_step_and_the_note(self) -> None:
        progress = self.make_progress()
        for done in range(5):
            progress("gather", done, 5, f"file {done}")
            progress("tidy", done, None, f"row {done}")
        shown = self.shown()
        assert shown is None or all(word in shown for word in ("gather", "tidy", "file 3", "row 3"))
