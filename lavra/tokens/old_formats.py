"""Tokenizers from before `tokenizer.json`: SentencePiece's file, `vocab.txt`, or `vocab.json` with `merges.txt`.

    tokenizer.model                 LLaMA's and Mistral's: SentencePiece, the beginning of text before a text
    spiece.model                    T5's: SentencePiece, the end of text behind it, sentinels behind the vocabulary
    vocab.txt                       BERT's: WordPiece
    vocab.json with merges.txt      GPT-2's and RoBERTa's: byte-level BPE

The other facts of the definition follow from the class that `tokenizer_config.json` names.  An unknown class
is refused: the same files mean other ids there (XLM-R's are moved by one).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from lavra.base.errors import CheckpointError
from lavra.base.files import read_json
from lavra.tokens.overrides import GENERAL_CLASSES, frame
from lavra.tokens.sentencepiece import piece_backend, read_pieces

_SENTINELS: Final = 100  # number in T5 where its config names none
# Qwen2's cut, as its tokenizer.json has it (https://huggingface.co/Qwen/Qwen2-0.5B).
_QWEN2_CUT: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_OTHERS: Final = ("sentencepiece.bpe.model", "tekken.json", "vocab.json")


def read_old_format(folder: Path, config: Mapping[str, Any]) -> tokenizers.Tokenizer | None:
    """The tokenizer of a folder without `tokenizer.json`; None where nothing in it is one.

    Args:
        folder: folder of a model.
        config: the folder's `tokenizer_config.json`, empty where there is none.

    Raises:
        CheckpointError: a file is damaged, or belongs to a class whose ids are others.
    """
    for names, classes, build in _READERS:
        if all((folder / name).exists() for name in names):
            kind = _class_of(folder, config)
            if kind is not None and kind not in classes:
                raise CheckpointError(
                    f"{folder} holds {' and '.join(names)} of a {kind}, which lavra does not read (of these files "
                    f"those of {', '.join(classes)}); {_way_out(folder)}"
                )
            return build(folder, {**config, "tokenizer_class": kind})
    found = [name for name in _OTHERS if (folder / name).exists()]
    if found:
        raise CheckpointError(f"{folder} holds {', '.join(found)} but no tokenizer.json, and {_way_out(folder)}")
    return None


def _class_of(folder: Path, config: Mapping[str, Any]) -> str | None:
    """The class that one of the configs names, without its `Fast`; that of the model's type, where it has one here."""
    path = folder / "config.json"
    model = read_json(path) if path.exists() else {}
    kind = str(config.get("tokenizer_class") or model.get("tokenizer_class") or "")
    if kind and kind not in GENERAL_CLASSES:
        return kind.removesuffix("Fast")
    usual = f"{str(model.get('model_type', '')).capitalize()}Tokenizer"
    return usual if any(usual in classes for _, classes, _ in _READERS) else None


def _way_out(folder: Path) -> str:
    return (
        "lavra cannot convert it; convert it once with transformers: "
        f"AutoTokenizer.from_pretrained('{folder}').save_pretrained('{folder}')"
    )


# ---- SentencePiece ------------------------------------------------------------------------------------------


def _tokenizer_model(folder: Path, config: Mapping[str, Any]) -> tokenizers.Tokenizer:
    path = folder / "tokenizer.model"
    model = read_pieces(path.read_bytes(), str(path))
    backend = piece_backend(model, first_only=config.get("legacy") is False)
    first = model.bos if config.get("add_bos_token", True) else None
    last = model.eos if config.get("add_eos_token") else None
    backend.post_processor = frame(backend, first, last)
    return backend


def _spiece_model(folder: Path, config: Mapping[str, Any]) -> tokenizers.Tokenizer:
    path = folder / "spiece.model"
    model = read_pieces(path.read_bytes(), str(path))
    count = int(config.get("extra_ids", _SENTINELS))
    backend = piece_backend(model, tuple(f"<extra_id_{number}>" for number in reversed(range(count))))
    backend.post_processor = frame(backend, None, model.eos)
    return backend


# ---- BERT's -------------------------------------------------------------------------------------------------


def _vocab_txt(folder: Path, config: Mapping[str, Any]) -> tokenizers.Tokenizer:
    words = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    vocab = {word.rstrip("\r"): index for index, word in enumerate(words[:-1] if words[-1] == "" else words)}
    roles = {role: _token(config, role, usual) for role, usual in _BERT_ROLES.items()}
    missing = [token for token in (roles["unk"], roles["cls"], roles["sep"]) if token not in vocab]
    if missing:
        raise CheckpointError(
            f"{folder / 'vocab.txt'} lacks {', '.join(missing)}, which every text needs; name them as unk_token, "
            "cls_token and sep_token in tokenizer_config.json"
        )
    backend = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token=roles["unk"]))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=bool(config.get("tokenize_chinese_chars", True)),
        strip_accents=config.get("strip_accents"),
        lowercase=bool(config.get("do_lower_case", True)),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    _make_special(backend, [token for token in roles.values() if token in vocab])
    cls, sep = roles["cls"], roles["sep"]
    backend.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, vocab[cls]), (sep, vocab[sep])],
    )
    return backend


_BERT_ROLES: Final = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


# ---- byte-level BPE -----------------------------------------------------------------------------------------


def _vocab_and_merges(folder: Path, config: Mapping[str, Any]) -> tokenizers.Tokenizer:
    vocab, merges = _vocab_json(folder / "vocab.json"), _merges_txt(folder / "merges.txt")
    try:
        model = models.BPE(vocab=vocab, merges=merges)
    except Exception as error:  # the library raises Exception itself
        raise CheckpointError(f"{folder}: vocab.json and merges.txt do not belong together: {error}") from error
    backend, prefix = tokenizers.Tokenizer(model), bool(config.get("add_prefix_space", False))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=prefix), decoders.ByteLevel()
    if config["tokenizer_class"] == "Qwen2Tokenizer":
        backend.normalizer = normalizers.NFC()
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(tokenizers.Regex(_QWEN2_CUT), behavior="isolated", invert=False),
                pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False),
            ]
        )
    is_encoders = "<mask>" in vocab
    names = ("<s>", "<pad>", "</s>", "<unk>") if is_encoders else ("<|endoftext|>",)
    _make_special(backend, [token for token in names if token in vocab])
    if is_encoders:  # its mask takes the space before it, as in the published tokenizer.json
        backend.add_special_tokens([tokenizers.AddedToken("<mask>", lstrip=True, normalized=False)])
        first, last = _token(config, "cls", "<s>"), _token(config, "sep", "</s>")
        backend.post_processor = processors.RobertaProcessing(
            (last, vocab[last]), (first, vocab[first]), trim_offsets=True, add_prefix_space=prefix
        )
    return backend


def _vocab_json(path: Path) -> dict[str, int]:
    try:
        vocab = json.loads(path.read_bytes())
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}; fetch the file again") from error
    if not isinstance(vocab, dict) or not all(type(one) is int for one in vocab.values()):
        raise CheckpointError(f"{path} gives no id to each token; fetch the file again")
    return vocab


def _merges_txt(path: Path) -> list[tuple[str, str]]:
    """Read a merge a line, two tokens with a space between them; the first line may hold the version."""
    merges = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        bare = line.rstrip("\r")
        if not bare or (number == 1 and bare.startswith("#version")):
            continue
        left, _, right = bare.partition(" ")
        if not right or " " in right:
            raise CheckpointError(f"{path}, line {number}: {line!r} is not a merge of two tokens; fetch the file again")
        merges.append((left, right))
    return merges


def _make_special(backend: tokenizers.Tokenizer, tokens: list[str]) -> None:
    backend.add_special_tokens([tokenizers.AddedToken(token, normalized=False, special=True) for token in tokens])


def _token(config: Mapping[str, Any], role: str, usual: str) -> str:
    entry = config.get(f"{role}_token")
    content = entry.get("content") if isinstance(entry, Mapping) else entry
    return content if isinstance(content, str) else usual


_Build = Callable[[Path, Mapping[str, Any]], tokenizers.Tokenizer]
_READERS: Final[tuple[tuple[tuple[str, ...], tuple[str, ...], _Build], ...]] = (
    (("tokenizer.model",), ("LlamaTokenizer",), _tokenizer_model),
    (("spiece.model",), ("T5Tokenizer",), _spiece_model),
    (("vocab.txt",), ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer"), _vocab_txt),
    (
        ("vocab.json", "merges.txt"),
        ("GPT2Tokenizer", "RobertaTokenizer", "BartTokenizer", "CodeGenTokenizer", "Qwen2Tokenizer"),
        _vocab_and_merges,
    ),
)
