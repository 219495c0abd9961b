"""The file of an `EvaluationResult`: `lavra evaluate` keeps it beside a model, and a report is made from it.

It is plain JSON of the dataclasses, field by field, with a version number of the layout; nothing is computed here.
`lavra.evaluation.layouts` writes the files that other tools read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lavra.base.config import from_mapping, to_mapping
from lavra.base.errors import ConfigError, InputError
from lavra.base.files import read_json, write_json
from lavra.evaluation.results import EvaluationResult

EVALUATION_FILE = "evaluation.json"
LAYOUT = 1


def write_evaluation(path: Path, result: EvaluationResult) -> None:
    """Write a result, atomically.

    Raises:
        DiskFullError: the disk has no room for it.
    """
    write_json(path, {"layout": LAYOUT, "evaluation": to_mapping(result)})


def read_evaluation(path: Path) -> EvaluationResult:
    """Read a file that `write_evaluation` or `lavra evaluate --json` wrote.

    Raises:
        InputError: the file does not exist, is not JSON, or has another layout.
    """
    if not path.is_file():
        raise InputError(f"{path} is not there; `lavra evaluate` writes it")
    try:
        raw: Any = read_json(path)
    except json.JSONDecodeError as error:
        raise InputError(f"{path} line {error.lineno}: not JSON ({error.msg}); evaluate the model again") from error
    if isinstance(raw, dict) and "lavra" in raw:  # the harness' layout
        raw = {"layout": LAYOUT, "evaluation": raw["lavra"]}
    if not isinstance(raw, dict) or raw.get("layout") != LAYOUT:
        raise InputError(f"{path} is not a result of `lavra evaluate` in layout {LAYOUT}; evaluate the model again")
    try:
        return from_mapping(EvaluationResult, raw["evaluation"], where=str(path))
    except (ConfigError, KeyError) as error:
        raise InputError(f"{error}; evaluate the model again") from error
