"""The trained module: the student, and the matrices that make its states comparable with its teacher's.

The teacher stands beside it, never in it: its weights are not trained, not saved, not compiled.  A few frozen numbers
name teacher and settings, so that a run is not resumed with others.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lavra.base.files import hash_json
from lavra.distillation.watch import WatchedPlace
from lavra.model.config import ModelConfig


class Student(nn.Module):
    """A student and the other matrices that it needs while it learns.

    Args:
        student: the model that is kept.
        widths: for each block whose states are imitated, the student's width and the teacher's.
        mark: text that names the teacher and the settings.
    """

    def __init__(self, student: nn.Module, widths: Mapping[WatchedPlace, tuple[int, int]], mark: str) -> None:
        super().__init__()
        self.student = student
        device = next(student.parameters()).device
        needed = {place: pair for place, pair in widths.items() if pair[0] != pair[1]}
        self.projections = nn.ModuleDict({_key(place): _drawn(*pair).to(device) for place, pair in needed.items()})
        digits = [float(int(digit, 16)) for digit in hash_json(mark)]
        self.mark = nn.Parameter(torch.tensor(digits, device=device), requires_grad=False)

    @property
    def config(self) -> ModelConfig:
        """Configuration of the student."""
        config: ModelConfig = self.student.config  # type: ignore[assignment]
        return config

    def projected(self, place: WatchedPlace, states: Tensor) -> Tensor:
        """Project states from (..., D) of the student to (..., the teacher's D)."""
        if _key(place) not in self.projections:
            return states
        out: Tensor = self.projections[_key(place)](states)
        return out


def _drawn(student: int, teacher: int) -> nn.Linear:
    """A fresh projection, the same in every run, that keeps the size of its inputs."""
    made = nn.Linear(student, teacher, bias=False)
    with torch.no_grad():
        made.weight.normal_(std=student**-0.5, generator=torch.Generator().manual_seed(0))
    return made


def _key(place: WatchedPlace) -> str:
    return f"{place[0]}_{place[1]}"
