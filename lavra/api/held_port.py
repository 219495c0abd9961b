"""Language models whose weights are in this process, whichever runner computes: what they can be asked."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from lavra.api.model import TextModel
from lavra.base.errors import InputError
from lavra.base.ports import LanguageModel
from lavra.generate.plan import PromptReading
from lavra.model.config import ModelConfig
from lavra.tokens.tokenizer import Tokenizer


@runtime_checkable
class HeldPort(LanguageModel, Protocol):
    """The port of a language model whose weights are in this process, whichever runner computes.

    Attributes:
        config: of the model.
        tokenizer: its own.
        reading: how it reads.
    """

    config: ModelConfig
    tokenizer: Tokenizer
    reading: PromptReading


def held_port(model: TextModel) -> HeldPort:
    """The port of a model in this process.

    Raises:
        InputError: it is elsewhere.
    """
    port = model.port
    if not isinstance(port, HeldPort):
        raise InputError(f"an engine needs the weights in this process, and {type(port).__name__} has them elsewhere")
    return port
