"""The build of torch is chosen by rule, announced before download, and never CUDA where the CPU index answered."""

from __future__ import annotations

import http.server
import json
import platform
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.torch_plan import (
    CPU_INDEX,
    Fetch,
    Plan,
    PlanError,
    answers,
    check_disk,
    choose,
    dry_run,
    explain,
    has_nvidia_driver,
    read_report,
    total_size,
)

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"


def never() -> bool:
    raise AssertionError("the CPU index was asked without need")


@pytest.mark.parametrize(
    ("wanted", "system", "driver", "index_answers", "index"),
    [
        ("auto", "Linux", False, lambda: True, CPU_INDEX),
        ("auto", "Linux", False, lambda: False, None),
        ("auto", "Linux", True, never, None),
        ("cpu", "Linux", True, lambda: True, CPU_INDEX),
        ("default", "Linux", False, never, None),
        ("cuda", "Linux", False, never, None),
        ("auto", "Darwin", False, never, None),
        ("cpu", "Darwin", False, never, None),
    ],
)
def test_the_rule(wanted: str, system: str, driver: bool, index_answers, index: str | None) -> None:
    assert choose(wanted, system, driver, index_answers).index == index


@pytest.mark.parametrize(
    ("wanted", "system", "words"),
    [("gpu", "Linux", "not one of"), ("cuda", "Darwin", "no CUDA on macOS"), ("cpu", "Linux", "does not answer")],
)
def test_unavailable_builds_are_refused(wanted: str, system: str, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        choose(wanted, system, False, lambda: False)


def report(*packages: tuple[str, str, str]) -> dict:
    return {"install": [{"metadata": {"name": n, "version": v}, "download_info": {"url": u}} for n, v, u in packages]}


def test_cuda_is_recognised_in_pips_report() -> None:
    cuda = read_report(report(("torch", "2.13.0", "u"), ("nvidia-cublas", "1", "u"), ("triton", "3", "u")))
    cpu = read_report(report(("torch", "2.13.0+cpu", "u"), ("numpy", "2", "u")))
    assert cuda.has_cuda
    assert not cpu.has_cuda
    assert cpu.version == "2.13.0+cpu"


def test_the_amount_is_reported_and_unknown_sizes_make_it_a_lower_bound(tmp_path: Path) -> None:
    wheel = tmp_path / "a+cpu wheel.whl"
    wheel.write_bytes(b"x" * 3_000_000)
    known, unknown = wheel.as_uri(), "file-less:nothing"
    plan = Plan(index=None, reason="because")
    assert total_size([known, known]) == (6_000_000, 0)
    told = explain(plan, Fetch(version="2", packages=("torch",), urls=(known,)), "auto", tmp_path)
    assert told == "torch 2 without CUDA (because): about 3 MB in 1 packages"
    assert "at least 3 MB in 2" in explain(
        plan, Fetch(version="2", packages=("torch",), urls=(known, unknown)), "auto", tmp_path
    )


def test_cuda_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="a CPU build"):
        explain(Plan(index=None, reason=""), Fetch(version="2+cpu", packages=("torch",), urls=()), "cuda", tmp_path)


def test_a_fetch_that_would_not_fit_is_refused(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    check_disk(tmp_path, free // 10)
    with pytest.raises(PlanError, match="GB of free disk are needed"):
        check_disk(tmp_path, free)


@pytest.fixture
def server() -> Iterator[str]:
    handler = type(
        "Head",
        (http.server.BaseHTTPRequestHandler,),
        {"do_HEAD": lambda self: self.send_error(404 if "bad" in self.path else 200)},
    )
    handler.log_message = lambda *_: None
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_an_index_that_answers_is_believed(server: str) -> None:
    assert answers(f"{server}/good", 5.0)
    assert not answers(f"{server}/bad", 5.0)


def test_an_index_that_hangs_costs_only_the_patience() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        assert not answers(f"http://127.0.0.1:{silent.getsockname()[1]}/", 0.3)
        assert time.monotonic() - start < 2.0


def test_a_driver_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    there, missing = tmp_path / "version", tmp_path / "missing"
    there.touch()
    assert has_nvidia_driver(proc=there, wsl=missing)
    assert has_nvidia_driver(proc=missing, wsl=there)
    assert not has_nvidia_driver(proc=missing, wsl=missing)


def pip_report(*arguments: str) -> Fetch | None:
    """pip's report of what it would install now, or `None` where no package index is reachable."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--dry-run",
        "--report",
        "-",
        "--constraint",
        str(LOCK),
    ]
    result = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        return None
    rows = json.loads(result.stdout)["install"]
    return Fetch(
        version=next((row["metadata"]["version"] for row in rows if row["metadata"]["name"] == "torch"), ""),
        packages=tuple(row["metadata"]["name"].lower() for row in rows),
        urls=tuple(row["download_info"]["url"] for row in rows),
    )


@pytest.mark.slow
def test_pip_would_do_what_the_plan_says() -> None:
    pinned = next(
        line.split()[0].removeprefix("torch==") for line in LOCK.read_text().splitlines() if line.startswith("torch==")
    )
    plan = choose("auto", platform.system(), has_nvidia_driver(), lambda: answers(CPU_INDEX + "/torch/"))
    try:
        fetch = dry_run([] if plan.index is None else ["--no-deps", "--index-url", plan.index], LOCK)
    except PlanError as error:
        pytest.skip(f"no package index can be reached: {str(error).splitlines()[-2]}")
    assert fetch.version.split("+")[0] == pinned
    if plan.index == CPU_INDEX:
        assert fetch.version == f"{pinned}+cpu"
        assert fetch.packages == ("torch",)
    elif fetch.version.endswith("+cpu") or platform.system() == "Darwin":
        assert not fetch.has_cuda


@pytest.mark.slow
def test_later_packages_bring_neither_another_torch_nor_cuda() -> None:
    fetch = pip_report("--no-build-isolation", f"{ROOT}[dev]", "-r", str(ROOT / "benchmarks" / "requirements.txt"))
    if fetch is None:
        pytest.skip("no package index can be reached")
    assert not fetch.has_cuda
    assert "torch" not in fetch.packages
