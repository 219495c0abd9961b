"""Speed of the native runner's matrix products, on the matrices of a LLaMA of 135M parameters.

    python native/benchmarks/linear.py [avx512 ...]

The script compiles `native/benchmarks/linear.cpp` with the runner's sources and runs it for each instruction set,
precision and number of threads.  Columns: for one row, GB of weights read a second; for more rows, thousand million
multiplications a second; then milliseconds and tokens a second of all matrices (512 rows, without the head).  The least
time of each matrix counts.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

NATIVE = Path(__file__).resolve().parents[1]
PRECISIONS = ("int8", "int4", "bf16", "f32")
ROWS = ("1", "8", "16", "64", "512")


def main(isas: list[str]) -> None:
    """Measure the given instruction sets, or all that this build has."""
    builder = _builder()
    compiler = builder.find_compiler()
    own = builder.instruction_sets(compiler)
    with TemporaryDirectory() as folder:
        program = _compiled(builder, compiler, own, Path(folder))
        for isa in isas or [*reversed(own)]:
            for precision in PRECISIONS:
                for threads in dict.fromkeys((1, os.cpu_count() or 1)):
                    subprocess.run([program, isa, precision, str(threads), *ROWS], check=True)


def _builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("native_build", NATIVE / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _compiled(builder: ModuleType, compiler: str, own: dict[str, list[str]], folder: Path) -> Path:
    defines = [f"-DLAVRA_HAS_{isa.upper()}" for isa in own]
    objects = []
    for source in [*builder.wanted_sources(own), NATIVE / "benchmarks" / "linear.cpp"]:
        made = folder / f"{source.stem}-{source.parent.name}.o"
        flags = [*builder.FLAGS, *own.get(source.stem.removeprefix("isa_"), []), *defines]
        includes = [f"-I{NATIVE / 'include'}", f"-I{NATIVE / 'src'}"]
        subprocess.run([compiler, *flags, *includes, "-c", str(source), "-o", str(made)], check=True)
        objects.append(str(made))
    program = folder / "linear"
    subprocess.run([compiler, "-pthread", *objects, "-o", str(program)], check=True)
    return program


if __name__ == "__main__":
    main(sys.argv[1:])
