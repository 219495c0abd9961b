"""The device these tests compute on, and the reason they are skipped where there is none.

`LAVRA_TEST_DEVICE=cpu` runs the same code on the CPU, to find mistakes of the tests themselves.
"""

from __future__ import annotations

import copy
import os

import pytest
import torch

DEVICE = torch.device(os.environ.get("LAVRA_TEST_DEVICE", "cuda"))
ON_CUDA = DEVICE.type == "cuda"
NEEDS_DEVICE = [
    pytest.mark.cuda,
    pytest.mark.skipif(ON_CUDA and not torch.cuda.is_available(), reason="torch finds no NVIDIA GPU here"),
]
NEEDS_CUDA = pytest.mark.skipif(not ON_CUDA, reason="asks for what only a GPU has")
CPU = torch.device("cpu")


def moved(model, device=DEVICE, dtype=None):
    """A copy of a model on the device; the model itself stays where it is."""
    return copy.deepcopy(model).to(device, dtype)
