"""Rows of GLUE (Wang et al. 2018) and SuperGLUE (Wang et al. 2019) from the files that the benchmarks hand out.

GLUE's are tables parted by tabs in which quotation marks are text; SuperGLUE's are JSON lines.  Each row becomes a
text, perhaps a second text, and a label, or for COPA two endings.  Questions with several candidates (MultiRC, ReCoRD)
become one row a candidate; these share their `group`.  A file may end in `.gz`.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lavra.base.errors import InputError

PLACEHOLDER = "@placeholder"
"""The gap in a query of ReCoRD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GlueRow:
    """A text to be judged.

    Attributes:
        text: the first or only text.
        pair: the second text.
        choices: endings to choose from; empty where the text is labelled.
        label: the right label, number, or place of the right ending.
        group: number of the question that the row belongs to.
        candidate: the answer that the row puts forward.
        golds: right answers of the question.
    """

    text: str
    pair: str | None = None
    choices: tuple[str, ...] = ()
    label: str | float | int
    group: int
    candidate: str = ""
    golds: tuple[str, ...] = ()


ReadRows = Callable[[Path], "GlueFile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GlueFile:
    """The rows of a file.

    Attributes:
        rows: in its order.
        num_lines: samples of the file; a line of MultiRC or ReCoRD gives many rows.
        num_broken: lines of a table that are left out: they lack the text or the label.
    """

    rows: tuple[GlueRow, ...]
    num_lines: int
    num_broken: int = 0


def find_file(folder: Path, name: str) -> Path | None:
    """A file of a benchmark, packed or not; None where it is not there.

    Args:
        folder: folder of the data.
        name: path within it.
    """
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def table_rows(
    text: str, pair: str | None, label: str, *, header: Sequence[str] | None = None, number: bool = False
) -> ReadRows:
    """Reads a table of GLUE.

    Args:
        text: column of the first text.
        pair: column of the second text, where there is one.
        label: column of the label.
        header: names of the columns, where the first line is a row already.
        number: whether the label is a number to be predicted.
    """

    def read(path: Path) -> GlueFile:
        found: list[GlueRow] = []
        num_broken = 0
        for line, row in _table(path, header, (text, label) if pair is None else (text, pair, label)):
            if any(not row.get(name) for name in (text, label, *(() if pair is None else (pair,)))):
                num_broken += 1  # QQP's table has such lines, and GLUE's own script leaves them out
                continue
            value: str | float = _number(row[label], path, line) if number else row[label]
            found.append(GlueRow(text=row[text], pair=pair and row[pair], label=value, group=len(found)))
        return GlueFile(rows=tuple(found), num_lines=len(found), num_broken=num_broken)

    return read


def json_rows(make: Callable[[Mapping[str, Any]], Iterable[GlueRow]]) -> ReadRows:
    """Reads JSON lines of SuperGLUE.

    Args:
        make: the rows of one line, their groups counted from 0 within it.
    """

    def read(path: Path) -> GlueFile:
        found: list[GlueRow] = []
        lines = [(line, text) for line, text in enumerate(_lines(path), start=1) if text.strip()]
        for line, text in lines:
            try:
                made = list(make(json.loads(text)))
            except (ValueError, KeyError, TypeError, IndexError) as error:
                raise InputError(
                    f"{path}:{line} is not a row of this task ({error!r}); mend or delete the line"
                ) from error
            first = found[-1].group + 1 if found else 0
            found += [replace(row, group=first + row.group) for row in made]
        return GlueFile(rows=tuple(found), num_lines=len(lines))

    return read


# ---------------------------------------------------------------- SuperGLUE, a task a function


def boolq(line: Mapping[str, Any]) -> list[GlueRow]:
    """A question and its passage."""
    return [GlueRow(text=line["question"], pair=line["passage"], label=str(line["label"]).lower(), group=0)]


def entailment(line: Mapping[str, Any]) -> list[GlueRow]:
    """A premise and a hypothesis (CB, RTE)."""
    return [GlueRow(text=line["premise"], pair=line["hypothesis"], label=str(line["label"]), group=0)]


def copa(line: Mapping[str, Any]) -> list[GlueRow]:
    """A premise with its question, and two endings."""
    asked = {"cause": "What was the cause?", "effect": "What happened as a result?"}[line["question"]]
    endings = (line["choice1"], line["choice2"])
    return [GlueRow(text=f"{line['premise']} {asked}", choices=endings, label=int(line["label"]), group=0)]


def multirc(line: Mapping[str, Any]) -> list[GlueRow]:
    """A passage with a question, beside each of its answers."""
    return [
        GlueRow(
            text=f"{asked['question']} {answer['text']}",
            pair=line["passage"]["text"],
            label=str(answer["label"]),
            group=group,
            candidate=answer["text"],
        )
        for group, asked in enumerate(line["passage"]["questions"])
        for answer in asked["answers"]
    ]


def record(line: Mapping[str, Any]) -> Iterator[GlueRow]:
    """A query whose gap is filled by each entity of the passage, beside the passage."""
    passage = line["passage"]["text"]
    names = [passage[one["start"] : one["end"] + 1] for one in line["passage"]["entities"]]
    for group, asked in enumerate(line["qas"]):
        golds = tuple(dict.fromkeys(answer["text"] for answer in asked["answers"]))
        for name in dict.fromkeys(names):
            yield GlueRow(
                text=asked["query"].replace(PLACEHOLDER, name),
                pair=passage.replace("@highlight", ""),
                label=str(int(name in golds)),
                group=group,
                candidate=name,
                golds=golds,
            )


def wic(line: Mapping[str, Any]) -> list[GlueRow]:
    """A word and two sentences that use it."""
    text = f"{line['word']}: {line['sentence1']}"
    return [GlueRow(text=text, pair=line["sentence2"], label=str(line["label"]).lower(), group=0)]


def wsc(line: Mapping[str, Any]) -> list[GlueRow]:
    """A text, beside itself with the noun in the pronoun's place, as WNLI asks it."""
    target = line["target"]
    words, place = line["text"].split(" "), target["span2_index"]
    length = len(target["span2_text"].split(" "))
    filled = " ".join([*words[:place], target["span1_text"], *words[place + length :]])
    return [GlueRow(text=line["text"], pair=filled, label=str(line["label"]).lower(), group=0)]


# ---------------------------------------------------------------- files


def _lines(path: Path) -> list[str]:
    data = path.read_bytes()
    try:
        text = (gzip.decompress(data) if path.name.endswith(".gz") else data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); fetch the benchmark's file again") from error
    return text.split("\n")


def _table(path: Path, header: Sequence[str] | None, wanted: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, cells by column) of each row; a row may have fewer cells than there are columns."""
    lines = [line.rstrip("\r") for line in _lines(path)]
    rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    names = list(header) if header is not None else next(rows, [])
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(f"{path}:1 has no column {missing[0]!r}; its columns are {', '.join(names)}")
    for line, row in enumerate(rows, start=1 if header is not None else 2):
        if row:
            yield line, dict(zip(names, row, strict=False))


def _number(text: str, path: Path, line: int) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{path}:{line}: {text!r} is not a number; mend or delete the line") from None
