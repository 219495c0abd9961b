"""Conformance suite of the `Hook` port.

Subclass `HookConformance` in a test module (with a name starting with `Test`) and define how to make the hook; pytest
then tests what every hook owes the training loop: it takes every report of a run, in the order of the run, and changes
nothing of it.

Deliberately absent: the use that a hook makes of the reports; each hook has tests of its own for that.
"""

# ruff: noqa: D102 - the names of the tests say what they hold

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from lavra.base.ports import Hook

STEP = {
    "loss": 2.5,
    "gradient_norm": 0.75,
    "learning_rate": 1e-3,
    "tokens": 4096.0,
    "tokens_per_second": 1024.0,
    "seconds": 4.0,
}
EVALUATION = {"loss": 2.25, "bits_per_byte": 1.125}
SUMMARY: Mapping[str, Any] = {"steps": 4, "best": None, "stopped": "the budget is spent", "metrics": {"loss": 2.25}}


class HookConformance:
    """The contract of every `Hook`."""

    def make_hook(self) -> Hook:
        """Make a hook as a run does; a resumed run makes another hook, which finds the state that the first left."""
        raise NotImplementedError("a conformance suite says which hook it tests")

    def test_satisfies_the_protocol(self) -> None:
        hook = self.make_hook()
        assert isinstance(hook, Hook)
        hook.on_end(SUMMARY)

    def test_it_hears_a_run(self) -> None:
        """Report steps, an evaluation and a checkpoint every second step, and the end; the hook answers with a bool."""
        hook = self.make_hook()
        for step in range(4):
            assert self.hear("on_step", hook, step, STEP) is None
            if step % 2:
                assert isinstance(self.hear("on_eval", hook, step, EVALUATION), bool)
                assert self.hear("on_save", hook, step, f"checkpoints/step-{step}") is None
        assert self.hear("on_end", hook, SUMMARY) is None

    def test_a_run_may_end_before_its_first_step(self) -> None:
        self.hear("on_end", self.make_hook(), SUMMARY)

    def test_a_run_may_be_evaluated_before_its_first_step(self) -> None:
        hook = self.make_hook()
        self.hear("on_eval", hook, 0, EVALUATION)
        self.hear("on_end", hook, SUMMARY)

    def test_a_resumed_run_repeats_steps(self) -> None:
        """Kill the first run, so that it never ends; the second begins before the place that the first reached."""
        killed = self.make_hook()
        for step in range(3):
            self.hear("on_step", killed, step, STEP)
        resumed = self.make_hook()
        for step in range(1, 5):
            self.hear("on_step", resumed, step, STEP)
        self.hear("on_end", resumed, SUMMARY)

    def test_a_loss_may_be_no_number(self) -> None:
        """Report a run that diverges: the hook's own error must not hide it."""
        hook = self.make_hook()
        for loss in (float("nan"), float("inf")):
            self.hear("on_step", hook, 0, {**STEP, "loss": loss})
            assert isinstance(self.hear("on_eval", hook, 0, {"loss": loss}), bool)
        self.hear("on_end", hook, SUMMARY)

    def test_a_run_reports_what_it_likes(self) -> None:
        """Report an objective's own metrics beside the usual ones, from some step on."""
        hook = self.make_hook()
        self.hear("on_step", hook, 0, STEP)
        self.hear("on_step", hook, 1, {**STEP, "accuracy": 0.5})
        self.hear("on_step", hook, 2, {"loss": 1.0})
        self.hear("on_end", hook, SUMMARY)

    def hear(self, event: str, hook: Hook, *arguments: Any) -> Any:
        """Call a hook as the loop does, and check that it changes nothing of its arguments."""
        given = deepcopy(arguments)
        result = getattr(hook, event)(*given)
        assert repr(given) == repr(arguments), f"{event} changed what it was given"  # repr: NaN is not equal to itself
        return result
