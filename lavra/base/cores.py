"""The number of computing threads: the cores this process may use, less the cores that other programs are using.

OpenMP reads its settings once, when torch is loaded.  So this module sets them before that, without torch.  Two of them
matter on a machine that does other work as well.  Threads that wait for each other in a loop (libgomp's default) take
the core from the very thread they wait for: 2 to 6 times the seconds of a step on two cores with a load of 8
(docs/train.md); they sleep instead.  And threads without a core of their own only wait for each other, so there are
fewer while cores are taken.  A value that the user has set is left as it is.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Final, NamedTuple

_THREADS: Final = "OMP_NUM_THREADS"
_WAITING: Final = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # each sets how threads wait
_CHOSEN: Final = "LAVRA_THREADS"  # the number that was chosen here, for this process and those it starts
_STAT: Final = Path("/proc/stat")
_CGROUP: Final = Path("/sys/fs/cgroup")
_LEAST_SAMPLE: Final = 0.2  # seconds; the kernel counts in hundredths


class CoreSample(NamedTuple):
    """The work of the cores until a moment.

    Attributes:
        at: the moment, in seconds.
        busy: seconds of work of all usable cores together; None where the system does not report it.
        own: seconds of work by this process.
    """

    at: float
    busy: float | None
    own: float


def sample_cores() -> CoreSample:
    """The work of the cores until now."""
    return CoreSample(at=time.monotonic(), busy=_busy_seconds(), own=time.process_time())


def usable_cores() -> int:
    """Cores that this process may use: its affinity, and within a container the quota it was given."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def choose_threads(before: CoreSample, environment: MutableMapping[str, str] | None = None) -> str | None:
    """Set how OpenMP's threads wait and how many there are; torch must not be loaded yet.

    Args:
        before: the cores at an earlier moment; their work since then shows how many are taken.
        environment: the environment to change; the process's own unless given.

    Returns:
        A note for the user; None where every core is free, or the user has set the number.
    """
    variables = os.environ if environment is None else environment
    if not any(name in variables for name in _WAITING):
        variables["OMP_WAIT_POLICY"] = "passive"
    if _THREADS in variables:
        return None
    usable, taken = usable_cores(), taken_cores(before)
    threads = max(1, round(usable - taken))
    variables[_THREADS] = variables[_CHOSEN] = str(threads)
    if threads == usable:
        return None
    return (
        f"other programs take {taken:.1f} of {usable} cores: {threads} of them "
        f"{'computes' if threads == 1 else 'compute'} here ({_THREADS} sets another number)"
    )


def taken_cores(before: CoreSample) -> float:
    """Cores that other programs used, on average, since an earlier moment; 0 where the system does not report it."""
    if before.busy is None:
        return 0.0
    time.sleep(max(0.0, before.at + _LEAST_SAMPLE - time.monotonic()))
    now = sample_cores()
    others = (now.busy or 0.0) - before.busy - (now.own - before.own)
    return min(float(usable_cores()), max(0.0, others / (now.at - before.at)))


def threads_are_free(environment: Mapping[str, str] | None = None) -> bool:
    """Whether lavra may choose the number of threads, because the user has set none."""
    variables = os.environ if environment is None else environment
    return variables.get(_THREADS) in (None, variables.get(_CHOSEN))


def _busy_seconds() -> float | None:
    """Seconds of work of the cores this process may use; in a container too, the host's counters are read."""
    try:
        lines = _STAT.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    rows = (line.split() for line in lines)
    # user, nice, system, idle, iowait, irq, softirq, steal
    ticks = sum(sum(map(int, (*row[1:4], *row[6:9]))) for row in rows if row[0] in mine)
    return ticks / os.sysconf("SC_CLK_TCK")


def _quota() -> float | None:
    """Cores a control group may use at once (cgroup v2, else v1); None where there is no bound."""
    try:
        allowed, _, period = (_CGROUP / "cpu.max").read_text(encoding="ascii").strip().partition(" ")
    except OSError:
        try:
            allowed, period = (
                (_CGROUP / "cpu" / f"cpu.cfs_{name}_us").read_text(encoding="ascii").strip()
                for name in ("quota", "period")
            )
        except OSError:
            return None
    if allowed in ("max", "-1") or not period:
        return None
    return int(allowed) / int(period)
