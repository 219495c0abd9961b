"""HumanEval: turns answers into programs, and computes pass@k.

lavra runs programs in a sandbox of its own (`lavra.evaluation.sandbox`) and not through this file.  For
lm-evaluation-harness each program runs in a Python process with a time limit and no other protection; as in the
harness, that is done only if HF_ALLOW_CODE_EVAL=1 allows it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from math import comb
from typing import Any

SECONDS = 10


def build_predictions(resps: Sequence[Sequence[str]], docs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Each answer goes on from the prompt."""
    return [[doc["prompt"] + answer for answer in answers] for answers, doc in zip(resps, docs, strict=True)]


def build_predictions_instruct(resps: Sequence[Sequence[str]], docs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Each answer goes on from the prompt and ends with the block of code."""
    return [
        [doc["prompt"] + answer.partition("```")[0] for answer in answers]
        for answers, doc in zip(resps, docs, strict=True)
    ]


def pass_at_k(references: Sequence[str], predictions: Sequence[Sequence[str]], k: Sequence[int]) -> dict[str, float]:
    """The unbiased estimate for one problem (Chen et al. 2021, eq. 1)."""
    (tests,), (programs,) = references, predictions
    num_passed, total = sum(passes(program, tests) for program in programs), len(programs)
    return {f"pass@{most}": 1.0 - comb(total - num_passed, most) / comb(total, most) for most in k}


def passes(program: str, tests: str) -> bool:
    """Whether a program runs through its tests."""
    if os.environ.get("HF_ALLOW_CODE_EVAL") != "1":
        raise ValueError("this runs code that a model wrote; set HF_ALLOW_CODE_EVAL=1 to allow it")
    try:
        done = subprocess.run([sys.executable, "-I", "-c", f"{program}\n{tests}"], capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
