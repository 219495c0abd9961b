"""SuperGLUE (Wang et al. 2019) from the hub's rows: COPA, ReCoRD and the Winograd Schema Challenge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lavra.evaluation.benchmarks.super_glue.pronouns import readable
from lavra.evaluation.task_files.rows import DocumentRows
from lavra.metrics.answers import answer_f1, exact_match


def copa_doc_to_text(row: Mapping[str, Any]) -> str:
    """The premise without its full stop, and the word that joins it to a choice."""
    connector = {"cause": "because", "effect": "therefore"}[row["question"]]
    return f"{row['premise'].strip()[:-1]} {connector}"


def copa_doc_to_target(row: Mapping[str, Any]) -> str:
    """The right choice."""
    return copa_doc_to_choice(row)[0 if row["label"] == 0 else 1]


def copa_doc_to_choice(row: Mapping[str, Any]) -> list[str]:
    """Both choices, as continuations of the sentence."""
    return [f" {row[name][0].lower()}{row[name][1:]}" for name in ("choice1", "choice2")]


def record_process_docs(rows: DocumentRows) -> DocumentRows:
    """Sort entities and answers, and keep each once."""
    return rows.map(lambda row: {name: sorted(set(row[name])) for name in ("entities", "answers")})


def record_process_results(row: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """F1 and exact match of the likeliest entity with the closest right one."""
    likeliest = max(range(len(results)), key=lambda choice: results[choice][0])
    entity = row["entities"][likeliest]
    return {
        "f1": max(answer_f1(entity, right) for right in row["answers"]),
        "em": max(exact_match(entity, right) for right in row["answers"]),
    }


def wsc_doc_to_text(row: Mapping[str, Any]) -> str:
    """The passage with its pronoun marked, and the question; indices of spans count words."""
    pronoun, noun = row["span2_text"], row["span1_text"]
    before = " ".join(row["text"].split()[: row["span2_index"]])
    after = row["text"][len(before) + len(pronoun) + 1 :]
    passage = readable(f"{before} *{pronoun}*{after}")
    question = f'In the passage above, does the pronoun "*{pronoun}*" refer to "*{noun}*"?'
    return f"Passage: {passage}\nQuestion: {question}\nAnswer:"
