"""Checkpoints are whole or absent, few, refused where they do not fit; a resumed run equals an uninterrupted one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lavra.base import disk
from lavra.base.errors import ResumeError, TrainingError
from lavra.train import checkpoint
from lavra.train.checkpoint import checkpoint_folders, load_weights
from lavra.train.config import OptimizerConfig
from lavra.train.loop import train
from lavra.train.schedule import ScheduleConfig
from tests.train.tiny import Recorder, assert_same_bits, next_token, settings, tiny_model, weights

ROOT = Path(__file__).resolve().parents[2]
MUON = settings(9, optimizer=OptimizerConfig(), schedule=ScheduleConfig(), save_every=2, keep_checkpoints=2)


def run(where, config=MUON, *, fail_at=None, model=None, **more):
    model = model or tiny_model()
    recorder = Recorder(fail_at=fail_at)
    result = train(model, next_token(where), config, folder=where / "run", hooks=[recorder], **more)
    return model, recorder, result


def interrupted(where, config=MUON, fail_at=4, **more):
    with pytest.raises(RuntimeError, match="power"):
        run(where, config, fail_at=fail_at, **more)


def saved(where):
    return [path.name for path in checkpoint_folders(where / "run" / "checkpoints")]


@pytest.mark.parametrize("kind", ["muon", "adamw"])
@pytest.mark.parametrize("fail_at", [2, 3, 7])
def test_a_resumed_run_is_the_uninterrupted_one_bit_by_bit(tmp_path, kind, fail_at):
    config = replace(MUON, optimizer=OptimizerConfig(kind=kind), accumulation=2)
    whole_model, whole, _ = run(tmp_path, replace(config, save_every=0))
    shutil.rmtree(tmp_path / "run")
    interrupted(tmp_path, config, fail_at=fail_at)
    model, rest, result = run(tmp_path, config)
    assert result.resumed_from == fail_at // 2 * 2
    assert rest.losses == whole.losses[result.resumed_from :]
    assert_same_bits(weights(whole_model), weights(model))
    assert result.tokens == sum(2 * 2 * 32 for _ in range(9))


@pytest.mark.parametrize("fail_at", [2, 3, 4])
def test_early_stopping_goes_on_counting_after_a_resume(tmp_path, fail_at):
    """The best is 2.0 after two steps; three worse evaluations end the run after five."""
    scores = iter([3.0, 2.0, 2.5, 2.4, 2.3, 2.2, 2.1, 1.0])
    more = {"evaluate": lambda: {"score": next(scores)}}
    config = settings(8, eval_every=1, save_every=1, patience=3)
    interrupted(tmp_path, config, fail_at=fail_at, **more)  # before the evaluation of this step
    _, rest, result = run(tmp_path, config, **more)
    assert result.resumed_from == fail_at
    assert result.stopped_early
    assert result.steps == 5
    assert [metrics["score"] for _, metrics in rest.evals] == [2.5, 2.4, 2.3][fail_at - 2 :]


def test_resuming_crosses_an_epoch(tmp_path):
    epoch = len(next_token(tmp_path).batches)
    config = replace(MUON, num_steps=epoch // 16 + 3, accumulation=16)
    assert (config.num_steps - 2) * 16 > epoch
    whole_model, _, _ = run(tmp_path, config)
    shutil.rmtree(tmp_path / "run")
    interrupted(tmp_path, config, fail_at=config.num_steps - 2)
    model, _, result = run(tmp_path, config)
    assert result.resumed_from > 0
    assert_same_bits(weights(whole_model), weights(model))


def test_only_the_latest_are_kept(tmp_path):
    run(tmp_path, replace(MUON, keep_checkpoints=2))
    assert saved(tmp_path) == ["step-00000008", "step-00000009"]


def test_nothing_in_a_checkpoint_is_pickled(tmp_path):
    run(tmp_path)
    names = {path.name for path in (tmp_path / "run" / "checkpoints" / "step-00000009").iterdir()}
    assert names == {"weights.safetensors", "optimizer.safetensors", "state.json"}


def test_the_weights_can_be_loaded_without_the_run(tmp_path):
    trained, _, _ = run(tmp_path)
    fresh = tiny_model(seed=5)
    load_weights(tmp_path / "run" / "checkpoints" / "step-00000009", dict(fresh.named_parameters()))
    assert_same_bits(weights(trained), weights(fresh))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 3}, "seed: 0 -> 3"),
        ({"num_steps": 12}, "num_steps: 9 -> 12"),
        ({"optimizer": OptimizerConfig(learning_rate=0.5)}, r"optimizer.learning_rate: 0.005 -> 0.5"),
        ({"precision": "bf16"}, "precision: float32 -> bf16"),
        ({"accumulation": 3}, "micro_batches_a_step: 1 -> 3"),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path, changes, named):
    interrupted(tmp_path)
    with pytest.raises(ResumeError, match=named):
        run(tmp_path, replace(MUON, **changes), allow_drift=True)


def test_settings_that_only_watch_or_save_may_change(tmp_path):
    interrupted(tmp_path)
    _, _, result = run(tmp_path, replace(MUON, save_every=5, keep_checkpoints=1))
    assert result.resumed_from == 4


def test_other_data_are_refused(tmp_path):
    interrupted(tmp_path)
    with pytest.raises(ResumeError, match="first_batch"):
        train(tiny_model(), next_token(tmp_path, seed=1), MUON, folder=tmp_path / "run")


def test_another_model_is_refused_by_its_first_difference(tmp_path):
    interrupted(tmp_path)
    for other, named in (
        ({"layers": 3}, "decoder.blocks.2"),
        ({"hidden": 128}, r"\(64, 64\) there and \(128, 128\) here"),
    ):
        with pytest.raises(ResumeError, match=named):
            run(tmp_path, model=tiny_model(**other))


@pytest.mark.parametrize("field", ["torch", "instruction_set", "threads", "world_size", "compiled", "device"])
def test_another_machine_is_refused_unless_drift_is_allowed(tmp_path, field):
    interrupted(tmp_path)
    path = checkpoint_folders(tmp_path / "run" / "checkpoints")[-1] / "state.json"
    state = json.loads(path.read_text())
    state["machine"][field] = "elsewhere"
    path.write_text(json.dumps(state))
    with pytest.raises(ResumeError, match=rf"{field}: elsewhere -> .*`allow_drift`"):
        run(tmp_path)
    _, _, result = run(tmp_path, allow_drift=True)
    assert result.resumed_from == 4


def test_threads_are_part_of_the_machine(tmp_path):
    interrupted(tmp_path)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        with pytest.raises(ResumeError, match=f"threads: {threads} -> {threads + 1}"):
            run(tmp_path)
    finally:
        torch.set_num_threads(threads)


def test_leftovers_of_a_kill_are_swept_and_never_read(tmp_path):
    interrupted(tmp_path)
    folder = tmp_path / "run" / "checkpoints"
    (folder / ".tmp-step-00000006-abc").mkdir()
    (folder / ".tmp-step-00000006-abc" / "weights.safetensors").write_bytes(b"half")
    (folder / "step-00000006").mkdir()  # no state.json: not a checkpoint
    assert saved(tmp_path) == ["step-00000002", "step-00000004"]
    (folder / "step-00000006").rmdir()
    _, _, result = run(tmp_path)
    assert result.resumed_from == 4
    assert not list(folder.glob(".tmp-*"))


def test_a_full_disk_is_foreseen(tmp_path, monkeypatch):
    interrupted(tmp_path)
    monkeypatch.setattr(disk, "free_bytes", lambda path: 1000)
    monkeypatch.setattr(checkpoint, "free_bytes", lambda path: 1000)
    with pytest.raises(TrainingError, match=r"disk is full.*needs \d\.\d MB .* has 0\.0 MB free.*step-00000004"):
        run(tmp_path)


def test_a_disk_that_fills_up_while_writing_leaves_the_last_good_one(tmp_path, monkeypatch):
    """The free space seemed enough, but another program took it: the write itself fails."""
    interrupted(tmp_path)

    def fail(tensors, path):
        Path(path).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(TrainingError, match=r"disk is full.*last good checkpoint is .*step-00000004"):
        run(tmp_path)
    monkeypatch.undo()
    assert saved(tmp_path) == ["step-00000002", "step-00000004"]
    assert not list((tmp_path / "run" / "checkpoints").glob(".tmp-*"))
    assert run(tmp_path)[2].resumed_from == 4


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 4 MB; only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("foreseen", [True, False])
def test_a_disk_that_is_really_full(tmp_path, small_disk, monkeypatch, foreseen):
    """Each checkpoint takes 1.6 MB: two fit, the third does not (nothing is dropped before it is complete)."""
    if not foreseen:
        monkeypatch.setattr(checkpoint, "require_room", lambda folder, size, purpose: None)
    recorder, objective = Recorder(), next_token(tmp_path)
    config = replace(MUON, optimizer=OptimizerConfig(kind="adamw"), keep_checkpoints=3)
    with pytest.raises(TrainingError, match=r"disk is full.*needs 1\.\d MB.*last good checkpoint is .*step-00000004"):
        train(tiny_model(), objective, config, folder=small_disk, hooks=[recorder])
    assert recorder.saves == [2, 4]
    assert not list((small_disk / "checkpoints").glob(".tmp-*"))
    for path in checkpoint_folders(small_disk / "checkpoints"):
        assert all(tensor.isfinite().all() for tensor in load_file(path / "optimizer.safetensors").values())
    shutil.rmtree(small_disk / "checkpoints" / "step-00000002")
    again = Recorder()
    train(tiny_model(), objective, replace(config, save_every=0, keep_checkpoints=1), folder=small_disk, hooks=[again])
    assert [step for step, _ in again.steps] == [4, 5, 6, 7, 8]


def test_a_kill_in_the_middle_of_a_save_leaves_the_last_good_one(tmp_path):
    """The process kills itself after the weights of the second checkpoint are written, before the optimizer's state."""
    code = f"""if True:
        import os, signal, sys
        sys.path.insert(0, {str(ROOT)!r})
        from pathlib import Path
        from lavra.train import checkpoint
        from lavra.train.loop import train
        from tests.train.test_checkpoint import MUON
        from tests.train.tiny import next_token, tiny_model
        real, calls = checkpoint.save_file, []
        def save(tensors, path):
            calls.append(path)
            if len(calls) == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            real(tensors, path)
        checkpoint.save_file = save
        where = Path({str(tmp_path)!r})
        train(tiny_model(), next_token(where), MUON, folder=where / "run")
    """
    whole_model, _, _ = run(tmp_path)
    shutil.rmtree(tmp_path / "run")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert saved(tmp_path) == ["step-00000002"]
    assert list((tmp_path / "run" / "checkpoints").glob(".tmp-*"))
    model, _, result = run(tmp_path)
    assert result.resumed_from == 2
    assert_same_bits(weights(whole_model), weights(model))


def test_a_run_goes_on_with_the_threads_it_began_with_unless_the_user_set_some(tmp_path, monkeypatch):
    """The number of threads follows the machine's load; a resumed run must not differ or be refused because of it."""
    before = torch.get_num_threads()
    interrupted(tmp_path)
    try:
        monkeypatch.setenv("OMP_NUM_THREADS", str(before))
        torch.set_num_threads(before + 1)
        with pytest.raises(ResumeError, match=rf"threads: {before} -> {before + 1}"):
            run(tmp_path)
        monkeypatch.delenv("OMP_NUM_THREADS")
        _, _, result = run(tmp_path)
        assert result.resumed_from == 4
        assert torch.get_num_threads() == before
    finally:
        torch.set_num_threads(before)
