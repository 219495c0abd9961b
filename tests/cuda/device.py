"""The device of these tests, and the reason to skip them where there is no GPU.

`LAVRA_TEST_DEVICE=cpu` runs the same code on the CPU, to find mistakes in the tests.
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
    """A copy of a model on the device; the original stays in place."""
    return copy.deepcopy(model).to(device, dtype)
