"""The table of lavra's functions that replace functions of benchmarks' Python files.

Tasks that lavra ships have their functions in modules of `lavra.evaluation.benchmarks`, beside the task files.  These
modules are lavra's own, and a copy of such a folder is recognised by its fingerprint (`source`).  Functions of
lm-evaluation-harness' own tasks stand in a table; the fingerprint of the file beside the task file selects the entry,
or, if there is no such file, the folder's name.  Any other function is refused by name; no file of a task's folder is
ever imported or run.
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
# Shipped functions that start programs: the files' versions, for lm-evaluation-harness, have no sandbox.
_IN_SANDBOX = {
    ("humaneval", "pass_at_k"): f"{_OWN}.programs:pass_at_k",
    ("mbpp", "pass_at_1"): f"{_OWN}.programs:pass_at_1",
}


@dataclass(frozen=True, kw_only=True)
class KnownFunction:
    """A function of lavra that replaces a function of lm-evaluation-harness.

    Attributes:
        folder: name of the benchmark's folder in lm-evaluation-harness.
        name: name of the function in its task files.
        call: `module:function` in lavra.
        fingerprints: fingerprints of the replaced Python, in the versions that were compared with lavra's function.
    """

    folder: str
    name: str
    call: str
    fingerprints: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The folder and the name, as in `hellaswag/utils.process_docs`."""
        return f"{self.folder}/{self.name}"


# Folder and function in lm-evaluation-harness; lavra's function (B: benchmarks, O: this package); fingerprint.
_ROWS = (
    ("hellaswag", "utils.process_docs", "B.hellaswag.hellaswag:process_docs", "7b60aabbbd5db634"),
    ("mnli", "utils.doc_to_text", "O.glue:mnli_doc_to_text", "acf3cb59b10cf53e"),
    ("cb", "aggregate.cb_multi_fi", "B.super_glue.macro:cb_multi_fi", "4d4440690a6910eb"),
    ("copa", "utils.doc_to_text", "O.super_glue:copa_doc_to_text", "0ae996230f5cf2da"),
    ("copa", "utils.doc_to_target", "O.super_glue:copa_doc_to_target", "8f33946f320fccf2"),
    ("copa", "utils.doc_to_choice", "O.super_glue:copa_doc_to_choice", "c5cf54c09a8d00df"),
    ("record", "util.doc_to_text", "B.super_glue.record:doc_to_text", "5eea88c972205ce5"),
    ("record", "util.doc_to_target", "B.super_glue.record:doc_to_target", "3427dc4f0f9337c1"),
    ("record", "util.doc_to_choice", "B.super_glue.record:doc_to_choice", "774ce8f5183d35d3"),
    ("record", "util.process_docs", "O.super_glue:record_process_docs", "435831e81ab89672"),
    ("record", "util.process_results", "O.super_glue:record_process_results", "dfecc3abf7680115"),
    ("wsc", "preprocess_wsc.default_doc_to_text", "O.super_glue:wsc_doc_to_text", "6e97783dc9defdcc"),
    ("truthfulqa", "utils.process_docs_gen", "O.truthfulqa:process_docs_gen", "686976f05a996be9"),
    ("truthfulqa", "utils.process_results_gen", "B.truthfulqa.overlap:process_results_gen", "3cdf66df85fea054"),
    ("truthfulqa", "utils.process_results_mc2", "B.truthfulqa.answers:process_results_mc2", "5d3aedc730d2cab9"),
    ("zeroshot", "utils.MultiChoiceRegexFilter", "O.bbh:multi_choice_regex", "6f69ba544f49716d"),
    ("zeroshot", "utils.MapRegexFilter", "O.bbh:map_regex", "5bf8fcfcd1e7993b"),
    ("zeroshot", "utils.WordSortFilter", "O.bbh:word_sort", "3681451439ef9334"),
    ("cot_zeroshot", "utils.MultiChoiceRegexFilter", "O.bbh:multi_choice_regex", "6f69ba544f49716d"),
    ("cot_zeroshot", "utils.MapRegexFilter", "O.bbh:map_regex", "5bf8fcfcd1e7993b"),
    ("cot_zeroshot", "utils.WordSortFilter", "O.bbh:word_sort", "3681451439ef9334"),
    ("race", "preprocess_race.doc_to_text", "O.race:doc_to_text", "f91b5ee65021ae34"),
    ("race", "preprocess_race.doc_to_target", "O.race:doc_to_target", "627ad30b78af02ec"),
    ("race", "preprocess_race.doc_to_choice", "O.race:doc_to_choice", "4fe18f3f9172789d"),
    ("coqa", "utils.doc_to_text", "O.coqa:doc_to_text", "bf9d464d35939066"),
    ("coqa", "utils.doc_to_target", "O.coqa:doc_to_target", "aa821e757989e4fb"),
    ("coqa", "utils.process_results", "O.coqa:process_results", "bf6d9eb810b4900b"),
    ("wsc273", "utils.process_doc", "O.winograd:process_doc", "7248e2033a5f0a1d"),
    ("drop", "utils.process_docs", "O.drop:process_docs", "93655ce17d96a003"),
    ("drop", "utils.process_results", "O.drop:process_results", "bea8213245355d61"),
    ("portuguese_bench", "assin2_utils.macro_f1", "B.assin2.assin2:macro_f1", "0cd5e82734194999"),
    ("portuguese_bench", "assin2_utils.process_results_sts", "B.assin2.assin2:process_results_sts", "3df5fa99e8c1cf74"),
    ("portuguese_bench", "assin2_utils.pearson_corr", "B.assin2.assin2:pearson_corr", "e3abbc870e5f71ac"),
    ("wikitext", "preprocess_wikitext.wikitext_detokenizer",
     "B.wikitext.wikitext:wikitext_detokenizer", "4ab4a4f9e7341528"),
    ("wikitext", "preprocess_wikitext.process_results", "B.wikitext.wikitext:process_results", "a94716aee677ba39"),
    ("winogrande", "preprocess_winogrande.doc_to_choice", "O.winogrande:doc_to_choice", "73417c1b6a2ec0ae"),
    ("winogrande", "preprocess_winogrande.doc_to_target", "O.winogrande:doc_to_target", "377e44ee413644fa"),
    ("winogrande", "preprocess_winogrande.doc_to_text", "O.winogrande:doc_to_text", "c02e52addb70ec0f"),
    ("xwinograd", "utils.doc_to_choice", "O.winogrande:doc_to_choice", "1fca67f946028237"),
    ("xwinograd", "utils.doc_to_target", "O.winogrande:doc_to_target", "78a39d14f2876265"),
    ("xwinograd", "utils.doc_to_text", "O.winogrande:doc_to_text", "edebc3f3d7735134"),
    ("humaneval", "utils.build_predictions", "B.humaneval.programs:build_predictions", "ac852f419958e45d"),
    ("humaneval", "utils.build_predictions_instruct",
     "B.humaneval.programs:build_predictions_instruct", "70e48ecc6ed113ec"),
    ("humaneval", "utils.pass_at_k", "O.programs:pass_at_k", "66430f5a6cc140c9"),
    ("mbpp", "utils.build_predictions", "B.mbpp.programs:build_predictions", "bf8a58c982729ee2"),
    ("mbpp", "utils.list_fewshot_samples", "O.programs:list_fewshot_samples", "cf863abae77a4517"),
    ("mbpp", "utils.pass_at_1", "O.programs:pass_at_1", "b2fc1b3aac357044"),
)  # fmt: skip
_PACKAGES = {"B": "lavra.evaluation.benchmarks", "O": _OWN}
KNOWN_FUNCTIONS = tuple(
    KnownFunction(folder=folder, name=name, call=f"{_PACKAGES[call[0]]}{call[1:]}", fingerprints=(found,))
    for folder, name, call, found in _ROWS
)


def resolve(reference: FunctionReference) -> Callable[..., Any]:
    """Find lavra's function that replaces the function a task file names.

    Raises:
        ConfigError: lavra has no such function; the error names the function.
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


def resolve_value(value: Any) -> Any:
    """Replace a value of a task file that names a function by lavra's function; other values stay."""
    return resolve(value) if isinstance(value, FunctionReference) else value


def _shipped(reference: FunctionReference) -> str | None:
    """The module and function of a task that lavra ships, or of a copy of its folder, `None` for other functions."""
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
