"""Language models whose weights are in this process, with either runner, and their port."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from lavra.base.errors import InputError
from lavra.base.ports import LanguageModel
from lavra.generate.prompt_encoding import PromptEncoding
from lavra.model.config import ModelConfig
from lavra.tokens.tokenizer import Tokenizer


@runtime_checkable
class HeldPort(LanguageModel, Protocol):
    """The port of a language model whose weights are in this process, with either runner.

    Attributes:
        config: configuration of the model.
        tokenizer: tokenizer of the model.
        encoding: encoding of the model's input.
    """

    config: ModelConfig
    tokenizer: Tokenizer
    encoding: PromptEncoding


class _Model(Protocol):
    """The part of `TextModel` that this lower module needs."""

    @property
    def port(self) -> LanguageModel: ...


def held_port(model: _Model) -> HeldPort:
    """The port of a model in this process.

    Raises:
        InputError: the model is in another process.
    """
    port = model.port
    if not isinstance(port, HeldPort):
        raise InputError(f"an engine needs the weights in this process, and {type(port).__name__} has them elsewhere")
    return port
