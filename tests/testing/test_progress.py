"""The suite of progress: one that writes lines passes, and each broken variant fails."""

from __future__ import annotations

from lavra.base.ports import silent
from lavra.testing.progress import ProgressConformance
from tests.testing.suites import check


class WithProgress(ProgressConformance):
    """A progress that writes lines, so that its output is visible."""

    def __init__(self, show=None):
        self.lines, self.show = [], show

    def make_progress(self):
        def progress(step, done, total, note=""):
            if self.show is not None:
                return self.show(step, done, total, note)
            self.lines.append(f"{step} {done} of {total} {note}")
            return None

        return progress

    def shown(self):
        return "\n".join(self.lines)


def test_progress():
    def strict(step, done, total, note):
        assert total
        assert done <= total

    def share(step, done, total, note):
        return done / total

    def formatted(step, done, total, note):
        note.format(done)

    def forward(seen=0):
        def show(step, done, total, note):
            nonlocal seen
            assert done >= seen
            seen = done

        return show

    def recorded():
        seen = []

        def show(step, done, total, note):
            seen.append(note)
            assert len(seen) < 500, "too much to keep"

        return show

    broken = {
        "strict": (lambda: WithProgress(strict), {"a_total_may_be_unknown_or_nothing_or_wrong"}),
        "answering": (lambda: WithProgress(share), {"it_takes_every_state_of_a_step"}),
        "formatted": (lambda: WithProgress(formatted), {"any_text_is_only_text"}),
        "forward": (lambda: WithProgress(forward()), {"a_step_may_begin_again"}),
        "recorded": (lambda: WithProgress(recorded()), {"it_is_called_as_often_as_there_is_news"}),
        "mute": (lambda: WithProgress(silent), {"what_is_shown_names_the_step_and_the_note"}),
    }
    check(WithProgress(), broken)
