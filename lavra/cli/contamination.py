"""What `lavra evaluate` compares items with: the corpora that the model was trained on, where that is known."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lavra.base.workspace import Workspace
from lavra.cli.console import Unit, meter
from lavra.cli.flags import read_workspace
from lavra.evaluation.contamination.check import ContaminationChecker
from lavra.evaluation.contamination.index import find_index, open_index
from lavra.evaluation.contamination.lineage import training_text
from lavra.text.corpus import Corpus


@dataclass(frozen=True, kw_only=True)
class KnownCorpora:
    """What a model's items are compared with.

    Attributes:
        check: the comparison; None where no corpus is known.
        notes: what is not known of the model's training text, one sentence each.
    """

    check: ContaminationChecker | None
    notes: tuple[str, ...]


def known_corpora(folder: Path | None, named: Sequence[Path], args: argparse.Namespace) -> KnownCorpora:
    """The corpora of a model, indexed.

    Args:
        folder: of the model, where it is here.
        named: folders of corpora that the user says it was trained on.
        args: with the workspace, where indexes of these are kept.

    Raises:
        InputError: a folder that is named is no corpus, or another process holds the workspace.
    """
    if named:
        own = read_workspace(args)
        return KnownCorpora(check=_checker([(own, Corpus.open(path)) for path in named]), notes=())
    if folder is None:
        return KnownCorpora(check=None, notes=("contamination is unknown: a URL does not tell what its model read",))
    found = training_text(folder)
    if not found.corpora:
        notes = (f"contamination is unknown: {one}; --corpus FOLDER names its corpus" for one in found.unknown)
        return KnownCorpora(check=None, notes=tuple(notes))
    notes = (f"contamination is known of a part of the training text only: {one}" for one in found.unknown)
    corpora = [(Workspace(path.parent.parent, args.wait), Corpus.open(path)) for path in found.corpora]
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
