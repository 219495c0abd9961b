"""Build `lavra/lavra_native.so` from the sources beside this file: `python native/build.py`.

Each instruction set has a file compiled for it alone; the library chooses one at run time.  The compiler is `CXX`, else
g++, else clang++.  The compiler's target decides the machine, so a cross-compiler in `CXX` makes a library for another
machine.  setup.py, scripts/setup.sh and the tests that need other flags (`-fsanitize=address`) call `build`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "lavra" / "lavra_native.so"
FLAGS = [
    "-std=c++20",
    "-O3",
    "-fPIC",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-Wall",
    "-Wextra",
    f"-DLAVRA_ABI={zlib.crc32((HERE / 'include' / 'lavra_native.h').read_bytes())}u",  # native_library.py compares it
]
AVX2 = ["-mavx2", "-mfma"]
X86 = {
    "avx2": AVX2,
    "avxvnni": [*AVX2, "-mavxvnni"],
    "avx512": [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni"],
}
ARM = {"neon": ["-march=armv8.2-a+dotprod"]}
MACHINES = {"x86_64": X86, "amd64": X86, "aarch64": ARM, "arm64": ARM}  # other machines have portable code only


class BuildError(Exception):
    """There is no compiler, or it rejected a source; the message has the compiler's words."""


def build(target: Path = TARGET, extra: Sequence[str] = ()) -> None:
    """Compile every source in parallel, link them, and move the library to its place atomically.

    Args:
        target: file of the library.
        extra: further flags for compiling and linking.

    Raises:
        BuildError: there is no compiler, or it failed.
    """
    started, compiler = time.time(), find_compiler()
    own = instruction_sets(compiler)
    with TemporaryDirectory(dir=target.parent, prefix=".native-") as folder:

        def compiled(source: Path) -> str:
            made = f"{folder}/{source.stem}.o"
            flags = [
                *FLAGS,
                *own.get(source.stem.removeprefix("isa_"), []),
                *(f"-DLAVRA_HAS_{isa.upper()}" for isa in own),
            ]
            called([compiler, *flags, *extra, f"-I{HERE / 'include'}", "-c", str(source), "-o", made])
            return made

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compiled, wanted_sources(own)))
        called([compiler, "-shared", "-pthread", *extra, *objects, "-o", f"{folder}/made.so"])
        # Give it the time when compiling began, so that a source saved in the meantime is newer.
        os.utime(f"{folder}/made.so", (started, started))
        os.replace(f"{folder}/made.so", target)


def is_current(target: Path = TARGET) -> bool:
    """Whether the library exists and no source is newer."""
    return target.exists() and all(one.stat().st_mtime <= target.stat().st_mtime for one in sources())


def sources() -> list[Path]:
    """Every file that the library is made from, including this one."""
    return [Path(__file__), *HERE.glob("src/*"), *HERE.glob("include/*")]


def find_compiler() -> str:
    """`CXX`, else g++, else clang++."""
    named = os.environ.get("CXX")
    if named and shutil.which(named) is None:
        raise BuildError(f"CXX={named} is no program; unset it, or name g++ or clang++")
    compiler = named or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise BuildError("there is no C++ compiler; install g++ or clang++, or set CXX")
    return compiler


def instruction_sets(compiler: str) -> dict[str, list[str]]:
    """Instruction sets of the compiler's target machine, each with its flags; portable code has none.

    A set that the compiler is too old for is left out with a message.
    """
    machine = called([compiler, "-dumpmachine"]).split("-")[0]
    every = MACHINES.get(machine.lower(), {})
    known = {isa: flags for isa, flags in every.items() if takes(compiler, flags)}
    for isa in every.keys() - known.keys():
        print(f"{compiler} does not take {' '.join(every[isa])}: {isa} is left out", flush=True)
    return known


def takes(compiler: str, flags: list[str]) -> bool:
    """Whether the compiler accepts these flags."""
    empty = [compiler, *flags, "-x", "c++", "-E", os.devnull, "-o", os.devnull]
    return subprocess.run(empty, capture_output=True).returncode == 0


def wanted_sources(own: dict[str, list[str]]) -> list[Path]:
    """Sources to compile; of the instruction sets, those of the machine. The slowest to compile come first."""
    every = sorted((HERE / "src").glob("*.cpp"))
    return [one for one in every if not one.stem.startswith("isa_") or one.stem[4:] in (*own, "portable")]


def called(command: list[str]) -> str:
    """Run a command; returns its output and prints its warnings.

    Raises:
        BuildError: it failed.
    """
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"{' '.join(command)}\n{done.stderr.strip() or done.stdout.strip()}")
    if done.stderr:
        print(done.stderr.rstrip(), flush=True)
    return done.stdout


def main() -> None:
    """Build from the command line; flags that are not ours go to the compiler."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", type=Path, default=TARGET, help="file of the library")
    parser.add_argument("--if-stale", action="store_true", help="only where a source is newer than the library")
    args, extra = parser.parse_known_args()
    if args.if_stale and is_current(args.target):
        return
    try:
        build(args.target, extra)
    except BuildError as error:
        raise SystemExit(f"the native runner cannot be built: {error}") from None
    print(args.target)


if __name__ == "__main__":
    main()
