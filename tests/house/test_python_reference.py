"""`docs/api.md` agrees with the docstrings."""

from __future__ import annotations

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "python_reference.py"


def test_the_python_reference_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("python_reference", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.PAGE.read_text(encoding="utf-8")
    assert module.with_reference(text) == text, "run python scripts/python_reference.py"
    assert module.with_reference(text.replace("### `lavra.load(", "### `lavra.open(")) == text
