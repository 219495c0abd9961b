"""The table of families: `model_type` -> the place of its `Family`, which is imported at its first use.

lavra's own families are in `FAMILIES`.  A program adds its own with `add_family`, before it opens a folder of it.
"""

from __future__ import annotations

import importlib
from typing import Final

from lavra.base.errors import ConfigError, nearest
from lavra.base.tasks import HeadKind
from lavra.model.config import ModelConfig
from lavra.model.families.family import Family, Shape
from lavra.model.families.head_forms import HeadForm

FAMILIES: Final[dict[str, str]] = {
    "gpt2": "lavra.model.families.gpt2:GPT2",
    "llama": "lavra.model.families.llama:LLAMA",
    "mistral": "lavra.model.families.llama:MISTRAL",
    "qwen2": "lavra.model.families.llama:QWEN2",
    "falcon": "lavra.model.families.falcon:FALCON",
    "bert": "lavra.model.families.bert:BERT",
    "roberta": "lavra.model.families.bert:ROBERTA",
    "t5": "lavra.model.families.t5:T5",
}
DEFAULT_FAMILY: Final = "llama"
"""The family of a fresh model, unless another family is named."""

ENCODER_FAMILY: Final = "bert"
"""The family of the sentence encoder that `up` trains beside a model of any family."""

_added: dict[str, str] = {}


def add_family(place: str) -> None:
    """Add a family to the table, for the length of the process; adding it again changes nothing.

    Args:
        place: place of its `Family`, as `module:NAME`.  Processes that lavra starts import the module too.

    Raises:
        ConfigError: the place has no family, or its `model_type` is another family's.
    """
    name = _at(place).model_type
    if {**FAMILIES, **_added}.get(name, place) != place:
        raise ConfigError(f"{place} has the model_type {name!r} of another family; give it one of its own")
    _added[name] = place


def added_families() -> tuple[str, ...]:
    """The places of the added families, for a process that needs them too."""
    return tuple(_added.values())


def family_names() -> tuple[str, ...]:
    """The `model_type` of every family, lavra's own first."""
    return (*FAMILIES, *_added)


def family(name: str) -> Family:
    """The family of that `model_type`.

    Raises ConfigError for an unknown one, naming the nearest.
    """
    places = {**FAMILIES, **_added}
    if name not in places:
        raise ConfigError(f"unknown family {name!r}{nearest(name, places)}")
    return _at(places[name])


def _at(place: str) -> Family:
    module, _, attribute = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"no family at {place!r} ({error}); give module:NAME of a Family") from error
    if not isinstance(found, Family):
        raise ConfigError(f"{place} is a {type(found).__name__}; give module:NAME of a Family")
    return found


def head_form(name: str, kind: HeadKind) -> HeadForm:
    """The form of a kind of head in a family's `transformers` class.

    Raises ConfigError if the family has no such head; the message names the heads it has.
    """
    found = family(name).heads.get(kind)
    if found is None:
        others = ", ".join(one for one in family_names() if kind in family(one).heads)
        raise ConfigError(f"family {name} has no {kind.value} head; families with one: {others}")
    return found


def preset(
    name: str, *, vocab_size: int, hidden_size: int, num_layers: int, num_heads: int, max_positions: int
) -> ModelConfig:
    """A fresh model's configuration in the shape of its family's paper.

    Inner sizes are multiples of 64.  Change a field with `dataclasses.replace`.

    Raises ConfigError for an unknown family, or heads that do not divide the width.
    """
    shape = Shape(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_layers=num_layers,
        num_heads=num_heads,
        max_positions=max_positions,
    )
    return family(name).preset(shape)
