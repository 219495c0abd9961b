"""The suite of hooks: one that remembers passes, and each broken variant fails."""

from __future__ import annotations

from lavra.testing.hook import HookConformance
from tests.testing.suites import check


class ToyHook:
    """Remembers the losses."""

    def __init__(self):
        self.losses = []

    def on_step(self, step, metrics):
        self.losses.append(metrics["loss"])

    def on_eval(self, step, metrics):
        return False

    def on_save(self, step, folder):
        pass

    def on_end(self, summary):
        pass


class WithHook(HookConformance):
    def __init__(self, **methods):
        self.kind = type("Hook", (ToyHook,), methods)

    def make_hook(self):
        return self.kind()


class NoHook(WithHook):
    def make_hook(self):
        hook = type("NoHook", (), {name: getattr(ToyHook, name) for name in ("__init__", "on_step", "on_end")})
        return hook()


def test_hooks():
    def changing(self, step, metrics):
        metrics["seen"] = True

    def rising(self, step, metrics):
        assert metrics["loss"] < 9, "the loss is not a number"

    def counting(self, step, metrics):
        self.losses.append(step)
        assert step == len(self.losses) - 1, "a step is missing"

    def same_names(self, step, metrics):
        self.names = getattr(self, "names", set(metrics))
        assert set(metrics) == self.names

    broken = {
        "changing": (lambda: WithHook(on_step=changing), {"it_hears_a_run"}),
        "without an answer": (lambda: WithHook(on_eval=lambda *_: None), {"it_hears_a_run"}),
        "with an answer": (lambda: WithHook(on_end=lambda *_: True), {"it_hears_a_run"}),
        "only numbers": (lambda: WithHook(on_step=rising), {"a_loss_may_be_no_number"}),
        "counting": (lambda: WithHook(on_step=counting), {"a_resumed_run_repeats_steps"}),
        "same names": (lambda: WithHook(on_step=same_names), {"a_run_reports_what_it_likes"}),
        "mean at the end": (
            lambda: WithHook(on_end=lambda self, _: 1 / len(self.losses)),
            {"a_run_may_end_before_its_first_step", "a_run_may_be_evaluated_before_its_first_step"},
        ),
        "no hook": (NoHook, {"satisfies_the_protocol"}),
    }
    check(WithHook(), broken)
