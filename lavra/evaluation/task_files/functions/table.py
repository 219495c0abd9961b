"""Which function of lavra stands for which function of a benchmark's Python file.

A file beside the task file decides: its function is known by its fingerprint (`source`), whatever the folder is called.
Where there is no such file, the folder's name and the function's decide.  Anything else is refused by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lavra.base.errors import ConfigError, nearest
from lavra.evaluation.task_files.functions.shipped import SHIPPED_FUNCTIONS
from lavra.evaluation.task_files.functions.source import fingerprint
from lavra.evaluation.task_files.yaml_file import FunctionReference


@dataclass(frozen=True, kw_only=True)
class KnownFunction:
    """One function.

    Attributes:
        folder: name of the benchmark's folder in lm-evaluation-harness.
        name: as its task files write it.
        call: `module:function` of ours, in this package unless the module has dots.
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
    KnownFunction(folder="hellaswag", name="utils.process_docs", call="hellaswag:process_docs"),
    KnownFunction(
        folder="wikitext", name="preprocess_wikitext.wikitext_detokenizer", call="wikitext:wikitext_detokenizer"
    ),
    KnownFunction(folder="wikitext", name="preprocess_wikitext.process_results", call="wikitext:process_results"),
    KnownFunction(folder="winogrande", name="preprocess_winogrande.doc_to_choice", call="winogrande:doc_to_choice"),
    KnownFunction(folder="winogrande", name="preprocess_winogrande.doc_to_target", call="winogrande:doc_to_target"),
    KnownFunction(folder="winogrande", name="preprocess_winogrande.doc_to_text", call="winogrande:doc_to_text"),
    *(
        KnownFunction(folder=folder, name=name, call=call, fingerprints=(known,))
        for folder, name, call, known in SHIPPED_FUNCTIONS
    ),
)


def resolve(reference: FunctionReference) -> Callable[..., Any]:
    """The function of ours that stands for the one a task file names.

    Raises:
        ConfigError: there is none; the error names the function.
    """
    known = _by_fingerprint(reference)
    module, _, name = known.call.partition(":")
    path = module if "." in module else f"{__package__}.{module}"
    function: Callable[..., Any] = getattr(importlib.import_module(path), name)
    return function


def _by_fingerprint(reference: FunctionReference) -> KnownFunction:
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
        f"it, and has no function of its own in its place{_offer(reference.name)}"
    )


def _by_folder(reference: FunctionReference) -> KnownFunction:
    parents = [parent.name for parent in reference.path.absolute().parents]
    wanted = (
        f"{parents[1]}/{parents[0]}/{reference.name}" if len(parents) > 1 else "",
        f"{parents[0]}/{reference.name}",
    )
    for key in wanted:
        for known in KNOWN_FUNCTIONS:
            if known.key == key:
                return known
    raise ConfigError(
        f"{reference.path}:{reference.line}: {reference} is Python; lavra runs none of it, and has no function of its "
        f"own in its place{nearest(wanted[1], (known.key for known in KNOWN_FUNCTIONS))}"
    )


def _offer(name: str) -> str:
    same = [known.key for known in KNOWN_FUNCTIONS if known.name == name]
    return f"; it has {', '.join(same)}" if same else nearest(name, (known.key for known in KNOWN_FUNCTIONS))
