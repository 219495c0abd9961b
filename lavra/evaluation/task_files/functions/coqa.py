"""CoQA (Reddy et al. 2019): a story, a conversation about it, and several people's answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from lavra.metrics.answers import answer_f1, exact_match


def doc_to_text(row: Mapping[str, Any]) -> str:
    """The story and the conversation, without the last answer."""
    turns = zip_longest(row["questions"]["input_text"], row["answers"]["input_text"][:-1])
    lines = (f"Q: {question}\n\n" + ("A:" if answer is None else f"A: {answer}\n\n") for question, answer in turns)
    return f"{row['story']}\n\n{''.join(lines)}"


def doc_to_target(row: Mapping[str, Any]) -> list[str]:
    """The answers to the last question, each once."""
    last = len(row["questions"]["input_text"]) - 1
    answers = [row["answers"]["input_text"][last]]
    for given in (row.get("additional_answers") or {}).values():
        if given["input_text"][last].lower() not in map(str.lower, answers):
            answers.append(given["input_text"][last])
    return answers


def process_results(row: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Exact match and F1 of the answer's first line with people's answers; each of these is left out in turn."""
    right, answer = doc_to_target(row), results[0].strip().split("\n")[0]
    return {"em": _left_out(exact_match, right, answer), "f1": _left_out(answer_f1, right, answer)}


def _left_out(score: Callable[[str, str], float], right: Sequence[str], answer: str) -> float:
    if len(right) == 1:
        return score(answer, right[0])
    rounds = ([*right[:index], *right[index + 1 :]] for index in range(len(right)))
    return sum(max(score(answer, one) for one in others) for others in rounds) / len(right)
