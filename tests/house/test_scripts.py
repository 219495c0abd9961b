"""`./run` and `./test` on a stranger's machine: one that lacks something, and one that is ready."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SH_FILES = ["run", "test", "scripts/setup.sh", "scripts/test_tools.sh"]
TOOLS = ["awk", "cat", "cksum", "dirname", "rm", "sed", "sh", "sort", "uname"]
SHELLS = [shell for shell in ("sh", "dash", "busybox") if shutil.which(shell)]


def program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the scripts' files, in a folder whose name has a space."""
    house = tmp_path / "a house"
    (house / "scripts").mkdir(parents=True)
    for name in [*SH_FILES, "scripts/torch_plan.py", "requirements.lock", "pyproject.toml"]:
        shutil.copy(ROOT / name, house / name)
    return house


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A PATH with ordinary tools, a good Python, free disk space, apt, and no compiler."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(shutil.which(tool) or pytest.fail(f"{tool} is missing here"))
    program(folder, "python3", "exit 0")
    program(folder, "apt-get", "exit 0")
    program(
        folder, "df", "printf 'Filesystem 1024-blocks Used Available Capacity Mounted on\\nx 9 9 99999999 1%% /\\n'"
    )
    return folder


def start(script: Path, machine: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(machine), "HOME": os.environ.get("HOME", "/"), **variables}
    return subprocess.run(
        [str(script), *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", SH_FILES)
def test_scripts_are_plain_sh(shell: str, name: str) -> None:
    command = ["busybox", "sh", "-n"] if shell == "busybox" else [shell, "-n"]
    subprocess.run([*command, str(ROOT / name)], check=True)


def test_ci_script_parses() -> None:
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)


@pytest.mark.parametrize("script", ["run", "test"])
def test_an_old_python_is_refused_with_the_line_that_mends_it(house: Path, machine: Path, script: str) -> None:
    program(machine, "python3", 'case "$1" in --version) echo Python 3.9.2 ;; *) exit 1 ;; esac')
    result = start(house / script, machine)
    assert result.returncode == 1
    assert "Python 3.11 to 3.14 is needed, found: Python 3.9.2" in result.stderr
    assert "apt-get install -y python3.11 python3.11-venv" in result.stderr
    assert not (house / ".venv").exists()


def test_a_missing_python_is_refused(house: Path, machine: Path) -> None:
    (machine / "python3").unlink()
    result = start(house / "run", machine)
    assert result.returncode == 1
    assert "found: none" in result.stderr
    assert "apt-get install -y python3 python3-venv" in result.stderr


def test_a_newer_python_than_python3_is_found(house: Path, machine: Path) -> None:
    program(machine, "python3", "exit 1")
    program(machine, "python3.13", 'case "$*" in *ensurepip*) exit 1 ;; *version_info\\[:2\\]\\)*) echo 3.13 ;; esac')
    result = start(house / "run", machine)
    assert "Python 3.13 lacks the venv module" in result.stderr


def test_a_python_without_venv_is_refused(house: Path, machine: Path) -> None:
    program(machine, "python3", 'case "$*" in *ensurepip*) exit 1 ;; *print*) echo 3.12 ;; esac')
    result = start(house / "run", machine)
    assert result.returncode == 1
    assert "Python 3.12 lacks the venv module" in result.stderr
    assert "apt-get install -y python3.12-venv" in result.stderr


def test_a_full_disk_is_refused_before_anything_is_made(house: Path, machine: Path) -> None:
    program(
        machine, "df", "printf 'Filesystem 1024-blocks Used Available Capacity Mounted on\\nx 9 9 1048576 99%% /\\n'"
    )
    result = start(house / "run", machine)
    assert result.returncode == 1
    assert "4000 MB of free disk are needed" in result.stderr
    assert "1024 MB are free" in result.stderr
    assert not (house / ".venv").exists()


@pytest.mark.parametrize(
    ("system", "manager", "line"), [("Darwin", None, "brew install"), ("Linux", "dnf", "sudo dnf install")]
)
def test_the_mending_line_fits_the_platform(
    house: Path, machine: Path, system: str, manager: str | None, line: str
) -> None:
    (machine / "python3").unlink()
    (machine / "apt-get").unlink()
    (machine / "uname").unlink()
    program(machine, "uname", f"echo {system}")
    if manager:
        program(machine, manager, "exit 0")
    assert line in start(house / "run", machine).stderr


def test_no_compiler_is_said_and_not_fatal(house: Path, machine: Path) -> None:
    program(machine, "python3", 'case "$*" in *"-m venv"*) echo reached >&2; exit 1 ;; esac')
    result = start(house / "run", machine)
    assert "no C++ compiler" in result.stderr
    assert "reached" in result.stderr


def make_ready(house: Path, machine: Path, level: str) -> None:
    """A finished .venv, with programs that print how they were called."""
    (house / ".venv" / "bin").mkdir(parents=True)
    program(house / ".venv" / "bin", "lavra", 'echo "lavra $*"')
    program(house / ".venv" / "bin", "python", 'echo "python $*"')
    (house / ".venv" / ".lavra-torch").write_text("auto\n")
    stamp = f'root="{house}"; . "$root/scripts/setup.sh"; fingerprint >"$venv/.lavra-{level}"'
    subprocess.run(["sh", "-euc", stamp], env={"PATH": str(machine)}, check=True)


def test_a_ready_environment_is_used_at_once(house: Path, machine: Path) -> None:
    make_ready(house, machine, "run")
    (machine / "python3").unlink()  # nothing is checked again
    result = start(house / "run", machine, "--text", "my folder")
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "lavra up --text my folder", "")


def test_the_native_runner_is_built_again_when_a_source_is_newer(house: Path, machine: Path) -> None:
    make_ready(house, machine, "run")
    program(machine, "g++", "exit 0")
    (machine / "find").symlink_to(shutil.which("find") or pytest.fail("find is missing here"))
    library, source = house / "lavra" / "lavra_native.so", house / "native" / "src" / "model.cpp"
    for path in (library, source):
        path.parent.mkdir(parents=True)
        path.touch()
    os.utime(library, (1, 1))
    assert "native/build.py --if-stale" in start(house / "run", machine).stderr
    os.utime(source, (0, 0))
    assert start(house / "run", machine).stderr == ""
    library.unlink()
    program(house / ".venv" / "bin", "python", "exit 1")
    assert "torch computes instead" in start(house / "run", machine).stderr


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml", "scripts/setup.sh"])
def test_a_changed_pin_makes_it_look_again(house: Path, machine: Path, changed: str) -> None:
    make_ready(house, machine, "run")
    with (house / changed).open("a") as file:
        file.write("\n# changed\n")
    (machine / "python3").unlink()
    assert "Python 3.11 to 3.14 is needed" in start(house / "run", machine).stderr


def test_another_torch_makes_it_look_again(house: Path, machine: Path) -> None:
    make_ready(house, machine, "run")
    (machine / "python3").unlink()
    assert "Python 3.11 to 3.14 is needed" in start(house / "run", machine, TORCH="cuda").stderr


def test_slow_tests_run_with_all_only(house: Path, machine: Path) -> None:
    make_ready(house, machine, "test")
    some = start(house / "test", machine, "tests/house", LAVRA_DATA="/data")
    every = start(house / "test", machine, "--all", "-x")
    spread = "-n auto --maxprocesses 4 --dist worksteal"
    assert some.stdout.strip() == f"python -m pytest -rs {spread} -m not slow tests/house"
    assert every.stdout.strip() == f"python -m pytest -rs {spread} -x"
    assert "LAVRA_DATA is not set" in every.stderr
    assert some.stderr == ""
