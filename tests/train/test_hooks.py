"""Records of a run: lines on disk that survive kills, TensorBoard files, callbacks."""

from __future__ import annotations

import json

import pytest

from lavra.testing.hook import HookConformance
from lavra.train.hooks import CallbackHook, JsonlHook, TensorBoardHook, read_metrics


class TestLines(HookConformance):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.path = tmp_path / "run" / "metrics.jsonl"

    def make_hook(self):
        return JsonlHook(self.path)


class TestCallback(HookConformance):
    def make_hook(self):
        return CallbackHook(lambda step, metrics: None)


class TestTensorBoard(HookConformance):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        pytest.importorskip("tensorboard")
        self.path = tmp_path

    def make_hook(self):
        return TensorBoardHook(self.path)


def test_lines_come_back_in_order_and_the_last_of_a_step_wins(tmp_path):
    path = tmp_path / "run" / "metrics.jsonl"
    first = JsonlHook(path)
    for step in range(4):
        first.on_step(step, {"loss": 9.0 - step})
    first.on_eval(2, {"bits": 1.5})
    first.on_end({})
    second = JsonlHook(path)  # resumed from step 2
    second.on_step(2, {"loss": 7.5})
    second.on_eval(2, {"bits": 1.25})
    second.on_end({})
    assert read_metrics(path) == [
        {"step": 0, "loss": 9.0},
        {"step": 1, "loss": 8.0},
        {"step": 2, "loss": 7.5},
        {"step": 2, "eval_bits": 1.25},
        {"step": 3, "loss": 6.0},
    ]


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_a_line_torn_by_a_kill_costs_only_itself(tmp_path, cut):
    path = tmp_path / "metrics.jsonl"
    hook = JsonlHook(path)
    hook.on_step(0, {"loss": 1.0})
    hook.on_step(1, {"loss": 2.0})
    hook.on_end({})
    path.write_bytes(path.read_bytes()[:-cut])
    resumed = JsonlHook(path)
    resumed.on_step(1, {"loss": 3.0})
    resumed.on_end({})
    assert read_metrics(path) == [{"step": 0, "loss": 1.0}, {"step": 1, "loss": 3.0}]


def test_every_line_is_on_disk_at_once(tmp_path):
    hook = JsonlHook(tmp_path / "metrics.jsonl")
    hook.on_step(0, {"loss": 1.0})
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 0, "loss": 1.0}


def test_callback_hears_steps_and_evaluations():
    heard = []
    hook = CallbackHook(lambda step, metrics: heard.append((step, dict(metrics))))
    hook.on_step(3, {"loss": 1.0})
    assert hook.on_eval(4, {"bits": 2.0}) is False
    hook.on_save(4, "folder")
    hook.on_end({})
    assert heard == [(3, {"loss": 1.0}), (4, {"eval_bits": 2.0})]


def test_tensorboard_reads_what_was_written(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    hook = TensorBoardHook(tmp_path)
    hook.on_step(0, {"loss": 2.5})
    hook.on_step(1, {"loss": 2.0})
    hook.on_eval(2, {"bits": 1.5})
    hook.on_end({})
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(0, 2.5), (1, 2.0)]
    assert [(event.step, event.value) for event in events.Scalars("eval/bits")] == [(2, 1.5)]
