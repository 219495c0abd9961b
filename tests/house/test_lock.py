"""One lock file serves every supported Python and platform, and uses only pip's own index."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("3.11.7", "3.12.1", "3.13.0", "3.14.0")
PLATFORMS = {
    "linux-x86_64": {
        "sys_platform": "linux",
        "platform_machine": "x86_64",
        "platform_system": "Linux",
        "os_name": "posix",
    },
    "linux-arm64": {
        "sys_platform": "linux",
        "platform_machine": "aarch64",
        "platform_system": "Linux",
        "os_name": "posix",
    },
    "macos-arm64": {
        "sys_platform": "darwin",
        "platform_machine": "arm64",
        "platform_system": "Darwin",
        "os_name": "posix",
    },
}
LINES = [line.split("#")[0].strip() for line in (ROOT / "requirements.lock").read_text().splitlines()]
PINS = [Requirement(line) for line in LINES if line]


def environment(python: str, platform: str) -> dict[str, str]:
    short = python.rpartition(".")[0]
    implementation = {"platform_python_implementation": "CPython", "implementation_name": "cpython"}
    return {
        **PLATFORMS[platform],
        **implementation,
        "python_version": short,
        "python_full_version": python,
        "extra": "",
    }


def versions(python: str, platform: str) -> dict[str, str]:
    """The version of each package for a machine; two versions would be a contradiction."""
    found: dict[str, str] = {}
    for pin in PINS:
        if pin.marker is None or pin.marker.evaluate(environment(python, platform)):
            assert canonicalize_name(pin.name) not in found, f"{pin.name} is pinned twice for {python} on {platform}"
            found[canonicalize_name(pin.name)] = str(pin.specifier).removeprefix("==")
    return found


def wanted() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    lists.append(
        [
            line
            for line in (ROOT / "benchmarks" / "requirements.txt").read_text().splitlines()
            if not line.startswith("#")
        ]
    )
    return [Requirement(text) for texts in lists for text in texts if not text.startswith("lavra[")]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_dependency_is_pinned_within_its_bounds(python: str, platform: str) -> None:
    pinned = versions(python, platform)
    for requirement in wanted():
        if requirement.marker is not None and not requirement.marker.evaluate(environment(python, platform)):
            continue
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_every_line_pins_one_version() -> None:
    assert len(PINS) > 50
    for pin in PINS:
        assert re.fullmatch(r"==[0-9][^,*]*", str(pin.specifier)), pin
        assert pin.url is None


PURE_PYTHON = (
    "rouge-score",
    "seqeval",
    "sqlitedict",
    "word2number",
)  # published as source alone, nothing in it is compiled


def test_no_cuda_and_no_addresses() -> None:
    assert not [pin.name for pin in PINS if pin.name.startswith(("nvidia", "cuda", "triton"))]
    assert not [line for line in LINES if "://" in line or line.startswith("-")]


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", ["x86_64-manylinux_2_28", "aarch64-manylinux_2_28", "aarch64-apple-darwin"])
def test_wheels_exist_for_every_machine(python: str, platform: str) -> None:
    """So that set-up never compiles anything."""
    uv = shutil.which("uv", path=f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        pytest.skip("uv is not installed (it comes with `make env`)")
    short = python.rpartition(".")[0]
    command = [uv, "pip", "compile", "--quiet", "--no-universal", "--only-binary", ":all:", "--python-version", short]
    for name in PURE_PYTHON:
        command += ["--no-binary", name]
    command += [
        "--python-platform",
        platform,
        "--constraint",
        "requirements.lock",
        "pyproject.toml",
        "benchmarks/requirements.txt",
    ]
    result = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if any(
        words in result.stderr
        for words in ("Could not connect", "Failed to fetch", "dns error", "error sending request")
    ):
        pytest.skip("no package index can be reached")
    assert result.returncode == 0, result.stderr
