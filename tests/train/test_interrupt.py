"""Ctrl-C in training: the step ends, a checkpoint is saved, and the next run resumes from that step."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import torch

from lavra.base.errors import SavedInterrupt
from lavra.train import interrupt
from lavra.train.checkpoint import checkpoint_folders
from lavra.train.config import TrainConfig
from lavra.train.hooks import CallbackHook
from lavra.train.interrupt import interrupts_wait
from lavra.train.loop import train
from tests.train.tiny import next_token, tiny_model

CONFIG = TrainConfig(num_steps=6, compile="off")


def pressing_at(step: int, presses: int = 1) -> CallbackHook:
    def press(now: int, metrics) -> None:
        if now == step:
            for _ in range(presses):
                os.kill(os.getpid(), signal.SIGINT)

    return CallbackHook(press)


def test_finished_steps_are_saved_and_resumed(tmp_path, capfd):
    alone = tiny_model()
    train(alone, next_token(tmp_path), CONFIG)
    with pytest.raises(SavedInterrupt, match=r"step 3 of 6 is saved in .*checkpoints"):
        train(tiny_model(), next_token(tmp_path), CONFIG, folder=tmp_path, hooks=[pressing_at(2)])
    assert "saving a checkpoint" in capfd.readouterr().err
    assert [folder.name for folder in checkpoint_folders(tmp_path / "checkpoints")] == ["step-00000003"]
    resumed = tiny_model()
    result = train(resumed, next_token(tmp_path), CONFIG, folder=tmp_path)
    assert result.resumed_from == 3
    for name, tensor in alone.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_press_stops_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(interrupt, "SAME_PRESS", -1.0)
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(tiny_model(), next_token(tmp_path), CONFIG, folder=tmp_path, hooks=[pressing_at(2, presses=2)])
    assert not isinstance(stopped.value, SavedInterrupt)
    assert not checkpoint_folders(tmp_path / "checkpoints")


def test_one_press_that_comes_twice_is_one(tmp_path):
    with pytest.raises(SavedInterrupt):
        train(tiny_model(), next_token(tmp_path), CONFIG, folder=tmp_path, hooks=[pressing_at(2, presses=2)])


def test_where_nothing_is_saved_it_stops_at_once(tmp_path):
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(tiny_model(), next_token(tmp_path), CONFIG, hooks=[pressing_at(2)])
    assert not isinstance(stopped.value, SavedInterrupt)


def test_handlers_of_others_and_other_threads_are_left_alone():
    mine = lambda number, frame: None  # noqa: E731
    signal.signal(signal.SIGINT, mine)
    try:
        with interrupts_wait(True):
            assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    came: list[bool] = []

    def elsewhere() -> None:
        with interrupts_wait(True) as interrupted:
            came.append(interrupted())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert came == [False]
