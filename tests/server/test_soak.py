"""A short soak of the real server: every protocol, clients that disconnect and resume, and nothing lost or leaked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"
PROTOCOLS = ("chat", "completions", "responses", "messages", "ollama chat", "ollama generate", "llama.cpp")


@pytest.mark.slow
def test_a_short_soak_loses_and_leaks_nothing():
    command = [sys.executable, str(SOAK), "--requests", "600", "--seconds", "60", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["faults"] == []
    assert done.returncode == 0
    answered = [kind.rsplit(" ", 2) for kind in found["answered"]]
    for streamed in ("streamed", "whole"):
        assert {kind[0] for kind in answered if kind[1] == streamed} >= set(PROTOCOLS)
    assert {kind[2] for kind in answered} == {"plain", "tools", "schema", "regex"}
    assert {kind.rsplit(" ", 2)[0] for kind in found["left"]} >= set(PROTOCOLS)
    assert found["end"]["stored"] > 0
