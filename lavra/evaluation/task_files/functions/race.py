"""RACE (Lai et al. 2017): an article, its questions with their answers, and the last question to be answered."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

_LETTERS = "ABCD"
_GAP = "  _  ."


def doc_to_text(row: Mapping[str, Any]) -> str:
    """The article, the answered questions, and the last question."""
    *answered, last = _problems(row)
    return f"Article: {row['article']}\n\n{''.join(map(_answered, answered))}{last['question']}"


def doc_to_choice(row: Mapping[str, Any]) -> list[str]:
    """The four options of the last question."""
    return list(_problems(row)[-1]["options"][:4])


def doc_to_target(row: Mapping[str, Any]) -> int:
    """The number of the right option."""
    return _LETTERS.index(_problems(row)[-1]["answer"])


def _problems(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(ast.literal_eval(row["problems"]))


def _answered(problem: Mapping[str, Any]) -> str:
    question, answer = problem["question"], problem["options"][_LETTERS.index(problem["answer"])]
    if question.endswith(_GAP):
        return f"{question[:-5]}{answer}\n"
    return f"Question: {question}\nAnswer: {answer}\n"
