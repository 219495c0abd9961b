"""The settings of `tokenizer_config.json` that contradict `tokenizer.json`.

A class of transformers that is made for a model (`BertTokenizer`, `GPT2Tokenizer`, …) builds its tokenizer from the
config and takes little more than the vocabulary of the definition; the general classes take the definition as it
stands.  So do we, for the settings that change ids: those of BERT's normaliser and `add_prefix_space`.  A setting that
is not applied although it contradicts the definition is named in a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import tokenizers
from tokenizers import processors

from lavra.tokens.definition import SPACE_MARK, steps
from lavra.tokens.parts import SpecialTokens

logger = logging.getLogger(__name__)

CONFIG_FILE: Final = "tokenizer_config.json"
GENERAL_CLASSES: Final = ("PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend", "PythonBackend")
"""Classes of transformers that take `tokenizer.json` as it stands."""

_WORDS: Final = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


def apply_config(raw: dict[str, Any], config: Mapping[str, Any]) -> bool:
    """Change a parsed `tokenizer.json` to the settings of the config.

    Args:
        raw: changed in place.
        config: the parsed `tokenizer_config.json`.

    Returns:
        Whether anything changed.
    """
    changes = [*_normalizer_changes(raw, config), *_prefix_changes(raw, config)]
    applied = [one for one in changes if _applies(raw, config, one[0])]
    for name, nodes, key, value in applied:
        logger.info("%s: %s=%s is applied", CONFIG_FILE, name, config[name])
        for node in nodes:
            node[key] = value
    for name, _, key, _ in changes:
        if not any(name == one[0] for one in applied):
            logger.warning(
                "%s says %s=%s, and tokenizer.json otherwise; that is taken as it stands, as the class %s does: change "
                "%s there",
                *(CONFIG_FILE, name, config[name], config.get("tokenizer_class"), key),
            )
    _warn_of_no_effect(raw, config)
    return bool(applied)


_Change = tuple[str, list[dict[str, Any]], str, Any]
"""A setting that differs: its name, its components, their field, and the field's new value."""


def _normalizer_changes(raw: dict[str, Any], config: Mapping[str, Any]) -> list[_Change]:
    nodes = [node for node in steps(raw.get("normalizer")) if node.get("type") == "BertNormalizer"]
    return [
        (name, nodes, key, config[name])
        for name, key in _WORDS.items()
        if nodes and name in config and any(node.get(key) != config[name] for node in nodes)
    ]


def _prefix_changes(raw: dict[str, Any], config: Mapping[str, Any]) -> list[_Change]:
    name, wanted = "add_prefix_space", config.get("add_prefix_space")
    if not isinstance(wanted, bool):
        return []
    cuts = steps(raw.get("pre_tokenizer"))
    bytes_ = [node for node in cuts if node.get("type") == "ByteLevel"]
    marks = [node for node in cuts if node.get("type") == "Metaspace"]
    changes: list[_Change] = []
    if any(bool(node.get(name)) != wanted for node in bytes_):
        changes.append((name, bytes_, name, wanted))
    if any((_scheme(node) != "never") != wanted for node in marks):
        changes.append((name, marks, "prepend_scheme", "first" if wanted else "never"))
    return changes


def _scheme(node: Mapping[str, Any]) -> str:
    """The pieces that a mark is put before; older definitions have a yes or no only."""
    usual = "always" if node.get("add_prefix_space", True) else "never"
    return str(node.get("prepend_scheme") or usual)


def _applies(raw: Mapping[str, Any], config: Mapping[str, Any], name: str) -> bool:
    """Whether the class that the config names reads this setting."""
    kind = str(config.get("tokenizer_class") or "")
    kinds = {node.get("type") for node in steps(raw.get("pre_tokenizer"))}
    if kind in GENERAL_CLASSES or (kind.removesuffix("Fast") == "LlamaTokenizer" and "ByteLevel" in kinds):
        return False
    # The classes of Unigram models put the mark before every text and ignore the setting.
    return name != "add_prefix_space" or not isinstance(raw["model"].get("vocab"), list)


def _warn_of_no_effect(raw: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    kinds = {node.get("type") for node in steps(raw.get("normalizer"))}
    if config.get("do_lower_case") is True and not kinds & {"BertNormalizer", "Lowercase"}:
        logger.warning(
            "%s: do_lower_case=True has no effect, in transformers too: the definition does not", CONFIG_FILE
        )
    prepends = any(
        node.get("type") == "Prepend" and node.get("prepend") == SPACE_MARK for node in steps(raw.get("normalizer"))
    )
    if config.get("add_prefix_space") is False and prepends:
        logger.warning("%s: add_prefix_space=False is not applied: the definition puts one before texts", CONFIG_FILE)
    if config.get("truncation_side") == "left":
        logger.warning("%s: truncation_side='left' is not applied: lavra cuts the ends of texts", CONFIG_FILE)


def frame_with(
    backend: tokenizers.Tokenizer, config: Mapping[str, Any], special: SpecialTokens, *, defined: bool
) -> None:
    """Put the beginning and the end of a text around it where the config says so.

    An encoder's frame (`[CLS]` … `[SEP]`) stays.

    Args:
        backend: changed in place.
        config: the parsed `tokenizer_config.json`.
        special: the roles.
        defined: whether there is a `tokenizer.json`; `transformers` then keeps the frame it defines, and so do we.
    """
    stated = {name: bool(config[name]) for name in ("add_bos_token", "add_eos_token") if name in config}
    if not stated or special.cls is not None:
        return
    first = special.bos if stated.get("add_bos_token") else None
    last = special.eos if stated.get("add_eos_token") else None
    if not defined:
        backend.post_processor = frame(backend, first, last)
        return
    ids = backend.encode("a").ids
    does = {
        "add_bos_token": special.bos is not None and ids[:1] == [backend.token_to_id(special.bos)],
        "add_eos_token": special.eos is not None and ids[-1:] == [backend.token_to_id(special.eos)],
    }
    for name in (name for name, wanted in stated.items() if wanted != does[name]):
        logger.warning(
            "%s says %s=%s, and the frame of a text in tokenizer.json is otherwise; that is kept, as in transformers: "
            "change its post_processor",
            *(CONFIG_FILE, name, stated[name]),
        )


def frame(backend: tokenizers.Tokenizer, first: str | None, last: str | None) -> processors.TemplateProcessing:
    """The frame of a text by these tokens, and of a pair."""
    before, after = [first] if first is not None else [], [last] if last is not None else []
    one = [*(f"{token}:0" for token in before), "$A:0", *(f"{token}:0" for token in after)]
    other = [*(f"{token}:1" for token in before), "$B:1", *(f"{token}:1" for token in after)]
    ids = [(token, backend.token_to_id(token)) for token in dict.fromkeys([*before, *after])]
    return processors.TemplateProcessing(single=one, pair=[*one, *other], special_tokens=ids)
