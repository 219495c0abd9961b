"""A tokenizer's folder, read and written as Hugging Face's libraries do.

`tokenizer.json` holds the definition; `tokenizer_config.json` (and in older folders `special_tokens_map.json`) names
the roles of the special tokens; `chat_template.jinja` holds the template, which older folders keep in the config.
Where the config contradicts the definition, `overrides` decides; folders from before `tokenizer.json` are read
by `old_formats`.  A written folder opens in `transformers.AutoTokenizer` with equal ids.  Deliberately absent: anything
pickled.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers

from lavra.base.errors import CheckpointError
from lavra.base.files import write_json, write_text
from lavra.base.gguf_file import is_gguf, read_gguf
from lavra.tokens.gguf_tokenizer import read_gguf_tokenizer
from lavra.tokens.old_formats import read_old_format
from lavra.tokens.overrides import CONFIG_FILE, apply_config, frame_with
from lavra.tokens.parts import ROLES, Parts, SpecialTokens

logger = logging.getLogger(__name__)

DEFINITION_FILE = "tokenizer.json"
SPECIAL_FILE = "special_tokens_map.json"
ADDED_FILE = "added_tokens.json"
TEMPLATE_FILE = "chat_template.jinja"
TEMPLATE_FOLDER = "additional_chat_templates"

# Entries of the config that do not change ids and that a reader may rely on.  The others (add_bos_token, legacy,
# auto_map, …) either repeat tokenizer.json or make transformers rebuild it, so they are not written again.
_KEPT = ("padding_side", "truncation_side", "clean_up_tokenization_spaces", "model_input_names")

_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt")
_NO_LIMIT = 10**9  # transformers writes 1e30 for "no maximum length"

# Used only where a folder names no role at all (a bare tokenizer.json, GPT-2's own config): the first of these
# that the vocabulary holds as a special token.
_USUAL_NAMES = {
    "bos": ("<s>", "<|begin_of_text|>", "<|endoftext|>"),
    "eos": ("</s>", "<|end_of_text|>", "<|endoftext|>"),
    "unk": ("<unk>", "[UNK]"),
    "sep": ("[SEP]",),
    "pad": ("<pad>", "[PAD]"),
    "cls": ("[CLS]",),
    "mask": ("[MASK]", "<mask>"),
}


def read_folder(path: Path) -> Parts:
    """The parts of the tokenizer in a folder, in a GGUF file, or of a `tokenizer.json` read by itself.

    Raises:
        CheckpointError: nothing there, damaged, of an unknown older format, or a pickle.
    """
    if not path.exists():
        raise CheckpointError(f"{path} does not exist; name a folder that holds {DEFINITION_FILE}")
    if is_gguf(path):
        return read_gguf_tokenizer(read_gguf(path))
    if path.is_file():
        backend = _made(path, _read_model(path))
        return Parts(backend=backend, special=_usual_roles(backend))
    config, older = _read_object(path / CONFIG_FILE), _read_object(path / SPECIAL_FILE)
    backend = _backend(path, config)
    _add_declared_tokens(backend, config, older, _read_object(path / ADDED_FILE))
    defined = (path / DEFINITION_FILE).exists()
    special = _roles(backend, config, older, defined=defined)
    frame_with(backend, config, special, defined=defined)
    return Parts(
        backend=backend,
        special=special,
        chat_templates=_templates(path, config),
        max_length=_max_length(config.get("model_max_length")),
        settings={key: config[key] for key in _KEPT if key in config},
    )


def write_folder(folder: Path, parts: Parts) -> None:
    """Write the files of a tokenizer, each atomically; other files of the folder stay."""
    folder.mkdir(parents=True, exist_ok=True)
    variables = parts.special.as_variables()
    write_text(folder / DEFINITION_FILE, parts.backend.to_str(pretty=True))
    write_json(folder / SPECIAL_FILE, variables)
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",  # the class that takes tokenizer.json as it stands
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        **parts.settings,
        **variables,
    }
    if parts.max_length is not None:
        config["model_max_length"] = parts.max_length
    if "default" in parts.chat_templates:
        config["chat_template"] = parts.chat_templates["default"]  # for readers from before the .jinja file
    write_json(folder / CONFIG_FILE, config)
    _write_templates(folder, parts.chat_templates)


def _write_templates(folder: Path, templates: Mapping[str, str]) -> None:
    for name, source in templates.items():
        write_text(folder / (TEMPLATE_FILE if name == "default" else f"{TEMPLATE_FOLDER}/{name}.jinja"), source)


# ---- tokenizer.json -----------------------------------------------------------------------------------------


def _backend(folder: Path, config: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """The definition as the config changes it, or that of an older folder."""
    path = folder / DEFINITION_FILE
    if path.exists():
        raw = _read_model(path)
        return _made(path, raw, changed=apply_config(raw, config))
    old = read_old_format(folder, config)
    if old is None:
        raise CheckpointError(
            f"{folder} holds no {DEFINITION_FILE}, so it has no tokenizer; name the folder of a model"
        )
    return old


def _read_model(path: Path) -> dict[str, Any]:
    raw = _read_object(path)
    if not isinstance(raw.get("model"), dict) or "vocab" not in raw["model"]:
        raise CheckpointError(f"{path} has no model with a vocabulary: it is not a tokenizer; fetch the file again")
    return raw


def _made(path: Path, raw: Mapping[str, Any], *, changed: bool = False) -> tokenizers.Tokenizer:
    try:
        if changed:
            return tokenizers.Tokenizer.from_str(json.dumps(raw))
        return tokenizers.Tokenizer.from_file(str(path))
    except BaseException as error:  # the library raises Exception itself, and a panic of its own beyond that
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        raise CheckpointError(f"{path} is not a tokenizer this version reads: {error}; fetch the file again") from error


def _read_object(path: Path) -> dict[str, Any]:
    """A JSON object; an absent file is an empty one."""
    if not path.exists():
        return {}
    data = path.read_bytes()
    # protocol 2 and later begin with 0x80; torch's pickles are zip files
    if path.suffix in _PICKLES or data[:1] == b"\x80" or data[:2] == b"PK":
        raise CheckpointError(f"{path} looks like a pickle, which may run code when opened; give a {DEFINITION_FILE}")
    try:
        value = json.loads(data)
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise CheckpointError(f"{path} ({len(data)} bytes) is damaged: {error}; fetch the file again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds a JSON {type(value).__name__}, not an object; fetch the file again")
    return value


# ---- special tokens -----------------------------------------------------------------------------------------


def _add_declared_tokens(
    backend: tokenizers.Tokenizer, config: Mapping[str, Any], older: Mapping[str, Any], added: Mapping[str, Any]
) -> None:
    """Add the tokens that only the files beside the definition declare, in the order of their ids.

    As `transformers` does: `added_tokens.json` counts where the config declares none, and further special tokens
    without an id come last.
    """
    declared = {int(token_id): entry for token_id, entry in (config.get("added_tokens_decoder") or {}).items()}
    named = _named_tokens({**older, **config})
    if not declared:
        flags = {content: {"special": content in named, "normalized": content not in named} for content in added}
        declared = {int(token_id): {"content": content, **flags[content]} for content, token_id in added.items()}
    known = {token.content: _flags(token) for token in backend.get_added_tokens_decoder().values()}
    for token_id, entry in sorted(declared.items()):
        token = _added_token(entry)
        if known.get(token.content) != _flags(token):
            logger.info(
                "token %r is declared beside %s only, or otherwise; it is added", token.content, DEFINITION_FILE
            )
            backend.add_tokens([token])
            _check_id(backend, token.content, token_id)
    further = [content for content in named if backend.token_to_id(content) is None]
    backend.add_special_tokens([tokenizers.AddedToken(content, normalized=False) for content in further])


def _named_tokens(facts: Mapping[str, Any]) -> list[str]:
    """Special tokens by role and those without one, in the order in which `transformers` adds them."""
    roles = [_content(facts.get(f"{role}_token")) for role in ROLES]
    lists = [facts.get(name) or [] for name in ("additional_special_tokens", "extra_special_tokens")]
    rest = [_content(entry) for one in lists if isinstance(one, list) for entry in one]
    return list(dict.fromkeys(content for content in [*roles, *rest] if content))


def _added_token(entry: Mapping[str, Any]) -> tokenizers.AddedToken:
    flags = {key: bool(entry[key]) for key in ("lstrip", "rstrip", "single_word", "normalized") if key in entry}
    return tokenizers.AddedToken(entry["content"], special=bool(entry.get("special", False)), **flags)


def _flags(token: tokenizers.AddedToken) -> tuple[bool, ...]:
    return token.special, token.lstrip, token.rstrip, token.single_word, token.normalized


def _check_id(backend: tokenizers.Tokenizer, content: str, wanted: int) -> None:
    given = backend.token_to_id(content)
    if given != wanted:
        logger.warning(
            "token %r is declared as id %d but takes id %s; the folder is inconsistent", content, wanted, given
        )


def _roles(
    backend: tokenizers.Tokenizer, config: Mapping[str, Any], older: Mapping[str, Any], *, defined: bool
) -> SpecialTokens:
    """Roles as the config names them, else the older file; usual names only where neither names any.

    A folder without `tokenizer.json` leaves the usual ones to its class.
    """
    named = {f"{role}_token" for role in ROLES}
    if not named & (config.keys() | older.keys()):
        return _usual_roles(backend)
    usual = {} if defined else _usual_roles(backend).as_variables()
    merged = {**usual, **older, **config}
    return SpecialTokens(**{role: _content(merged.get(f"{role}_token")) for role in ROLES})


def _content(entry: Any) -> str | None:
    """A token given as text, or as the mapping `transformers` writes for an AddedToken."""
    if isinstance(entry, Mapping):
        entry = entry.get("content")
    return entry if isinstance(entry, str) else None


def _usual_roles(backend: tokenizers.Tokenizer) -> SpecialTokens:
    special = {token.content for token in backend.get_added_tokens_decoder().values() if token.special}
    found = {role: next((name for name in names if name in special), None) for role, names in _USUAL_NAMES.items()}
    return SpecialTokens(**found)


def _max_length(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and 0 < value < _NO_LIMIT else None


# ---- chat templates -----------------------------------------------------------------------------------------


def _templates(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """Templates by name: those of the config, then those of the files, which win."""
    entry = config.get("chat_template")
    if isinstance(entry, list):  # several templates: [{"name": "default", "template": …}, …]
        found = {str(item["name"]): str(item["template"]) for item in entry}
    else:
        found = {"default": entry} if isinstance(entry, str) else {}
    for path in sorted((folder / TEMPLATE_FOLDER).glob("*.jinja")):
        found[path.stem] = path.read_text(encoding="utf-8")
    if (folder / TEMPLATE_FILE).exists():
        found["default"] = (folder / TEMPLATE_FILE).read_text(encoding="utf-8")
    return found
