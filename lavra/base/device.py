"""The machine's arithmetic: device, instruction set, threads, matrix peak, compiler.

The only module of the ground floor that may import torch.
"""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import shutil
import statistics
import sys
import time
from dataclasses import asdict, dataclass, replace

import torch

from lavra.base.cores import threads_are_free, usable_cores
from lavra.base.errors import InputError
from lavra.base.memory import free_memory

logger = logging.getLogger(__name__)

# mallopt(3) parameter numbers of glibc.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """The facts of a machine that change a floating-point result, besides the program and its input.

    Attributes:
        torch: version of PyTorch with its build (`2.13.0+cpu`).
        device: `cpu`, `cuda`, `mps`, with the accelerator's name.
        instruction_set: instructions of PyTorch's CPU kernels (`AVX512`, `AVX2`, `DEFAULT`, ...), then the 16-bit
            matrix instructions oneDNN picks by itself (`AVX512+bf16+amx`).
        machine: `x86_64`, `arm64`, ...
        threads: threads of one operation.
        world_size: processes that train together.
    """

    torch: str
    device: str
    instruction_set: str
    machine: str
    threads: int
    world_size: int = 1

    def difference(self, other: Fingerprint) -> list[str]:
        """`name: there -> here` for each field that differs; `self` is there and `other` is here."""
        here = asdict(other)
        return [f"{name}: {value} -> {here[name]}" for name, value in asdict(self).items() if value != here[name]]


def fingerprint(device: torch.device, world_size: int = 1) -> Fingerprint:
    """The fingerprint of this process."""
    name = f"cuda {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type
    return Fingerprint(
        torch=str(torch.__version__),
        device=name,
        instruction_set=_instruction_set(),
        machine=platform.machine(),
        threads=torch.get_num_threads(),
        world_size=world_size,
    )


def usual_fingerprint(device: torch.device, world_size: int = 1) -> Fingerprint:
    """The fingerprint of this process on a quiet machine: fewer threads for a while do not make another machine."""
    found = fingerprint(device, world_size)
    return replace(found, threads=usable_cores()) if threads_are_free() else found


def take_threads(number: int) -> bool:
    """Use the number of threads that a run began with, unless the user has set a number; sums depend on that number.

    Returns:
        Whether the number was set.
    """
    if not threads_are_free() or number == torch.get_num_threads():
        return False
    torch.set_num_threads(number)
    logger.warning("going on with %d threads, as the run began", number)
    return True


def _instruction_set() -> str:
    """The instruction set, with AMX named: two AVX512 machines differ in bf16 products when only one has AMX."""
    found = torch.cpu.get_capabilities()
    extra = (("bf16", "avx512_bf16"), ("amx", "amx_bf16"))
    return "+".join([torch.backends.cpu.get_cpu_capability(), *(name for name, flag in extra if found.get(flag))])


def seed_generator(device: torch.device, seed: int) -> None:
    """Seed torch's global generators of the CPU and of this device; cheap enough for every training step.

    `torch.manual_seed` would also take a stack trace for devices that are not in use.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def pick_device(name: str | None = None) -> torch.device:
    """The named device, or the best device of the machine: CUDA, else the CPU.

    Raises:
        InputError: the machine has no such device.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); leave it out, or use cpu"
        ) from error
    return device


def keep_freed_memory() -> bool:
    """Ask glibc to keep freed memory for reuse instead of handing it back to the kernel at every step.

    Training allocates and frees the same few hundred megabytes each step; with the default thresholds every large
    block is unmapped and faulted in again page by page, which costs 5-10 % of a step (docs/log.md).

    Returns:
        Whether the allocator took the settings (only glibc has them).
    """
    return _set_thresholds(mmap=1 << 30, trim=(1 << 31) - 1, top_pad=64 << 20)


def return_freed_memory() -> bool:
    """Ask glibc to hand every freed block of a megabyte back at once: slower, but without holes that fit no block.

    Recomputing activations frees and takes blocks of many sizes between gradients that stay.  In one heap, the freed
    blocks do not fit the next ones, and the process holds twice the memory it uses (docs/log.md).

    Returns:
        Whether the allocator took the settings (only glibc has them).
    """
    return _set_thresholds(mmap=1 << 20, trim=1 << 20, top_pad=0)


def _set_thresholds(*, mmap: int, trim: int, top_pad: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl
        return False
    settings = ((_M_MMAP_THRESHOLD, mmap), (_M_TRIM_THRESHOLD, trim), (_M_TOP_PAD, top_pad))
    return all(bool(mallopt(parameter, value)) for parameter, value in settings)


def available_memory(device: torch.device | None = None) -> int:
    """Bytes that may be used: free on a GPU; else the kernel's estimate on Linux, all memory elsewhere.

    PyTorch keeps memory freed on a GPU for its next allocation; the driver counts it as taken, but it can be used.

    Args:
        device: device of the memory; by default the device that `pick_device` picks.
    """
    if (device or pick_device()).type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    return free_memory()


def find_compiler() -> str | None:
    """The C++ compiler for `torch.compile` on a CPU: `$CXX` where that is set, else g++ or clang++, else None.

    A compiler is used where the machine has one, and is never required.
    """
    named = os.environ.get("CXX")
    candidates = [named] if named else ["g++", "clang++", "c++"]
    return next((found for candidate in candidates if (found := shutil.which(candidate))), None)


def matrix_peak(dtype: torch.dtype, device: torch.device | None = None, *, size: int = 1024, repeats: int = 9) -> float:
    """The greatest measured speed of a square matrix product on this machine, in floating-point operations per second.

    Args:
        dtype: element type of both factors.
        device: device of the product; the CPU by default.
        size: side of the matrices.
        repeats: products timed; the fastest quarter's median counts, because a shared machine only ever slows down.
    """
    device = device or torch.device("cpu")
    a = torch.randn(size, size, device=device).to(dtype)
    b = torch.randn(size, size, device=device).to(dtype)
    seconds = sorted(_seconds_of_product(a, b) for _ in range(repeats + 2))
    return 2 * size**3 / statistics.median(seconds[: max(1, repeats // 4)])


def _seconds_of_product(a: torch.Tensor, b: torch.Tensor) -> float:
    start = time.perf_counter()
    result = a @ b
    if result.device.type == "cuda":
        torch.cuda.synchronize(result.device)
    return time.perf_counter() - start


def bf16_pays(device: torch.device) -> bool:
    """Whether bf16 products are faster than float32 ones here, by a wide enough margin to matter (1.2 times)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return matrix_peak(torch.bfloat16, device, size=512) > 1.2 * matrix_peak(torch.float32, device, size=512)
