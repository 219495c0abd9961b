"""Build `lavra/lavra_native.so` from the sources beside this file: `python native/build.py`.

Each instruction set's file is compiled for it alone; which one runs is chosen at run time.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "lavra" / "lavra_native.so"
FLAGS = ["-std=c++20", "-O3", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra"]
X86 = {
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": [
        *("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni", "-mavx512bf16"),
        *("-mavx2", "-mfma", "-mf16c"),
    ],
}
ARM = {"neon": ["-march=armv8.2-a+dotprod"]}


def build(target: Path = TARGET, extra: tuple[str, ...] = ()) -> None:
    """Compile every source in parallel and link them."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise SystemExit("no C++ compiler: install g++ or clang++, or set CXX")
    own = X86 if platform.machine().lower() in ("x86_64", "amd64") else ARM
    sources = [one for one in sorted((HERE / "src").glob("*.cpp")) if _wanted(one, own)]
    defines = [f"-DLAVRA_HAS_{name.upper()}" for name in own]
    with TemporaryDirectory() as folder:

        def compiled(source: Path) -> str:
            made = f"{folder}/{source.stem}.o"
            flags = own.get(source.stem.removeprefix("isa_"), [])
            command = [compiler, *FLAGS, *flags, *defines, *extra, f"-I{HERE / 'include'}", "-c", str(source), "-o", made]
            subprocess.run(command, check=True)
            return made

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compiled, sources))
        subprocess.run([compiler, "-shared", "-pthread", *extra, *objects, "-o", f"{folder}/made.so"], check=True)
        shutil.move(f"{folder}/made.so", target)


def _wanted(source: Path, own: dict[str, list[str]]) -> bool:
    isa = source.stem.removeprefix("isa_")
    return not source.stem.startswith("isa_") or isa == "portable" or isa in own


if __name__ == "__main__":
    build(extra=tuple(sys.argv[1:]))
    print(TARGET)
