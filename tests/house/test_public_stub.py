"""`lavra/__init__.pyi` agrees with the functions, goes into the wheel, and a type checker refuses wrong calls by it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RIGHT = """
import lavra
from pathlib import Path
folders = ["tasks"]
lavra.finetune("m", Path("d.csv"), task="classify", epochs=2, method="lora", rank=4, columns=["text=review"])
lavra.up("texts", budget="4m", parallel="ddp")
lavra.pretrain("texts", family="bert", budget=60)
lavra.evaluate("m", folders, include=folders, corpus=[Path("corpus")], items={"capitals": [1]})
lavra.ask(["when?"], settings=lavra.AskConfig(), unsupported="mark", progress=False)
lavra.serve("m", block=False, port=0, index=("handbook",))
lavra.index("documents", chunking={"size": 100})
"""
WRONG = """
import lavra
lavra.finetune("m", "d.csv", task="classify", epochs="x")
lavra.finetune("m", "d.csv", task="classify", epoch=2)
lavra.compress("m", "int9")
lavra.finetunes("m")
"""


def test_the_stub_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("public_stub", ROOT / "scripts" / "public_stub.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.STUB.read_text(encoding="utf-8") == module.stub(), "run python scripts/public_stub.py"


def test_the_stub_goes_into_the_wheel() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "*.pyi" in settings["tool"]["setuptools"]["package-data"]["*"]


def test_a_type_checker_accepts_right_calls_and_refuses_wrong_ones(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is in the extra dev")
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    right.write_text(RIGHT, encoding="utf-8")
    wrong.write_text(WRONG, encoding="utf-8")
    alone = ["--follow-imports=skip", f"--cache-dir={tmp_path}"]  # all of lavra and torch would take minutes
    command = [sys.executable, "-m", "mypy", *alone, str(right), str(wrong), "lavra/__init__.pyi"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    refused = re.findall(r"(right|wrong)\.py:(\d+): error", said)
    assert refused == [("wrong", str(line)) for line in range(3, 3 + WRONG.count("\nlavra."))], said
