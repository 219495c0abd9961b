"""Write `docs/benchmark-tasks.md` from the shipped benchmarks' files, and note the number and hash of their rows.

    python scripts/benchmark_tasks.py                  # writes the page
    python scripts/benchmark_tasks.py --data FOLDER    # first notes `rows` and `data_hash` where a task's data is there

A file's `data_hash` identifies the rows that it was checked with; a run on other rows warns.  A test checks that the
page agrees with the files.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from lavra.base.errors import InputError
from lavra.evaluation.task_files.opening import open_tasks
from lavra.evaluation.task_files.task import EvalTask

PAGE = Path(__file__).parent.parent / "docs" / "benchmark-tasks.md"
TOGETHER = {"MMLU": "mmlu", "BBH": "bbh"}  # benchmarks of many similar tasks: one line under the group's name
HEAD = """# Benchmarks that lavra ships

Made by `scripts/benchmark_tasks.py` out of the task files in `lavra/evaluation/benchmarks`; change those.

The files are lm-evaluation-harness': `lm_eval --include_path` runs them as they are, from the folder that holds the
data. Where the harness has a task of the same name, prompt and metric are its own. *Shots* are the file's examples;
`--num-fewshot` asks for others. *Rows* are those of the data the file was checked with, whose hash is its `data_hash`;
a run on other rows warns. *Verified* says whether the task was ever run on the benchmark's real files; the others were
tested on a small made file in the original layout.

A benchmark more is one file in that folder ([task files](task-files.md)).
"""
FILES = """## Where the files stand

Names count from the data's root (`--data`). Of `bbh` and `mmlu` those of one task are named; the others' are alike.
"""
COLUMNS = ("task", "asks for", "shots", "metrics", "source", "licence", "rows", "verified")


def shipped() -> list[EvalTask]:
    """Every shipped task, by name."""
    return sorted(open_tasks(["*"]).tasks, key=lambda task: task.name)


def page(tasks: Sequence[EvalTask]) -> str:
    """The whole page."""
    notes: list[str] = []
    parts = list(_parts(tasks))
    table = _table(COLUMNS, [_line(part, notes) for part in parts])
    numbered = "\n".join(f"{number}. {note}" for number, note in enumerate(notes, start=1))
    files = _table(("task", "files"), [_cells([_name(part), _files(part[0])]) for part in parts])
    return f"{HEAD}\n{table}\n\n{numbered}\n\n{FILES}\n{files}\n"


def _table(columns: Sequence[str], lines: Iterable[str]) -> str:
    return "\n".join([_cells(columns), _cells(["---"] * len(columns)), *lines])


def _name(part: Sequence[EvalTask]) -> str:
    """Name of a line of the table: its task, or the group of its tasks."""
    return f"`{part[0].name if len(part) == 1 else TOGETHER[str(part[0].file.metadata['benchmark'])]}`"


def _files(task: EvalTask) -> str:
    """Files of each split; a group shows those of its first task, because the others' are alike."""
    given = task.file.dataset_kwargs["data_files"]
    named = {split: [files] if isinstance(files, str) else files for split, files in given.items()}
    return ", ".join(f"{split} {' and '.join(f'`{file}`' for file in files)}" for split, files in named.items())


def _parts(tasks: Iterable[EvalTask]) -> Iterable[list[EvalTask]]:
    """Tasks in a line of the table."""
    parts: dict[str, list[EvalTask]] = {}
    for task in tasks:
        parts.setdefault(TOGETHER.get(str(task.file.metadata.get("benchmark")), task.name), []).append(task)
    return (parts[name] for name in sorted(parts))


def _line(part: Sequence[EvalTask], notes: list[str]) -> str:
    first = next((task for task in part if task.file.metadata["verified"]), part[0])
    about = first.file.metadata
    unseen = [task for task in part if not task.file.metadata["verified"]]
    metrics = ", ".join(dict.fromkeys(metric.name for metric in first.metrics))
    rows = sum(int(task.file.metadata.get("rows", 0)) for task in part)
    asks = str(about["about"])
    if len(part) > 1:
        asks = f"{len(part)} tasks: {', '.join(task.alias for task in part)}"
    remarks = [str(about["note"])] if about.get("note") else []
    if unseen and len(part) > 1:
        remarks.append(f"not verified: {', '.join(task.alias for task in unseen)}")
    marks = []
    for remark in remarks:
        if remark not in notes:
            notes.append(remark)
        marks.append(f"({notes.index(remark) + 1})")
    verified = (
        "yes" if not unseen else "no" if len(unseen) == len(part) else f"{len(part) - len(unseen)} of {len(part)}"
    )
    return _cells(
        [
            _name(part),
            " ".join([asks, *marks]),
            str(first.num_shots),
            metrics,
            str(about["source"]),
            str(about["licence"]),
            f"{rows:,}" if rows else "–",
            verified,
        ]
    )


def _cells(values: Iterable[str]) -> str:
    return f"| {' | '.join(values)} |"


def note_rows(task: EvalTask) -> bool:
    """Write `rows` and `data_hash` into a task's file.

    Returns:
        Whether its data is present.
    """
    try:
        rows, known = task.num_documents, task.data_hash
    except InputError:
        return False
    text = task.file.path.read_text(encoding="utf-8")
    text = re.sub(r"^  (rows|data_hash): .*\n", "", text, flags=re.MULTILINE)
    noted = f'  verified: true\n  rows: {rows}\n  data_hash: "{known}"\n'
    task.file.path.write_text(text.replace("  verified: true\n", noted), encoding="utf-8")
    return True


def main() -> None:
    """Parse, note, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the benchmarks' data")
    folder = parser.parse_args().data
    if folder:
        opened = open_tasks(["*"], data=folder).tasks
        print(f"data of {sum(map(note_rows, opened))} of {len(opened)} tasks is there")
    PAGE.write_text(page(shipped()), encoding="utf-8")


if __name__ == "__main__":
    main()
