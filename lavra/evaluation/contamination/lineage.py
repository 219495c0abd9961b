"""Which corpora a model was trained on, as the cards of its workspace tell.

Each artifact's card names its parents by id (`lavra.base.card`).  From a model the parents are followed through the
workspace up to the corpora.  A parent that is not there, a model without a card, and a model that was trained on files
that are no corpus leave a part of its training text unknown; that is said, for "no overlap found" in the known part
does not make such a model clean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lavra.base.card import CARD_FILE, Card, read_card
from lavra.base.errors import InputError
from lavra.base.workspace import FOLDERS

CORPUS, MODELS = "corpus", ("model", "adapter")


@dataclass(frozen=True, kw_only=True)
class TrainingText:
    """What is known of a model's training text.

    Attributes:
        corpora: folders of the corpora it was trained on.
        unknown: what else it was trained on, one sentence each; empty where the corpora are all.
    """

    corpora: tuple[Path, ...]
    unknown: tuple[str, ...]


def training_text(model: Path) -> TrainingText:
    """The corpora of a model folder, from the workspace it lies in."""
    if not (model / CARD_FILE).is_file():
        return TrainingText(corpora=(), unknown=(f"{model} has no {CARD_FILE} that names its training text",))
    try:
        card = read_card(model)
    except InputError as error:
        return TrainingText(corpora=(), unknown=(str(error),))
    known = _artifacts(model.resolve().parent.parent)
    corpora: dict[str, Path] = {}
    unknown: dict[str, None] = {}
    waiting, seen = [card], {card.id}
    while waiting:
        one = waiting.pop()
        unknown |= dict.fromkeys(_missing(one, known))
        for parent in one.parents.values():
            if parent in known and parent not in seen:
                seen.add(parent)
                path, found = known[parent]
                if found.kind == CORPUS:
                    corpora[parent] = path
                else:
                    waiting.append(found)
    if not corpora and not unknown:
        unknown[f"no corpus stands among what {model} was made from"] = None
    return TrainingText(corpora=tuple(sorted(corpora.values())), unknown=tuple(unknown))


def _missing(card: Card, known: Mapping[str, tuple[Path, Card]]) -> list[str]:
    """What a card says of training text that is not in the workspace."""
    said = [
        f"the {role} {parent} that the {card.kind} {card.id} was made from is not in the workspace"
        for role, parent in card.parents.items()
        if parent not in known
    ]
    if card.kind in MODELS and card.config.get("data"):
        said.append(f"the {card.kind} {card.id} was trained on {card.config['data']}, which is no corpus")
    if card.config.get("stage", {}).get("inputs", {}).get("start"):
        said.append(f"the {card.kind} {card.id} went on from a model whose training text is unknown")
    if card.kind in MODELS and not card.parents:
        said.append(f"the {card.kind} {card.id} names nothing that it was made from")
    return said


def _artifacts(workspace: Path) -> dict[str, tuple[Path, Card]]:
    """Every artifact of a workspace that can be read, by id."""
    found = {}
    for path in (card for kind in FOLDERS for card in sorted((workspace / kind).glob(f"[!.]*/{CARD_FILE}"))):
        try:
            card = read_card(path.parent)
        except InputError:
            continue  # an edited card names nothing reliably; what it was made of counts as missing
        found[card.id] = (path.parent, card)
    return found
