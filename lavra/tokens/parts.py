"""The parts of a tokenizer, before it is one: the library's object and the facts that stand beside it.

`folder` reads and writes these parts, the trainers make them, `Tokenizer` uses them; they meet here so that none
of them needs to know the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import tokenizers


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """Special tokens by role, each as it is written in the vocabulary.

    Attributes:
        bos: beginning of text.
        eos: end of text.
        unk: stands for text that cannot be spelled.
        sep: separator of an encoder's segments.
        pad: padding.
        cls: first token of an encoder's input.
        mask: a masked token.
    """

    bos: str | None = None
    eos: str | None = None
    unk: str | None = None
    sep: str | None = None
    pad: str | None = None
    cls: str | None = None
    mask: str | None = None

    def items(self) -> Iterator[tuple[str, str]]:
        """(role, token) of the roles that are filled."""
        for role in ROLES:
            token = getattr(self, role)
            if token is not None:
                yield role, token

    def as_variables(self) -> dict[str, str]:
        """`bos_token`, `eos_token`, … as Hugging Face files and chat templates name them."""
        return {f"{role}_token": token for role, token in self.items()}


ROLES = tuple(entry.name for entry in fields(SpecialTokens))


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of a tokenizer.

    Attributes:
        backend: the `tokenizers` object.
        special: the roles of its special tokens.
        chat_templates: Jinja sources by name; `default` is used unless tools need `tool_use`.
        max_length: the longest input of the model it belongs to, in tokens.
        settings: further entries of `tokenizer_config.json` that are kept when it is written again.
    """

    backend: tokenizers.Tokenizer
    special: SpecialTokens = SpecialTokens()
    chat_templates: Mapping[str, str] = field(default_factory=dict)
    max_length: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
