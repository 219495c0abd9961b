"""The corpora that a model was trained on, from the cards of its workspace.

Each artifact's card names its parents by id (`lavra.base.card`).  From a model the parents are followed through the
workspace up to the corpora.  A part of the training text is unknown if a parent is missing, if a model has no card, or
if it was trained on files that are not a corpus.  The result says so, since "no overlap found" in the known part does
not make such a model clean.
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
    """The known and unknown training text of a model.

    Attributes:
        corpora: folders of the corpora that it was trained on.
        unknown: other parts of its training text, one sentence each; empty if the corpora are complete.
    """

    corpora: tuple[Path, ...]
    unknown: tuple[str, ...]


def training_text(model: Path) -> TrainingText:
    """Find the training text of a model folder, from the workspace that it lies in."""
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
    """The training text of a card that is not in the workspace, one sentence each."""
    reasons = [
        f"the {role} {parent} that the {card.kind} {card.id} was made from is not in the workspace"
        for role, parent in card.parents.items()
        if parent not in known
    ]
    if card.kind in MODELS and card.config.get("data"):
        reasons.append(f"the {card.kind} {card.id} was trained on {card.config['data']}, which is not a corpus")
    if card.config.get("stage", {}).get("inputs", {}).get("start"):
        reasons.append(f"the {card.kind} {card.id} went on from a model whose training text is unknown")
    if card.kind in MODELS and not card.parents:
        reasons.append(f"the {card.kind} {card.id} names nothing that it was made from")
    return reasons


def _artifacts(workspace: Path) -> dict[str, tuple[Path, Card]]:
    """The folder and card of every artifact of a workspace that can be read, by id."""
    found = {}
    for path in (card for kind in FOLDERS for card in sorted((workspace / kind).glob(f"[!.]*/{CARD_FILE}"))):
        try:
            card = read_card(path.parent)
        except InputError:
            continue  # the parents of an edited card are not reliable; they count as missing
        found[card.id] = (path.parent, card)
    return found
