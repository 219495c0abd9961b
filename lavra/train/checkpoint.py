"""Training checkpoints: everything needed to go on as if nothing had happened.

A checkpoint is a folder `step-00000500/` written atomically: the weights and the optimizer's state as safetensors
(nothing is ever pickled), and `state.json` with the step, the settings and facts of the machine.  Data order
and random numbers need no state: they are pure functions of (seed, step).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lavra.base.device import take_threads
from lavra.base.disk import free_bytes, require_room
from lavra.base.errors import DiskFullError, OtherRunError, ResumeError, TrainingError
from lavra.base.files import atomic_folder, read_json, write_json
from lavra.train.shards import copy_into, whole

_STATE, _WEIGHTS, _OPTIMIZER = "state.json", "weights.safetensors", "optimizer.safetensors"
_SEPARATOR = "|"  # parameter names contain dots


@dataclass(frozen=True, kw_only=True)
class TrainProgress:
    """The state of a run.

    Attributes:
        step: optimizer steps done.
        loss: loss of the last step, in nats a target; `None` before the first.
        first_loss: loss of the first step, against which an explosion is judged.
        best: lowest evaluation so far, `None` before the first.
        evaluations_since_best: evaluations since the best one, for early stopping.
        evaluation: the last one.
        stopped: whether the run was stopped early; it then stays stopped.
        tokens: targets trained on so far.
    """

    step: int = 0
    loss: float | None = None
    first_loss: float | None = None
    best: float | None = None
    evaluations_since_best: int = 0
    evaluation: Mapping[str, float] = field(default_factory=dict)
    stopped: bool = False
    tokens: int = 0


def checkpoint_folders(folder: Path) -> list[Path]:
    """Complete checkpoints below a run's folder, oldest first."""
    return sorted(path for path in folder.glob("step-*") if (path / _STATE).exists())


def sweep(folder: Path) -> None:
    """Remove unfinished files that a kill in the middle of a save left behind: they are never read, and take space."""
    for stale in folder.glob(".tmp-step-*"):
        shutil.rmtree(stale, ignore_errors=True)


def set_aside(folder: Path, step: int) -> Path | None:
    """Rename the checkpoint of a step whose weights turned out bad, so that no run resumes from it.

    Returns:
        Its new path; None where there was no checkpoint.
    """
    path = folder / f"step-{step:08d}"
    if not path.exists():
        return None
    bad = folder / f"bad-{path.name}"
    shutil.rmtree(bad, ignore_errors=True)
    return path.rename(bad)


def save_checkpoint(
    folder: Path,
    progress: TrainProgress,
    *,
    parameters: Mapping[str, nn.Parameter],
    optimizers: Sequence[torch.optim.Optimizer],
    settings: Mapping[str, Any],
    machine: Mapping[str, Any],
    keep: int,
    write: bool,
) -> Path:
    """Write the checkpoint of a step, then drop all but the latest `keep`.

    Args:
        folder: holds the run's checkpoints.
        progress: the state of the run.
        parameters: the model's, by name.
        optimizers: optimizers, whose state is saved by parameter name.
        settings: settings that must be equal for a resumed run to be the same run.
        machine: other facts that the arithmetic depends on: fingerprint, compilation, sharding.
        keep: checkpoints left on disk.
        write: False in processes that only take part in gathering shards.

    Raises:
        TrainingError: the disk is full; earlier checkpoints are intact.
    """
    weights = {name: _storable(parameter) for name, parameter in parameters.items()}
    state = _optimizer_tensors(parameters, optimizers)
    target = folder / f"step-{progress.step:08d}"
    if not write:
        return target
    size = sum(tensor.nbytes for tensor in (*weights.values(), *state.values()))
    try:
        require_room(folder, size + size // 20, "a checkpoint")
        with atomic_folder(target) as work:
            save_file(weights, work / _WEIGHTS)
            save_file(state, work / _OPTIMIZER)
            write_json(
                work / _STATE, {"progress": asdict(progress), "settings": dict(settings), "machine": dict(machine)}
            )
    except DiskFullError as error:
        raise TrainingError(_disk_full_message(folder, size)) from error
    for old in checkpoint_folders(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def restore_checkpoint(
    path: Path,
    *,
    parameters: Mapping[str, nn.Parameter],
    optimizers: Sequence[torch.optim.Optimizer],
    settings: Mapping[str, Any],
    machine: Mapping[str, Any],
    allow_drift: bool,
) -> TrainProgress:
    """Load a checkpoint into a model and its optimizers.

    Raises:
        OtherRunError: the settings, the data or the model differ.
        ResumeError: the machine differs and `allow_drift` is False.
    """
    saved = read_json(path / _STATE)
    changed = _changed(saved["settings"], settings)
    if changed:
        raise OtherRunError(
            f"{path} belongs to a run with other settings ({'; '.join(changed)}); use those, or start in another folder"
        )
    there = saved["machine"]
    here = {**machine, "threads": there["threads"]} if take_threads(there["threads"]) else machine
    drift = _changed(there, here)
    if drift and not allow_drift:
        raise ResumeError(
            f"{path} was written under another machine state ({'; '.join(drift)}): going on here would not give the "
            "same result; restore that state, or pass `allow_drift` to accept the difference"
        )
    load_weights(path, parameters)
    _restore_optimizers(load_file(path / _OPTIMIZER), parameters, optimizers)
    return TrainProgress(**saved["progress"])


def load_weights(path: Path, parameters: Mapping[str, nn.Parameter]) -> None:
    """Copy a checkpoint's weights into a model's parameters, `dict(model.named_parameters())`.

    However many processes wrote it, one can read it, and the other way round.

    Raises:
        OtherRunError: the parameters are another model's.
    """
    weights = load_file(path / _WEIGHTS)
    for name in sorted({*weights, *parameters}):
        there = tuple(weights[name].shape) if name in weights else "absent"
        here = tuple(parameters[name].shape) if name in parameters else "absent"
        if there != here:
            raise OtherRunError(
                f"{path} belongs to another model: {name} is {there} there and {here} here; "
                "use that model, or start in another folder"
            )
    for name, parameter in parameters.items():
        copy_into(parameter, weights[name])


def _storable(tensor: Tensor) -> Tensor:
    return whole(tensor.detach()).cpu().contiguous()


def _optimizer_tensors(
    parameters: Mapping[str, nn.Parameter], optimizers: Sequence[torch.optim.Optimizer]
) -> dict[str, Tensor]:
    return {
        f"{name}{_SEPARATOR}{key}": _storable(value)
        for name, parameter in parameters.items()
        for optimizer in optimizers
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _restore_optimizers(
    tensors: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter], optimizers: Sequence[torch.optim.Optimizer]
) -> None:
    owner = {id(p): optimizer for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    for full_name, value in tensors.items():
        name, key = full_name.split(_SEPARATOR)
        parameter = parameters[name]
        state = owner[id(parameter)].state[parameter]
        if value.shape == parameter.shape:
            state[key] = torch.empty_like(parameter, requires_grad=False)
            copy_into(state[key], value)
        else:  # AdamW's step counter, which its fused kernel wants beside the parameter
            state[key] = value.to(parameter.device)


def _changed(saved: Mapping[str, Any], here: Mapping[str, Any], prefix: str = "") -> list[str]:
    rows: list[str] = []
    for key in sorted({*saved, *here}):
        there, now = saved.get(key), here.get(key)
        if isinstance(there, Mapping) and isinstance(now, Mapping):
            rows += _changed(there, now, f"{prefix}{key}.")
        elif there != now:
            rows.append(f"{prefix}{key}: {there} -> {now}")
    return rows


def _disk_full_message(folder: Path, size: int) -> str:
    complete = checkpoint_folders(folder)
    last = f"the last good checkpoint is {complete[-1]}" if complete else "no checkpoint had been written yet"
    free = free_bytes(folder)
    return (
        f"the disk is full: a checkpoint needs {size / 1e6:.1f} MB and {folder} has {free / 1e6:.1f} MB free; "
        f"{last}; free some space and start again to resume from it"
    )
