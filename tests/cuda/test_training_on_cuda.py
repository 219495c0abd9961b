"""Training on a GPU: the CPU's losses, in both precisions, compiled, resumed, recomputed; and the free memory."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from lavra.base.device import available_memory, bf16_pays, fingerprint
from lavra.base.errors import ResumeError
from lavra.model.loss import chunk_rows, chunked_cross_entropy, compile_loss, use_eager_loss
from lavra.pipeline.fit import memory_check
from lavra.pipeline.heldout import fill_holes, score_documents
from lavra.pipeline.plan import Plan
from lavra.train.config import OptimizerConfig, TrainConfig
from lavra.train.estimate import training_memory
from lavra.train.loop import train
from lavra.train.objective import Objective, token_loss
from tests.cuda.device import CPU, DEVICE, NEEDS_CUDA, NEEDS_DEVICE, ON_CUDA, moved
from tests.train.test_checks import objective
from tests.train.tiny import (
    PLAIN_ADAMW,
    Ragged,
    Recorder,
    dataset,
    settings,
    tiny_config,
    tiny_model,
    weights,
)

pytestmark = NEEDS_DEVICE
ROOT = Path(__file__).resolve().parents[2]
MUON = OptimizerConfig(learning_rate=3e-3)
STEPS = 12


def run(objective=None, config=None, *, device=DEVICE, model=None, recorder=None, **more):
    model = tiny_model().to(device) if model is None else model.to(device)
    recorder = recorder or Recorder()
    made = objective or Objective(batches=Ragged(batch_size=4), loss=token_loss)
    result = train(model, made, config or settings(STEPS), hooks=[recorder], **more)
    return model, recorder, result


@contextmanager
def peak_memory():
    """Peak of bytes on the GPU within the block above the bytes before it; 0 on other devices."""
    peak = [0]
    if ON_CUDA:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    yield peak
    if ON_CUDA:
        peak[0] = torch.cuda.max_memory_allocated() - before


@pytest.mark.parametrize("optimizer", [PLAIN_ADAMW, MUON], ids=["adamw", "muon"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon", "bert", "t5"])
def test_losses_are_those_of_the_cpu(tmp_path, family, optimizer):
    losses = {}
    for device in (CPU, DEVICE):
        made = objective(tmp_path, family, rows=4)
        config = settings(STEPS, optimizer=optimizer, accumulation=2)
        losses[device] = run(made, config, model=tiny_model(family), device=device)[1].losses
    assert losses[DEVICE] == pytest.approx(losses[CPU], rel=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("compile", ["off", "on"])
def test_the_loss_falls(precision, compile):
    config = settings(STEPS, precision=precision, compile=compile)
    _, recorder, result = run(config=config)
    exact = run(config=settings(STEPS), device=CPU)[1].losses
    assert result.compiled == (compile == "on")
    assert recorder.losses[-1] < recorder.losses[0] - 0.3
    assert recorder.losses == pytest.approx(exact, rel=2e-4 if precision == "float32" else 0.01)


@pytest.mark.parametrize("family", ["gpt2", "bert", "t5"])
def test_every_kind_of_block_compiles(tmp_path, family):
    made = objective(tmp_path, family)
    plain = run(made, settings(4), model=tiny_model(family))[1].losses
    _, recorder, result = run(made, settings(4, compile="on", precision="bf16"), model=tiny_model(family))
    assert result.compiled
    assert recorder.losses == pytest.approx(plain, rel=0.01)


@pytest.mark.parametrize(
    ("precision", "compile", "optimizer"),
    [("float32", "off", PLAIN_ADAMW), ("float32", "off", MUON), ("bf16", "on", MUON)],
)
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, precision, compile, optimizer):
    config = settings(10, precision=precision, compile=compile, optimizer=optimizer, save_every=4)
    whole_model, whole, _ = run(config=config, folder=tmp_path / "whole")
    with pytest.raises(RuntimeError, match="power"):
        run(config=config, folder=tmp_path / "cut", recorder=Recorder(fail_at=6))
    model, rest, result = run(config=config, folder=tmp_path / "cut")
    assert result.resumed_from == 4
    assert rest.losses == pytest.approx(whole.losses[4:], rel=1e-6)
    largest = max(float((one - weights(whole_model)[name]).abs().max()) for name, one in weights(model).items())
    assert largest < 1e-6


@NEEDS_CUDA
def test_a_run_begun_there_goes_on_here_only_when_drift_is_allowed(tmp_path):
    whole = run()[1].losses
    with pytest.raises(RuntimeError, match="power"):
        run(config=settings(STEPS, save_every=4), folder=tmp_path, recorder=Recorder(fail_at=5))
    with pytest.raises(ResumeError, match=r"device: cuda .* -> cpu"):
        run(device=CPU, folder=tmp_path)
    _, rest, result = run(device=CPU, folder=tmp_path, allow_drift=True)
    assert result.resumed_from == 4
    assert rest.losses == pytest.approx(whole[4:], rel=2e-4)


@pytest.mark.parametrize("compile", ["off", "on"])
def test_recomputed_activations_are_the_same_and_take_less_memory(compile):
    rows, length, hidden = (8, 512, 512) if ON_CUDA else (2, 60, 64)
    losses, peaks = {}, {}
    for recomputed in (False, True):
        made = Objective(batches=Ragged(batch_size=rows, sequence_length=length), loss=token_loss)
        config = settings(4, activation_checkpointing=recomputed, compile=compile)
        model = tiny_model(layers=8, hidden=hidden, max_positions=512)
        with peak_memory() as peak:
            losses[recomputed] = run(made, config, model=model)[1].losses
        peaks[recomputed] = peak[0]
    assert losses[True] == pytest.approx(losses[False], rel=1e-5)
    assert peaks[True] < 0.7 * peaks[False] or not ON_CUDA


@pytest.mark.parametrize("family", ["bert", "t5"])
def test_held_out_holes_cost_what_they_do_on_the_cpu(tmp_path, family):
    batches = objective(tmp_path, family).batches
    model = tiny_model(family)
    expected, found = (np.concatenate(fill_holes(moved(model, device), batches, 3)) for device in (CPU, DEVICE))
    assert np.abs(found - expected).max() < 1e-4


def test_held_out_documents_cost_what_they_do_on_the_cpu(tmp_path):
    data, model = dataset(tmp_path), tiny_model()
    expected, found = (score_documents(moved(model, device).eval(), data, range(20)) for device in (CPU, DEVICE))
    assert found.num_tokens == expected.num_tokens
    assert found.nll == pytest.approx(expected.nll, rel=1e-5)


@pytest.mark.parametrize("compile", [False, True])
def test_the_loss_in_several_chunks_is_the_plain_one(compile):
    """The logits of this many rows are more than one chunk on either kind of device."""
    torch.manual_seed(0)
    vocab, rows = 4096, chunk_rows(4096, DEVICE) + 100
    hidden, head = torch.randn(rows, 32, device=DEVICE), torch.randn(vocab, 32, device=DEVICE) * 0.3
    labels = torch.randint(vocab, (rows,), device=DEVICE)
    use_eager_loss()
    if compile:
        compile_loss(vocab, torch.float32, DEVICE)
    found = {}
    for name in ("chunked", "plain"):
        x, w = hidden.clone().requires_grad_(), head.clone().requires_grad_()
        loss = (
            chunked_cross_entropy(x, w, labels)
            if name == "chunked"
            else cross_entropy(x @ w.T, labels, reduction="sum")
        )
        loss.backward()
        found[name] = (loss.detach(), x.grad, w.grad)
    use_eager_loss()
    for ours, plain in zip(found["chunked"], found["plain"], strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-3)


def plan(**changes) -> Plan:
    shape = {"hidden_size": 64, "num_layers": 2, "num_heads": 1, "sequence_length": 64, "batch_size": 8}
    return Plan(family="llama", train=TrainConfig(num_steps=9, compile="off"), seed=0, **{**shape, **changes})


@NEEDS_CUDA
def test_available_memory_is_what_is_free_on_the_gpu():
    torch.cuda.empty_cache()
    before = available_memory(DEVICE)
    assert before <= torch.cuda.get_device_properties(DEVICE).total_memory
    assert available_memory() == pytest.approx(before, rel=0.01)
    held = torch.empty(2 << 30, dtype=torch.uint8, device=DEVICE)
    assert before - available_memory(DEVICE) == pytest.approx(held.nbytes, rel=0.02)
    del held  # torch caches it for later requests: it is available, though the driver counts it as used
    assert available_memory(DEVICE) == pytest.approx(before, rel=0.001)


@NEEDS_CUDA
def test_a_plan_is_measured_against_the_gpus_memory():
    batch = Ragged(batch_size=8, sequence_length=64).batch(0)
    passed = memory_check(plan(), tiny_config(), batch, compiled=False)
    assert passed.passed, passed
    huge = tiny_config(layers=48, hidden=16384, num_heads=128)
    refused = memory_check(plan(hidden_size=16384, num_layers=48), huge, batch, compiled=False)
    assert not refused.passed
    assert "not even one row fits" in refused.remedy


@NEEDS_CUDA
@pytest.mark.parametrize("compile", ["off", "on"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_estimate_of_memory_is_near_what_a_run_takes(precision, compile):
    model = tiny_model(layers=8, hidden=512, max_positions=512)
    config = settings(3, precision=precision, optimizer=MUON, compile=compile)
    made = Objective(batches=Ragged(batch_size=8, sequence_length=512), loss=token_loss)
    with peak_memory() as peak:
        run(made, config, model=model)
    said = training_memory(model.config, config, made.batches.batch(0), compiled=compile == "on", device=DEVICE)
    assert 0.7 < (said.total - said.process) / peak[0] < 1.6


@NEEDS_CUDA
def test_the_gpu_is_named_and_asked_for_bf16():
    assert fingerprint(DEVICE).device == f"cuda {torch.cuda.get_device_name()}"
    assert bf16_pays(DEVICE)


# The program of a launcher: one process, because there is one GPU, but with NCCL and everything around it.
PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from lavra.train.config import Parallel
from lavra.train.loop import train
from tests.train.tiny import Recorder, ragged, settings, tiny_model
recorder = Recorder()
config = settings(4, accumulation=2, parallel=Parallel(sys.argv[3]), save_every=2)
train(tiny_model().to(sys.argv[4]), ragged(), config, folder=Path(sys.argv[2]), hooks=[recorder])
(Path(sys.argv[2]) / "losses.json").write_text(json.dumps(recorder.losses))
"""


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_a_launched_process_trains_as_one_that_was_not(tmp_path, parallel):
    (tmp_path / "program.py").write_text(PROGRAM)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
    arguments = [str(tmp_path / "program.py"), str(ROOT), str(tmp_path), parallel, DEVICE.type]
    done = subprocess.run([*launcher, *arguments], capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stderr[-3000:]
    made = Objective(batches=Ragged(batch_size=2), loss=token_loss)
    plain = run(made, settings(4, accumulation=2))[1].losses
    assert json.loads((tmp_path / "losses.json").read_text()) == pytest.approx(plain, rel=1e-5)
