"""Prompts use only ports: importing all of their modules loads no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import lavra.prompts


def test_prompts_never_load_torch() -> None:
    names = sorted(path.stem for path in Path(lavra.prompts.__file__).parent.glob("*.py") if path.stem != "__init__")
    assert len(names) > 10
    imports = "".join(f"import lavra.prompts.{name}\n" for name in names)
    code = imports + "import sys; print({'torch', 'scipy', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
