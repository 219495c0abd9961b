"""The table of methods, by name; the file of each is imported at its first use.

`add_adapter_method` adds a method of the user's own.  It then trains, switches, merges and is saved like the
others, and `lavra finetune` takes its word and its settings.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Final

from lavra.adapt.config import AdapterConfig
from lavra.adapt.methods.method import AdapterMethod
from lavra.base.errors import CheckpointError, ConfigError, nearest
from lavra.model.families.fields import Fields

FULL: Final = "full"
"""The word for training all of a model, which needs no adapter."""

_TABLE: Final[dict[str, str | AdapterMethod]] = {
    "lora": "lavra.adapt.methods.lora:LORA",
    "ia3": "lavra.adapt.methods.ia3:IA3",
    "bottleneck": "lavra.adapt.methods.bottleneck:BOTTLENECK",
    "prompt": "lavra.adapt.methods.prompt:PROMPT",
    "prefix": "lavra.adapt.methods.prefix:PREFIX",
}


def adapter_methods() -> tuple[AdapterMethod, ...]:
    """Every method, in the order of the table."""
    return tuple(map(_method, tuple(_TABLE)))


def add_adapter_method(method: AdapterMethod) -> None:
    """Add a method for the length of the process.

    Raises:
        ConfigError: another method has one of its words, or its class of settings.
    """
    for other in adapter_methods():
        both = [word for word in method.starts if word in other.starts or word == FULL]
        if both:
            raise ConfigError(f"there is a method {both[0]!r} already; choose another word")
        if other.config is method.config:
            raise ConfigError(
                f"{method.config.__name__} is the class of {other.name!r}; give {method.name!r} a class of its own"
            )
    _TABLE[method.name] = method


def method_of(config: AdapterConfig) -> AdapterMethod:
    """The method of these settings.

    Raises:
        ConfigError: no method has such settings.
    """
    for method in adapter_methods():
        if method.config is type(config):
            return method
    raise ConfigError(
        f"{type(config).__name__} is the configuration of no method; add its method with `add_adapter_method`"
    )


def stored_method(fields: Fields) -> AdapterMethod:
    """The method of an `adapter_config.json`, by its `peft_type`.

    Raises:
        CheckpointError: lavra does not know the method.
    """
    kind, known = str(fields.any("peft_type")), {method.kind: method for method in adapter_methods()}
    if kind not in known:
        raise CheckpointError(f"{fields.where}: peft_type is {kind!r}{nearest(kind, known)}")
    return known[kind]


def method_starts() -> Mapping[str, AdapterConfig | None]:
    """Every word -> its initial settings; `None` for the word for training all of a model."""
    return {FULL: None} | {word: start for method in adapter_methods() for word, start in method.starts.items()}


def method_word(config: AdapterConfig | None) -> str:
    """The word of settings; for `None`, the word for training all of a model."""
    return FULL if config is None else method_of(config).word_of(config)


def _method(name: str) -> AdapterMethod:
    entry = _TABLE[name]
    if isinstance(entry, AdapterMethod):
        return entry
    module, _, attribute = entry.partition(":")
    method: AdapterMethod = getattr(importlib.import_module(module), attribute)
    _TABLE[name] = method
    return method
