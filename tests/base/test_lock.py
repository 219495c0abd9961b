"""Two processes never write to one place: the second is refused with a message or waits; a dead one blocks nobody."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lavra.base.errors import InputError
from lavra.base.lock import locked

HOLDER = """
import sys, time; from pathlib import Path; from lavra.base.lock import locked
with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(float(sys.argv[2]))
"""


def hold(target: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(target), str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = hold(tmp_path / "model", 60)
    yield process
    process.kill()
    process.wait()


def test_the_second_is_refused_and_a_killed_one_is_not_in_the_way(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    target = tmp_path / "model"
    refused = rf"another lavra \(process {holder.pid}\) is writing to {target}; wait .* \(`wait` does that\), or name"
    with pytest.raises(InputError, match=refused), locked(target):
        pass
    with locked(tmp_path / "other"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / ".model.lock").exists()  # the killed one's
    with locked(target):
        pass
    assert not list(tmp_path.iterdir())


def test_the_second_may_wait(tmp_path: Path) -> None:
    process = hold(tmp_path / "model", 0.5)
    with locked(tmp_path / "model", wait=True):
        assert process.wait(timeout=10) == 0


def test_of_many_that_come_and_go_one_at_a_time_is_inside(tmp_path: Path) -> None:
    """The lock file is removed at each end: a process that opened the removed file must not believe it has the lock."""
    inside, most = [0], [0]

    def come_and_go() -> None:
        for _ in range(30):
            try:
                with locked(tmp_path / "model"):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    time.sleep(0)
                    inside[0] -= 1
            except InputError:
                continue

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
