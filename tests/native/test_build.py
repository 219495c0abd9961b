"""Compilation of the native library: by two compilers without a warning, each instruction set separately."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lavra.base.native_library import LIBRARY

ROOT = Path(__file__).parents[2]
DRIVER = ROOT / "tests" / "native" / "driver.cpp"
SCRIPT = ROOT / "native" / "build.py"
with_gcc = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")


@pytest.fixture(scope="module")
def builder():
    spec = importlib.util.spec_from_file_location("native_build", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def logits(compiler, library, program):
    """Logits of the driver's models by every instruction set; the driver itself checks bits against company."""
    include, rest = f"-I{ROOT / 'native' / 'include'}", [library, f"-Wl,-rpath,{library.parent}", "-o", program]
    subprocess.run([compiler, "-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", include, DRIVER, *rest], check=True)
    done = subprocess.run([program, "2"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_a_compiler_has_no_warning_and_its_library_the_bits_of_the_installed_one(compiler, tmp_path):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed; scripts/test_tools.sh gets it")
    library = tmp_path / "lavra_native.so"
    command = [sys.executable, SCRIPT, "--target", library, "-Werror"]
    subprocess.run(command, env={**os.environ, "CXX": compiler}, check=True)
    here = logits(compiler, library, tmp_path / "here")
    assert sum(" llama int4 " in line for line in here) >= 2  # instruction sets
    assert here == logits(compiler, LIBRARY, tmp_path / "installed")
    # Only int8's inputs are rounded otherwise: to 16 bits with AVX2, to 8 with AVX-VNNI; int8_a16's are the same.
    of = {isa: [line.removeprefix(isa) for line in here if line.startswith(f"{isa} ")] for isa in ("avx2", "avxvnni")}
    differing = [line for line, other in zip(of["avxvnni"], of["avx2"], strict=False) if line != other]
    assert len(of["avxvnni"]) in (0, len(of["avx2"]))
    assert {line.split()[1] for line in differing} <= {
        "int8"
    }  # lines: model, type of the weights, type of the cache, logits


def shared_symbols(object_file, isa):
    """Symbols of an object that another instruction set's object may also have, so that the linker keeps only one."""
    lines = subprocess.run(["nm", "--defined-only", object_file], capture_output=True, text=True, check=True)
    symbols = [line.split()[1:] for line in lines.stdout.splitlines()]
    own = re.compile(rf"_ZZ?NK?5lavra({len(isa)}{isa}|\d+{isa}_kernelsE$)")  # lavra::isa::..., lavra::isa_kernels
    return [name for kind, name in symbols if kind.isupper() and not own.match(name)]


@with_gcc
@pytest.mark.slow
def test_no_function_of_an_instruction_set_is_another_objects_too(builder, tmp_path):
    """Compiled without inlining: every remaining shared function is then a symbol."""
    sets = builder.instruction_sets("g++")
    for isa in (*sets, "portable"):
        source, made = ROOT / "native" / "src" / f"isa_{isa}.cpp", tmp_path / f"{isa}.o"
        flags = [*builder.FLAGS, "-O0", *sets.get(isa, []), f"-I{ROOT / 'native' / 'include'}"]
        subprocess.run(["g++", *flags, "-c", source, "-o", made], check=True)
        assert shared_symbols(made, isa) == []


@with_gcc
def test_a_function_in_two_objects_is_noticed(tmp_path):
    source = tmp_path / "shared.cpp"
    source.write_text("inline int doubled(int n) { return 2 * n; } int four() { return doubled(2); }")
    subprocess.run(["g++", "-O0", "-c", source, "-o", tmp_path / "shared.o"], check=True)
    assert shared_symbols(tmp_path / "shared.o", "avx2") == ["_Z4fourv", "_Z7doubledi"]


@with_gcc
def test_an_instruction_set_that_the_compiler_lacks_is_left_out_and_named(builder, tmp_path, capsys):
    every = builder.instruction_sets("g++")
    if "avxvnni" not in every:
        pytest.skip("g++ has no avxvnni here")
    old = tmp_path / "old-compiler"
    old.write_text('#!/bin/sh\ncase " $* " in *" -mavxvnni "*) exit 1;; esac\nexec g++ "$@"\n')
    old.chmod(0o755)
    assert builder.instruction_sets(str(old)) == {isa: flags for isa, flags in every.items() if isa != "avxvnni"}
    assert capsys.readouterr().out == f"{old} does not take -mavx2 -mfma -mavxvnni: avxvnni is left out\n"
