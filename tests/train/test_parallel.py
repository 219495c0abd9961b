"""Two gloo processes started by torchrun beside one process: the same losses step by step, the same weights."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch

from lavra.base.errors import ConfigError
from lavra.train.checkpoint import checkpoint_folders, load_weights
from lavra.train.config import OptimizerConfig, Parallel
from lavra.train.loop import train
from tests.train.tiny import Recorder, ragged, settings, tiny_model, weights

ROOT = Path(__file__).resolve().parents[2]
OPTIMIZERS = {"muon": OptimizerConfig(), "adamw": OptimizerConfig(kind="adamw", learning_rate=3e-3)}
STEPS = 6

# The program of every process; the main one writes its results.
PROGRAM = """
import json, sys
from pathlib import Path
import torch
from lavra.train.config import Parallel
from lavra.train.loop import train
from lavra.train.parallel import ProcessGroup
from tests.train.test_parallel import OPTIMIZERS, STEPS
from tests.train.tiny import Recorder, ragged, settings, tiny_model

folder, parallel, kind, fail_at = Path(sys.argv[1]), Parallel(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
config = settings(STEPS, accumulation=2, parallel=parallel, optimizer=OPTIMIZERS[kind], save_every=2, eval_every=3)
recorder = Recorder(fail_at=fail_at)
model = tiny_model(seed=7)

def evaluate():
    batch = ragged().batches.batch(99)
    return {"loss": float(ragged().loss(model, batch))}

result = train(model, ragged(), config, folder=folder, hooks=[recorder], evaluate=evaluate)
if recorder.steps:
    seen = {"losses": recorder.losses, "evals": recorder.evals, "tokens": result.tokens}
    (folder / "seen.json").write_text(json.dumps(seen))
world = ProcessGroup(parallel, torch.device("cpu"))
common = {
    "from main": world.from_main(10.0 + world.rank),
    "one says yes": world.any(world.rank == 1),
    "nobody says yes": world.any(False),
    "sum": int(world.sum(torch.tensor(1 + world.rank))),
}
(folder / f"common-{world.rank}.json").write_text(json.dumps(common))
"""


def torchrun(arguments, *, status=0):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300)
    assert (done.returncode == 0) == (status == 0), done.stderr
    return done


def two_processes(folder, parallel, kind="adamw", *, fail_at=None, status=0):
    program = folder / "program.py"
    program.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{PROGRAM}")
    (folder / "run").mkdir(exist_ok=True)
    torchrun([str(program), str(folder / "run"), parallel, kind, json.dumps(fail_at)], status=status)
    return None if status else json.loads((folder / "run" / "seen.json").read_text())


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Folder and outcome of two uninterrupted processes; starting them takes longer than their steps."""

    @cache
    def run(parallel, kind):
        folder = tmp_path_factory.mktemp(f"{parallel}-{kind}")
        return folder, two_processes(folder, parallel, kind)

    return run


def one_process(folder, kind="adamw"):
    """The same batches in a step: four micro-batches here, two in each of two processes there."""
    recorder, model = Recorder(), tiny_model(seed=7)
    config = settings(STEPS, accumulation=4, optimizer=OPTIMIZERS[kind], save_every=2, eval_every=3)

    def evaluate():
        return {"loss": float(ragged().loss(model, ragged().batches.batch(99)))}

    result = train(model, ragged(), config, folder=folder / "one", hooks=[recorder], evaluate=evaluate)
    return model, recorder, result


@pytest.mark.parametrize(
    ("parallel", "kind"),
    [
        ("ddp", "adamw"),
        pytest.param("fsdp", "muon", marks=pytest.mark.slow),
        pytest.param("ddp", "muon", marks=pytest.mark.slow),
        pytest.param("fsdp", "adamw", marks=pytest.mark.slow),
    ],
)
def test_losses_are_those_of_one_process_step_by_step(tmp_path, together, parallel, kind):
    model, alone, result = one_process(tmp_path, kind)
    folder, two = together(parallel, kind)
    torch.testing.assert_close(torch.tensor(two["losses"]), torch.tensor(alone.losses), rtol=0, atol=1e-5)
    assert two["tokens"] == result.tokens
    for (step, seen), (step_alone, expected) in zip(two["evals"], alone.evals, strict=True):
        assert step == step_alone
        assert seen["loss"] == pytest.approx(expected["loss"], abs=1e-3 * expected["loss"])
    # Values that all processes share are equal in each of them.
    for rank in (0, 1):
        common = json.loads((folder / "run" / f"common-{rank}.json").read_text())
        assert common == {"from main": 10.0, "one says yes": True, "nobody says yes": False, "sum": 3}
    # Two micro-batches in each of two processes are the run of four in one: its checkpoints may be resumed there.
    runs = (folder / "run", tmp_path / "one")
    states = [checkpoint_folders(run / "checkpoints")[-1] / "state.json" for run in runs]
    by_two, by_one = (json.loads(path.read_text())["settings"] for path in states)
    assert by_two == by_one
    # One process reads what two wrote.
    loaded = tiny_model(seed=8)
    load_weights(checkpoint_folders(folder / "run" / "checkpoints")[-1], dict(loaded.named_parameters()))
    for name, expected in weights(model).items():
        torch.testing.assert_close(weights(loaded)[name], expected, rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_an_interrupted_run_resumes_bit_by_bit(tmp_path, together, parallel):
    straight, whole = together(parallel, "muon")
    cut = tmp_path
    two_processes(cut, parallel, "muon", fail_at=3, status=1)
    rest = two_processes(cut, parallel, "muon")
    assert rest["losses"] == whole["losses"][2:]
    last = [
        checkpoint_folders(folder / "run" / "checkpoints")[-1] / "weights.safetensors" for folder in (straight, cut)
    ]
    assert last[0].read_bytes() == last[1].read_bytes()


def test_several_processes_need_a_launcher():
    with pytest.raises(ConfigError, match=r"parallel is 'ddp', but no launcher.*torchrun"):
        train(tiny_model(), ragged(), settings(parallel=Parallel.DDP))
