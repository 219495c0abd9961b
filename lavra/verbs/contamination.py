"""The corpora that `lavra evaluate` compares items with: those that the model was trained on, where they are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lavra.base.workspace import Workspace
from lavra.evaluation.contamination.check import ContaminationChecker
from lavra.evaluation.contamination.index import find_index, open_index
from lavra.evaluation.contamination.lineage import training_text
from lavra.text.corpus import Corpus
from lavra.verbs.meter import Unit, meter


@dataclass(frozen=True, kw_only=True)
class KnownCorpora:
    """The corpora that a model's items are compared with.

    Attributes:
        check: the comparison; None where no corpus is known.
        notes: unknown parts of the model's training text, one sentence each.
    """

    check: ContaminationChecker | None
    notes: tuple[str, ...]


def known_corpora(folder: Path | None, named: Sequence[Path], workspace: Workspace) -> KnownCorpora:
    """The corpora of a model, indexed.

    Args:
        folder: folder of the model, if it is on this machine.
        named: folders of corpora that the user names as training text.
        workspace: workspace that keeps the indexes of corpora.

    Raises:
        InputError: a named folder is not a corpus, or another process holds the workspace.
    """
    if named:
        return KnownCorpora(check=_checker([(workspace, Corpus.open(path)) for path in named]), notes=())
    if folder is None:
        return KnownCorpora(check=None, notes=("the contamination is unknown: a URL does not name its model's texts",))
    found = training_text(folder)
    if not found.corpora:
        notes = (f"the contamination is unknown: {one}; name its corpus with `corpus`" for one in found.unknown)
        return KnownCorpora(check=None, notes=tuple(notes))
    notes = (f"contamination is known of a part of the training text only: {one}" for one in found.unknown)
    corpora = [(Workspace(path.parent.parent, workspace.waits), Corpus.open(path)) for path in found.corpora]
    return KnownCorpora(check=_checker(corpora), notes=tuple(notes))


def _checker(corpora: Sequence[tuple[Workspace, Corpus]]) -> ContaminationChecker:
    with meter(Unit.BYTES) as progress:
        indexes = []
        for workspace, corpus in corpora:
            if find_index(workspace.indexes, corpus) is not None:
                indexes.append(open_index(workspace.indexes, corpus))
                continue
            with workspace.lock():
                indexes.append(open_index(workspace.folder("indexes"), corpus, progress))
    return ContaminationChecker(indexes)
