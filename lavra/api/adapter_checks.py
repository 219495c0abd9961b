"""Check that an adapter belongs to the served model: by cards, weights and tokenizers, without torch."""

from __future__ import annotations

import logging
from pathlib import Path

from lavra.api.adapter_folder import AdapterFolder
from lavra.base.card import CARD_FILE, artifact_id, read_card
from lavra.base.errors import CheckpointError, InputError
from lavra.base.files import hash_file
from lavra.tokens.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


def check_adapter(adapter: AdapterFolder, base: Path | None, tokenizer: Tokenizer) -> None:
    """Refuse an adapter that cannot be served over this model.

    Args:
        adapter: the adapter's folder.
        base: folder of the model; None for a model that was not opened from files.
        tokenizer: tokenizer of the model.

    Raises:
        InputError: the adapter was made with a task's head, or has another tokenizer.
        CheckpointError: the adapter was made for another model.
    """
    if adapter.head is not None:
        raise InputError(
            f"{adapter.folder} was made with a head for {adapter.head.get('task')!r} and writes no text; serve the "
            "folder as a model of its own"
        )
    if (adapter.folder / "tokenizer.json").exists():
        own = Tokenizer.load(adapter.folder)
        if own.fingerprint != tokenizer.fingerprint:
            raise InputError(f"{adapter.folder} has another tokenizer than its base, and all adapters share the base's")
        if own.eos_id is not None and own.eos_id != tokenizer.eos_id:
            raise InputError(
                f"{adapter.folder} ends a text with {own.token(own.eos_id)!r} and its base with something else, which "
                "all adapters share; serve the folder as a model of its own"
            )
    if base is not None:
        _check_base(adapter, base)


def _check_base(adapter: AdapterFolder, base: Path) -> None:
    """Refuse another model's adapter: by the cards, or by the weights of the named model, if it is on this machine."""
    made_for = read_card(adapter.folder).parents.get("model") if (adapter.folder / CARD_FILE).exists() else None
    own = artifact_id(base)
    if made_for is not None and made_for == own:
        return
    named = None if adapter.base is None else Path(adapter.base).expanduser()
    if named is not None and named.exists():
        if not _same_weights(named, base):
            raise CheckpointError(
                f"{adapter.folder} was made for {named}, whose weights are not those of {base}; serve it over {named}"
            )
    elif made_for is not None and own is not None:
        raise CheckpointError(
            f"{adapter.folder} was made for the model {made_for} ({adapter.base}), and {base} is {own} by its card; "
            "serve it over its own"
        )
    elif adapter.base is not None and not _is_called(base, adapter.base):
        logger.warning(
            "%s was made for %s, which is not here to be compared with %s; its tensors fit", adapter.folder, named, base
        )


def _same_weights(one: Path, other: Path) -> bool:
    if one.resolve() == other.resolve():
        return True
    return _weights(one) == _weights(other)


def _weights(folder: Path) -> dict[str, str]:
    files = [folder] if folder.is_file() else sorted(folder.glob("*.safetensors"))
    return {path.name: hash_file(path) for path in files}


def _is_called(folder: Path, name: str) -> bool:
    """Whether a folder, of a user's or of the hub's cache, has this name."""
    return folder.name == Path(name).name or f"models--{name.replace('/', '--')}" in folder.parts
