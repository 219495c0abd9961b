"""The nine tasks of GLUE and the eight of SuperGLUE: their files, the kind of their rows, their official scores.

The names are lm-evaluation-harness'.  GLUE's diagnostic set and SuperGLUE's two (AX) have no training data: absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lavra.base.errors import ConfigError, nearest
from lavra.base.tasks import Problem
from lavra.runs.glue.rows import (
    ReadRows,
    boolq,
    copa,
    entailment,
    json_rows,
    multirc,
    record,
    table_rows,
    wic,
    wsc,
)
from lavra.runs.glue.scores import Count, count_answers, count_candidates, count_choices, count_labels, count_numbers

GLUE, SUPER_GLUE = "glue", "super_glue"
SUITES: Final[Mapping[str, str]] = {
    GLUE: GLUE,
    SUPER_GLUE: SUPER_GLUE,
    "superglue": SUPER_GLUE,
    "super-glue-lm-eval-v1": SUPER_GLUE,
}
"""Names of the suites."""


@dataclass(frozen=True, kw_only=True)
class GlueTask:
    """A task that a head is finetuned for.

    Attributes:
        name: lm-evaluation-harness' name.
        suite: `glue` or `super_glue`.
        title: name of the task in its paper.
        train: training file, the first of these that is there.
        dev: the development sets by name (the empty name is the only one), each the first file that is there.
        read: reads the rows of a file.
        count: computes the official scores; a table shows the first.
        problem: the kind of the labels; None where an ending is chosen.
    """

    name: str
    suite: str
    title: str
    train: tuple[str, ...]
    dev: Mapping[str, tuple[str, ...]]
    read: ReadRows
    count: Count
    problem: Problem | None = Problem.SINGLE_LABEL


def find_tasks(names: Sequence[str]) -> tuple[GlueTask, ...]:
    """The tasks of some names and suites, each once, in the order given.

    Args:
        names: names of tasks, or of suites.

    Raises:
        ConfigError: a name is neither.
    """
    found: dict[str, GlueTask] = {}
    for name in names:
        if name in SUITES:
            found |= {one.name: one for one in GLUE_TASKS.values() if one.suite == SUITES[name]}
        elif name in GLUE_TASKS:
            found[name] = GLUE_TASKS[name]
        else:
            known = (GLUE, SUPER_GLUE, *GLUE_TASKS)
            raise ConfigError(f"{name!r} is not finetuned for{nearest(name, known)}; give {', '.join(known)}")
    return tuple(found.values())


def _glue(name: str, folders: Sequence[str], title: str, read: ReadRows, count: Count, **more: Problem) -> GlueTask:
    return GlueTask(
        name=name,
        suite=GLUE,
        title=title,
        train=tuple(f"glue/{folder}/train.tsv" for folder in folders),
        dev={"": tuple(f"glue/{folder}/dev.tsv" for folder in folders)},
        read=read,
        count=count,
        **more,
    )


def _super_glue(
    name: str, folder: str, read: ReadRows, count: Count, *, problem: Problem | None = Problem.SINGLE_LABEL
) -> GlueTask:
    return GlueTask(
        name=name,
        suite=SUPER_GLUE,
        title=folder,
        train=(f"superglue/{folder}/train.jsonl",),
        dev={"": (f"superglue/{folder}/val.jsonl", f"superglue/{folder}/dev32.jsonl")},
        read=read,
        count=count,
        problem=problem,
    )


_SENTENCES = table_rows("sentence1", "sentence2", "label")
_COLA = table_rows("sentence", None, "label", header=("source", "label", "star", "sentence"))
_MNLI = GlueTask(
    name="mnli",
    suite=GLUE,
    title="MNLI",
    train=("glue/MNLI/train.tsv",),
    dev={"matched": ("glue/MNLI/dev_matched.tsv",), "mismatched": ("glue/MNLI/dev_mismatched.tsv",)},
    read=table_rows("sentence1", "sentence2", "gold_label"),
    count=count_labels("accuracy"),
)

GLUE_TASKS: Final[Mapping[str, GlueTask]] = {
    one.name: one
    for one in (
        _glue("cola", ["CoLA"], "CoLA", _COLA, count_labels("matthews")),
        _glue("sst2", ["SST-2"], "SST-2", table_rows("sentence", None, "label"), count_labels("accuracy")),
        _glue(
            "mrpc",
            ["MRPC"],
            "MRPC",
            table_rows("#1 String", "#2 String", "Quality"),
            count_labels("f1", "accuracy"),
        ),
        _glue(
            "stsb",
            ["STS-B", "STS-B-open"],
            "STS-B",
            table_rows("sentence1", "sentence2", "score", number=True),
            count_numbers,
            problem=Problem.REGRESSION,
        ),
        _glue(
            "qqp",
            ["QQP"],
            "QQP",
            table_rows("question1", "question2", "is_duplicate"),
            count_labels("f1", "accuracy"),
        ),
        _MNLI,
        _glue("qnli", ["QNLI"], "QNLI", table_rows("question", "sentence", "label"), count_labels("accuracy")),
        _glue("rte", ["RTE"], "RTE", _SENTENCES, count_labels("accuracy")),
        _glue("wnli", ["WNLI"], "WNLI", _SENTENCES, count_labels("accuracy")),
        _super_glue("boolq", "BoolQ", json_rows(boolq), count_labels("accuracy")),
        _super_glue("cb", "CB", json_rows(entailment), count_labels("accuracy", "macro_f1")),
        _super_glue("copa", "COPA", json_rows(copa), count_choices, problem=None),
        _super_glue("multirc", "MultiRC", json_rows(multirc), count_answers),
        _super_glue("record", "ReCoRD", json_rows(record), count_candidates),
        _super_glue("sglue_rte", "RTE", json_rows(entailment), count_labels("accuracy")),
        _super_glue("wic", "WiC", json_rows(wic), count_labels("accuracy")),
        _super_glue("wsc", "WSC", json_rows(wsc), count_labels("accuracy")),
    )
}
