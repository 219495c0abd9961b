"""Which function of lavra stands for which function of a benchmark's Python file.

Tasks that lavra ships have their functions in modules of `lavra.evaluation.benchmarks`, beside the task files; these
are lavra's own, and a copy of such a folder is told by its fingerprint (`source`).  For functions of
lm-evaluation-harness' own tasks there is a table, where the fingerprint of the file beside the task file decides, or,
where there is no such file, the folder's name.  Anything else is refused by name; no file of a task's folder is ever
imported or run.
"""

from __future__ import annotations

import importlib
import importlib.resources
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lavra.base.errors import ConfigError, MissingDependencyError
from lavra.evaluation.task_files.functions.source import fingerprint
from lavra.evaluation.task_files.yaml_file import FunctionReference

BENCHMARKS = Path(str(importlib.resources.files("lavra.evaluation.benchmarks")))
"""The folder of the tasks that lavra ships."""
_OWN = "lavra.evaluation.task_files.functions"
# Of the shipped files, what starts a program: the files' own functions, for lm-evaluation-harness, know no sandbox.
_IN_SANDBOX = {
    ("humaneval", "pass_at_k"): f"{_OWN}.programs:pass_at_k",
    ("mbpp", "pass_at_1"): f"{_OWN}.programs:pass_at_1",
}


@dataclass(frozen=True, kw_only=True)
class KnownFunction:
    """One function.

    Attributes:
        folder: name of the benchmark's folder in lm-evaluation-harness.
        name: as its task files write it.
        call: `module:function` of ours.
        fingerprints: of the Python it stands for, in the versions that were compared with it.
    """

    folder: str
    name: str
    call: str
    fingerprints: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """`hellaswag/utils.process_docs`."""
        return f"{self.folder}/{self.name}"


KNOWN_FUNCTIONS = (
    KnownFunction(folder="hellaswag", name="utils.process_docs", call=f"{_OWN}.hellaswag:process_docs"),
    KnownFunction(
        folder="humaneval",
        name="utils.build_predictions",
        call="lavra.evaluation.benchmarks.humaneval.programs:build_predictions",
        fingerprints=("ac852f419958e45d",),
    ),
    KnownFunction(
        folder="humaneval",
        name="utils.build_predictions_instruct",
        call="lavra.evaluation.benchmarks.humaneval.programs:build_predictions_instruct",
        fingerprints=("70e48ecc6ed113ec",),
    ),
    KnownFunction(
        folder="humaneval",
        name="utils.pass_at_k",
        call=f"{_OWN}.programs:pass_at_k",
        fingerprints=("66430f5a6cc140c9",),
    ),
    KnownFunction(
        folder="mbpp",
        name="utils.build_predictions",
        call="lavra.evaluation.benchmarks.mbpp.programs:build_predictions",
        fingerprints=("192633b144bc1386",),
    ),
    KnownFunction(
        folder="mbpp",
        name="utils.list_fewshot_samples",
        call=f"{_OWN}.programs:list_fewshot_samples",
        fingerprints=("cf863abae77a4517",),
    ),
    KnownFunction(
        folder="mbpp", name="utils.pass_at_1", call=f"{_OWN}.programs:pass_at_1", fingerprints=("aa59b095af9cabce",)
    ),
    KnownFunction(
        folder="wikitext", name="preprocess_wikitext.wikitext_detokenizer", call=f"{_OWN}.wikitext:wikitext_detokenizer"
    ),
    KnownFunction(
        folder="wikitext", name="preprocess_wikitext.process_results", call=f"{_OWN}.wikitext:process_results"
    ),
    KnownFunction(
        folder="winogrande", name="preprocess_winogrande.doc_to_choice", call=f"{_OWN}.winogrande:doc_to_choice"
    ),
    KnownFunction(
        folder="winogrande", name="preprocess_winogrande.doc_to_target", call=f"{_OWN}.winogrande:doc_to_target"
    ),
    KnownFunction(folder="winogrande", name="preprocess_winogrande.doc_to_text", call=f"{_OWN}.winogrande:doc_to_text"),
)


def resolve(reference: FunctionReference) -> Callable[..., Any]:
    """The function of ours that stands for the one a task file names.

    Raises:
        ConfigError: there is none; the error names the function.
        MissingDependencyError: the function needs the extra `evaluate`.
    """
    call = _shipped(reference) or _listed(reference).call
    module, _, name = call.partition(":")
    try:
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except ImportError as error:
        package = error.name or module
        raise MissingDependencyError(package, f"{reference} of {reference.path}", "evaluate") from error
    return function


def _shipped(reference: FunctionReference) -> str | None:
    """The module and function of a task that lavra ships, or of a copy of its folder."""
    module, _, name = reference.name.rpartition(".")
    folder = reference.path.absolute().parent
    ours = BENCHMARKS / folder.name / f"{module}.py"
    if not module.isidentifier() or not ours.is_file():
        return None
    theirs = folder / f"{module}.py"
    same = theirs.resolve() == ours.resolve() or not theirs.is_file()
    wanted = fingerprint(ours, name)
    if wanted is None or not (same or fingerprint(theirs, name) == wanted):
        return None
    return _IN_SANDBOX.get((folder.name, name), f"lavra.evaluation.benchmarks.{folder.name}.{module}:{name}")


def _listed(reference: FunctionReference) -> KnownFunction:
    module, _, name = reference.name.rpartition(".")
    file = reference.path.parent / f"{module.replace('.', '/')}.py"
    if not module or not file.is_file():
        return _by_folder(reference)
    found = fingerprint(file, name)
    for known in KNOWN_FUNCTIONS:
        if known.name.rpartition(".")[2] == name and found in known.fingerprints:
            return known
    raise ConfigError(
        f"{reference.path}:{reference.line}: {reference} is Python of {file} (fingerprint {found}); lavra runs none of "
        f"it, and has no function of its own in its place; {_offer(reference.name)}"
    )


def _by_folder(reference: FunctionReference) -> KnownFunction:
    folder = reference.path.absolute().parent.name
    for known in KNOWN_FUNCTIONS:
        if known.key == f"{folder}/{reference.name}":
            return known
    raise ConfigError(
        f"{reference.path}:{reference.line}: {reference} is Python; lavra runs none of it, and has no function of its "
        f"own in its place; {_offer(reference.name)}"
    )


def _offer(name: str) -> str:
    same = [known.key for known in KNOWN_FUNCTIONS if known.name == name]
    near = same or get_close_matches(name, [known.key for known in KNOWN_FUNCTIONS], n=3, cutoff=0.5)
    return f"it has {', '.join(near)}" if near else "docs/task-files.md lists those it has"
