"""MBPP: the rows of its test split, and the share of programs that pass.

lavra runs programs in a sandbox of its own (`lavra.evaluation.sandbox`) and not through this file.  For
lm-evaluation-harness each program runs in a Python process with a time limit and no other protection; as in the
harness, that is done only if HF_ALLOW_CODE_EVAL=1 allows it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

SECONDS = 10


def process_docs(dataset: Any) -> Any:
    """The rows of the test split, out of a `datasets.Dataset` or a list."""
    return [row for row in dataset if is_tested(row)] if isinstance(dataset, list) else dataset.filter(is_tested)


def is_tested(row: Mapping[str, Any]) -> bool:
    """Tasks 11 to 510 are the test split (Austin et al. 2021, section 2.1); 2 to 4 are the paper's examples."""
    return bool(11 <= row["task_id"] <= 510)


def build_predictions(resps: Sequence[Sequence[str]], docs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The first block of code of each answer; the prompt has opened it."""
    return [[code_block(answer) for answer in answers] for answers in resps]


def code_block(text: str) -> str:
    """The first block of code, nothing where there is none."""
    pattern = r"```(?:\w+)?\n?(.*?)\n?```"
    blocks = re.findall(pattern, "```" + text, re.DOTALL)
    blocks = blocks or re.findall(pattern, text.replace("```python", "```"), re.DOTALL)
    return blocks[0] if blocks else ""


def pass_at_1(references: Sequence[str], predictions: Sequence[Any]) -> float:
    """The share of an item's programs that pass."""
    (tests,), (programs,) = references, predictions
    programs = [programs] if isinstance(programs, str) else programs
    return sum(passes(program, tests) for program in programs) / len(programs)


def passes(program: str, tests: str) -> bool:
    """Whether a program runs through its tests."""
    if os.environ.get("HF_ALLOW_CODE_EVAL") != "1":
        raise ValueError("this runs code that a model wrote; set HF_ALLOW_CODE_EVAL=1 to allow it")
    try:
        done = subprocess.run([sys.executable, "-I", "-c", f"{program}\n{tests}"], capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
