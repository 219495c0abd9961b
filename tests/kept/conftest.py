"""Fixtures for kept files: a folder with copies of them, and the machine that made them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from tests.kept.expected import KEPT, MADE_AT, machine


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def same_machine() -> bool:
    """Whether this machine is like the one that made the files; there, results are equal to the last bit."""
    return machine() == json.loads((KEPT / "machine.json").read_text(encoding="utf-8"))


@pytest.fixture
def as_made(monkeypatch: pytest.MonkeyPatch, same_machine: bool) -> None:
    """Let PyTorch report the machine that made the files.

    A plan belongs to one machine, and another machine refuses to resume a checkpoint, because the last bits would
    differ.  These tests are about everything else, and name the places where bits are compared.
    """
    if same_machine:
        return
    told = json.loads((KEPT / "machine.json").read_text(encoding="utf-8"))
    found = {**torch.cpu.get_capabilities(), **told["capabilities"]}
    monkeypatch.setattr(torch, "__version__", type(torch.__version__)(told["torch"]))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: told["capability"])
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    monkeypatch.setattr(torch, "get_num_threads", lambda: told["threads"])
    monkeypatch.setattr("platform.machine", lambda: told["machine"])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the models and the data under their original relative names, which settings contain."""
    for name in ("families", "heads", "data"):
        (tmp_path / name).symlink_to(KEPT / name)
    shutil.copytree(KEPT / "text", tmp_path / "text")
    for path in (tmp_path / "text").iterdir():
        os.utime(path, ns=(MADE_AT, MADE_AT))
    monkeypatch.chdir(tmp_path)
    return tmp_path
