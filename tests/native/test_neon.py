"""NEON on a machine without it: the library compiled for ARM by Debian's cross-compiler, run by `qemu-user`.

The driver prints each model's logits: NEON's are compared with the portable code's on this processor.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lavra.base.native_library import LIBRARY

ROOT = Path(__file__).parents[2]
DRIVER = ROOT / "tests" / "native" / "driver.cpp"
CROSS = "aarch64-linux-gnu-g++"
TOOLS = [CROSS, "qemu-aarch64", "g++"]
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"missing: {', '.join(MISSING)}; scripts/test_tools.sh installs them"),
]


def linked(compiler, library, program):
    include = f"-I{ROOT / 'native' / 'include'}"
    rest = [library, f"-Wl,-rpath,{library.parent}", "-o", program]
    subprocess.run([compiler, "-std=c++20", "-O1", include, DRIVER, *rest], check=True)


def logits(command):
    """Logits by (instruction set, model, type, cache)."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    rows = [line.split() for line in done.stdout.splitlines()]
    return {tuple(row[:4]): [float(one) for one in row[4:]] for row in rows}


def test_neon_computes_what_portable_code_does(tmp_path):
    arm = tmp_path / "arm"
    arm.mkdir()
    script = [sys.executable, ROOT / "native" / "build.py", "--target", arm / "lavra_native.so"]
    subprocess.run(script, env={**os.environ, "CXX": CROSS}, check=True)
    linked(CROSS, arm / "lavra_native.so", arm / "driver")
    there = logits(["qemu-aarch64", "-cpu", "max", "-L", "/usr/aarch64-linux-gnu", arm / "driver", "2"])
    assert {one[0] for one in there} == {"neon", "portable"}
    linked("g++", LIBRARY, tmp_path / "driver")
    here = logits([tmp_path / "driver", "2"])
    for (isa, *what), row in there.items():
        wanted = here["portable", *what]
        # Inputs rounded to 8 bits, and a cache in few bits, turn the last bit of a sum into a step.
        loose = "int" in "".join(what[1:]) or "bf16" in what or "f16" in what
        assert row == pytest.approx(wanted, abs=0.05 if loose else 1e-4), (isa, *what)
