"""A tokenizer in the form of a GGUF file for llama.cpp.

    byte-level BPE           `gpt2`    tokens and merges; the regular expression by the name llama.cpp knows it by
    SentencePiece-like BPE   `llama`   tokens with scores: the earlier a merge was learned, the better
    WordPiece                `bert`    tokens with a mark before words instead of one inside them

A tokenizer that llama.cpp would run otherwise is refused: a model with wrong tokens is worse than no model.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Final

from lavra.base.errors import ConfigError, InputError
from lavra.model.config import ModelConfig
from lavra.tokens.conversation import begins_texts, conversation_ids, wrong_beginning
from lavra.tokens.definition import BYTE_TOKENS, SPACE_MARK
from lavra.tokens.gguf_cuts import name_of_cut
from lavra.tokens.gguf_tokenizer import TokenKind
from lavra.tokens.parts import ROLES
from lavra.tokens.tokenizer import Tokenizer

log = logging.getLogger(__name__)

_TURN: Final = ({"role": "user", "content": "a"},)
_NO_MERGE: Final = -1e6  # score of pieces that no merge makes: the bytes and letters a text starts from


def write_tokenizer(writer: Any, tokenizer: Tokenizer, config: ModelConfig) -> None:
    """Write a tokenizer into an open file.

    Raises:
        ConfigError: llama.cpp cannot run this tokenizer.
    """
    raw: Mapping[str, Any] = json.loads(tokenizer.backend.to_str())
    tokens, kinds = _tokens(tokenizer, config)
    definition = tokenizer.definition
    if definition.kind == "WordPiece":
        _write_wordpiece(writer, tokenizer, raw, tokens, kinds, config)
    elif definition.kind == "BPE" and _cuts_bytes(raw):
        _write_byte_level(writer, raw, tokens)
    elif definition.kind == "BPE" and definition.is_byte_fallback:
        _write_sentencepiece(writer, raw, tokens)
    else:
        raise ConfigError(
            f"llama.cpp has no tokenizer like this one ({definition.kind}, neither byte-level nor with byte fallback); "
            "export the model to onnx"
        )
    writer.add_token_types(kinds)
    _write_special(writer, tokenizer)
    if tokenizer.chat_template is not None:
        writer.add_chat_template(_templates(tokenizer, tokenizer.chat_template))


def _tokens(tokenizer: Tokenizer, config: ModelConfig) -> tuple[list[str], list[int]]:
    """The tokens, one for every row of the embedding; rows beyond the tokenizer get names that no text can spell."""
    by_id = {number: token for token, number in tokenizer.backend.get_vocab(with_added_tokens=True).items()}
    added = {number for number, token in tokenizer.backend.get_added_tokens_decoder().items() if not token.special}
    tokens, kinds = [], []
    for number in range(config.vocab_size):
        token = by_id.get(number)
        tokens.append(f"[PAD{number}]" if token is None else token)
        if token is None:
            kinds.append(TokenKind.UNUSED)
        elif number == tokenizer.unk_id and tokenizer.definition.is_byte_fallback:
            kinds.append(TokenKind.UNKNOWN)
        elif number in tokenizer.special_ids:
            kinds.append(TokenKind.CONTROL)
        elif number in added:
            kinds.append(TokenKind.USER_DEFINED)
        elif token in BYTE_TOKENS and tokenizer.definition.is_byte_fallback:
            kinds.append(TokenKind.BYTE)
        else:
            kinds.append(TokenKind.NORMAL)
    return tokens, [int(value) for value in kinds]


def _cuts_bytes(raw: Mapping[str, Any]) -> bool:
    """Whether the pieces of words are bytes; a vocabulary may lack some of them (the published Falcon)."""
    node = raw.get("pre_tokenizer") or {}
    return any(step.get("type") == "ByteLevel" for step in node.get("pretokenizers") or [node])


def _write_byte_level(writer: Any, raw: Mapping[str, Any], tokens: list[str]) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_name(raw.get("pre_tokenizer") or {}))
    writer.add_token_list(tokens)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in raw["model"]["merges"]])


def _pre_name(node: Mapping[str, Any]) -> str:
    """llama.cpp's name of the pre-tokenizer, which cuts text into words."""
    steps = list(node.get("pretokenizers") or [node])
    name = name_of_cut(steps)
    if name is None:
        kinds = ", ".join(str(step.get("type")) for step in steps)
        raise ConfigError(
            f"llama.cpp does not know how this tokenizer cuts text ({kinds}); "
            "train one with the pattern gpt2 or llama3, or export the model to onnx"
        )
    return name


def _write_sentencepiece(writer: Any, raw: Mapping[str, Any], tokens: list[str]) -> None:
    """Scores by the order of merges: llama.cpp joins the pair with the best one first, as BPE does."""
    scores = dict.fromkeys(tokens, _NO_MERGE)
    for rank, merge in enumerate(raw["model"]["merges"]):
        first, second = merge.split(" ") if isinstance(merge, str) else merge
        scores.setdefault(first + second, _NO_MERGE)
        scores[first + second] = max(scores[first + second], -float(rank))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([scores[token] for token in tokens])
    writer.add_add_space_prefix(_prepends_space(raw))


def _prepends_space(raw: Mapping[str, Any]) -> bool:
    normalizer = raw.get("normalizer") or {}
    steps = normalizer.get("normalizers") or [normalizer]
    metaspace = (raw.get("pre_tokenizer") or {}).get("prepend_scheme", "never") != "never"
    return metaspace or any(step.get("type") == "Prepend" for step in steps)


def _write_wordpiece(
    writer: Any,
    tokenizer: Tokenizer,
    raw: Mapping[str, Any],
    tokens: list[str],
    kinds: list[int],
    config: ModelConfig,
) -> None:
    normalizer = raw.get("normalizer") or {}
    if normalizer.get("type") != "BertNormalizer" or not normalizer.get("lowercase"):
        # Older llama.cpp always lowercases, whatever the file sets, and would make other words.
        raise ConfigError("llama.cpp's WordPiece lowercases, and this tokenizer does not; export the model to onnx")
    mark = tokenizer.definition.continuation

    def phantom(token: str, of_kind: int) -> str:
        if of_kind in (TokenKind.CONTROL, TokenKind.UNUSED):
            return token
        return token.removeprefix(mark) if token.startswith(mark) else SPACE_MARK + token

    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_type_count(config.num_token_types)
    writer.add_token_list([phantom(token, of_kind) for token, of_kind in zip(tokens, kinds, strict=True)])


def _write_special(writer: Any, tokenizer: Tokenizer) -> None:
    wordpiece = tokenizer.definition.kind == "WordPiece"
    ids = {
        writer.add_bos_token_id: tokenizer.cls_id if wordpiece else tokenizer.bos_id,
        writer.add_eos_token_id: tokenizer.sep_id if wordpiece else tokenizer.eos_id,
        writer.add_unk_token_id: tokenizer.unk_id,
        writer.add_sep_token_id: tokenizer.sep_id,
        writer.add_pad_token_id: tokenizer.pad_id,
        writer.add_mask_token_id: tokenizer.mask_id,
    }
    for add, number in ids.items():
        if number is not None:
            add(number)
    framed, plain = tokenizer.encode("a", add_special_tokens=True), tokenizer.encode("a")
    writer.add_add_bos_token(framed[0] == tokenizer.cls_id != plain[0] if wordpiece else begins_texts(tokenizer))
    writer.add_add_eos_token(framed[-1] == (tokenizer.sep_id if wordpiece else tokenizer.eos_id) != plain[-1])


def _templates(tokenizer: Tokenizer, template: str) -> str | list[dict[str, str]]:
    """The chat template, or two templates where the model has one of its own for functions.

    llama.cpp puts a beginning of text in front of a conversation whose template writes none, as in front of any text.
    """
    try:
        wrong = wrong_beginning(tokenizer, conversation_ids(tokenizer, _TURN))
    except InputError:  # a template that needs more than one turn of the user
        wrong = ""
    if wrong:
        log.warning("conversations: %s; llama.cpp puts one there: begin the template with {{ bos_token }}", wrong)
    with_tools = tokenizer.template_for(())
    if with_tools == template:
        return _with_tokens(tokenizer, template)
    sources = {"default": template, "tool_use": with_tools}
    return [{"name": name, "template": _with_tokens(tokenizer, source)} for name, source in sources.items()]


def _with_tokens(tokenizer: Tokenizer, template: str) -> str:
    """Add to a template the special tokens that it names and llama.cpp does not know.

    llama.cpp gives a template two of them; without them in the file it takes token 11, or 1 and 2 (llama-vocab.cpp).
    """
    known = {"bos_token": tokenizer.bos_id, "eos_token": tokenizer.eos_id}
    tokens = tokenizer.special.as_variables()
    names = [f"{role}_token" for role in ROLES if f"{role}_token" in template]
    missing = {name: tokens.get(name, "") for name in names if known.get(name) is None}
    return "".join(f"{{%- set {name} = {json.dumps(token)} %}}" for name, token in missing.items()) + template
