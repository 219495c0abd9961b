"""Choose the text that a model is measured on, and the text for its rounding.

A text that the user names is taken as it is.  For a model that lavra trained, its card leads to the tokens and from
there to the corpus: the held-out side measures, the training side calibrates, and the user need not look for either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from lavra.base.card import CARD_FILE, Card, read_card
from lavra.base.errors import InputError
from lavra.base.workspace import Workspace
from lavra.text.corpus import Corpus, SplitName
from lavra.text.sources.reading import ReadConfig
from lavra.text.sources.source import as_source
from lavra.text.tally import Tally

_BYTES_PER_TOKEN: Final = 8  # generous: text is spread over a corpus so that this much is left of each token wanted


@dataclass(frozen=True)
class Texts:
    """Documents with a name.

    Attributes:
        name: name of the text in the quality card.
        documents: function that iterates over the documents anew.
    """

    name: str
    documents: Callable[[], Iterator[str]]


def named_texts(path: Path) -> Texts:
    """The documents of a file or folder.

    Raises:
        InputError: the path does not exist.
    """
    source = as_source(path)
    return Texts(source.name, lambda: (document.text for document in source.documents(ReadConfig(), Tally())))


def corpus_texts(model: Path, workspaces: Sequence[Workspace], split: SplitName, max_tokens: int) -> Texts | None:
    """A side of the corpus that a model was trained on, spread over all of it; `None` where its card leads to none."""
    corpus = _corpus_of(model, workspaces)
    if corpus is None:
        return None
    every = max(1, corpus.num_bytes(split) // (_BYTES_PER_TOKEN * max_tokens))
    return Texts(
        f"{split} text of corpus {corpus.id}",
        lambda: (document.text for document in islice(corpus.documents(split), 0, None, every)),
    )


def heldout_texts(model: Path, given: Path | None, workspaces: Sequence[Workspace], max_tokens: int) -> Texts:
    """The text to measure a model's compression on.

    Raises:
        InputError: no text was given, and none is known.
    """
    found = named_texts(given) if given is not None else corpus_texts(model, workspaces, "heldout", max_tokens)
    if found is None:
        raise InputError(
            f"{model} does not say what text was held out from it, and a quality card is measured on some; "
            "name a file or folder of text it was not trained on with `text`"
        )
    return found


def _corpus_of(model: Path, workspaces: Sequence[Workspace]) -> Corpus | None:
    """The corpus of a model, by the tokens' and the corpus's identities in their cards."""
    if not (model / CARD_FILE).exists():
        return None
    wanted = read_card(model).parents.get("tokens")
    for workspace in workspaces:
        cards = _cards(workspace)
        tokens = next((card for _, card in cards if card.id == wanted), None)
        parent = tokens.parents.get("corpus") if tokens is not None else None
        found = next((folder for folder, card in cards if card.id == parent and card.kind == "corpus"), None)
        if found is not None:
            return Corpus.open(found)
    return None


def _cards(workspace: Workspace) -> list[tuple[Path, Card]]:
    folders = sorted(workspace.corpora.iterdir()) if workspace.corpora.is_dir() else []
    return [(folder, read_card(folder)) for folder in folders if (folder / CARD_FILE).exists()]
