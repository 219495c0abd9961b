"""The C++ code under sanitizers: the driver's models on every instruction set of this machine, and the wrong calls.

Both are slow: the library is compiled again with each sanitizer.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DRIVER = ROOT / "tests" / "native" / "driver.cpp"
ADDRESSES = ["-fsanitize=address,undefined", "-fno-sanitize=null,object-size,vptr", "-fno-sanitize-recover=all"]
THREADS = ["-fsanitize=thread"]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")]


def built(folder, flags):
    """The library and the driver, compiled with a sanitizer."""
    library, program, environment = folder / "lavra_native.so", folder / "driver", {**os.environ, "CXX": "g++"}
    script = [sys.executable, ROOT / "native" / "build.py", "--target", library, "-O1", "-g1", *flags]
    subprocess.run(script, env=environment, check=True)
    include = f"-I{ROOT / 'native' / 'include'}"
    link = [library, f"-Wl,-rpath,{folder}", "-o", program]
    subprocess.run(["g++", "-std=c++20", "-O1", "-g1", *flags, include, DRIVER, *link], check=True)
    return library, program


def ran(command, **variables):
    done = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=1800, check=False
    )
    assert done.returncode == 0, (done.stderr or done.stdout)[-5000:]
    assert "ERROR" not in done.stderr
    assert "WARNING" not in done.stderr
    return done.stdout


def runtime_library(name):
    found = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return found.stdout.strip()


def test_addresses_and_undefined_behaviour(tmp_path):
    library, program = built(tmp_path, ADDRESSES)
    assert ran([program, "2"]).count("llama int4") >= 1
    # Python is C: without C++'s library beside it the sanitizer does not find what throws.
    runtimes = [runtime_library("libasan.so"), runtime_library("libstdc++.so.6")]
    # Python itself and NumPy leave memory behind; the driver above looks for leaks.
    calls = [sys.executable, str(DRIVER.parent / "wrong_calls.py"), str(library)]
    options = "detect_leaks=0:allocator_may_return_null=1"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    ran(calls, LD_PRELOAD=" ".join(runtimes), ASAN_OPTIONS=options, PYTHONPATH=path)
    drawn = [sys.executable, "-m", "pytest", "-q", "-n", "0", str(DRIVER.parent / "test_drawn_calls.py")]
    where = {"LAVRA_DRAWN_LIBRARY": str(library), "LAVRA_DRAWN_PRELOAD": " ".join(runtimes)}
    ran(drawn, ASAN_OPTIONS=options, PYTHONPATH=path, LAVRA_DRAWN_CALLS="300", **where)


def test_races_of_threads(tmp_path):
    _, program = built(tmp_path, THREADS)
    command = [program, "3"]
    if shutil.which("setarch"):  # ThreadSanitizer of g++ 12 wants addresses where it expects them
        command = ["setarch", "-R", *command]
    assert ran(command, TSAN_OPTIONS="halt_on_error=1").count("llama int4") >= 1


def test_a_wrong_byte_is_noticed(tmp_path):
    """The sanitizer is on: a read beyond a buffer ends the program."""
    source = tmp_path / "wrong.cpp"
    source.write_text("int main(int n, char **) { int *a = new int[4]; int b = a[3 + n]; delete[] a; return b & 0; }")
    subprocess.run(["g++", "-g1", *ADDRESSES, source, "-o", tmp_path / "wrong"], check=True)
    done = subprocess.run([tmp_path / "wrong"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
