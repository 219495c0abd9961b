"""Models by name: the table of a workspace's models that every verb asks.

A model is called by its folder's name in `models/`, by a name that `models/names.json` gives it, or `latest`.  Stages
of `lavra up` have folders named by a hash, so that they are found again; the file gives them readable names.
Old workspaces without the file keep working.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from lavra.base.card import CARD_FILE, Card, read_card
from lavra.base.errors import InputError, LavraError
from lavra.base.files import read_json, write_json
from lavra.base.gguf_file import SUFFIX
from lavra.base.workspace import Workspace

LATEST: Final = "latest"
NAMES_FILE: Final = "names.json"
_CONFIG, _ADAPTER, _ONNX = "config.json", "adapter_config.json", "*.onnx"
# Stages of `up` that make a second artifact from its model, after it.
_BESIDE: Final = ("encoder", "compress")
_NAME: Final = re.compile(r"[A-Za-z0-9_][\w.+-]*")


@dataclass(frozen=True, kw_only=True)
class NamedModel:
    """A model of a workspace.

    Attributes:
        name: name of the model.
        folder: folder of the model.
    """

    name: str
    folder: Path

    @cached_property
    def card(self) -> Card | None:
        """The model's card; None where the card is missing or was edited."""
        try:
            return read_card(self.folder)
        except (LavraError, ValueError, TypeError):
            return None

    @property
    def kind(self) -> str:
        """The kind: `model`, `adapter`, `gguf` or `onnx`."""
        return kind_of(self.folder) or "model"

    @property
    def stands_beside(self) -> bool:
        """Whether `lavra up` made it beside its model: the sentence encoder or the smaller copy."""
        stage = {} if self.card is None else self.card.config.get("stage", {})
        return stage.get("name") in _BESIDE


def kind_of(folder: Path) -> str | None:
    """The kind of model in a folder or a file; None for anything else."""
    if folder.is_file():
        return "gguf" if folder.suffix.lower() == SUFFIX else None
    if (folder / _ADAPTER).exists() and not (folder / _CONFIG).exists():
        return "adapter"
    if any(folder.glob(_ONNX)) or any(folder.glob(f"onnx/{_ONNX}")):
        return "onnx"
    if (folder / _CONFIG).exists():
        return "model"
    return "gguf" if any(folder.glob(f"*{SUFFIX}")) else None


class ModelNames:
    """The models of one workspace, by name."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    @cached_property
    def given(self) -> Mapping[str, str]:
        """Given name -> name of a folder; names of missing folders are left out."""
        models = self.workspace.models
        return {name: folder for name, folder in self._in_file.items() if kind_of(models / folder) is not None}

    @cached_property
    def _in_file(self) -> Mapping[str, str]:
        path = self.workspace.models / NAMES_FILE
        if not path.exists():
            return {}
        try:
            found = read_json(path)
        except json.JSONDecodeError as error:
            raise InputError(f"{path} is damaged ({error}); mend it, or delete it: models keep their folders") from None
        return {str(name): str(folder) for name, folder in found.items()}

    @cached_property
    def models(self) -> list[NamedModel]:
        """All models, the newest first."""
        called = {folder: name for name, folder in reversed(list(self.given.items()))}
        return [
            NamedModel(name=called.get(folder.name, folder.name), folder=folder)
            for folder in self._folders()
            if kind_of(folder) is not None
        ]

    def _folders(self) -> list[Path]:
        """The folders of the workspace's models, with or without a card, the newest first."""
        models = self.workspace.models
        folders = [path for path in models.glob("[!.]*") if path.is_dir()] if models.is_dir() else []

        def made(folder: Path) -> int:
            card = folder / CARD_FILE
            return (card if card.exists() else folder).stat().st_mtime_ns

        return sorted(folders, key=made, reverse=True)

    def known(self) -> list[str]:
        """Every known name."""
        return [*self.given, *(one.folder.name for one in self.models), *([LATEST] if self.models else [])]

    def find(self, name: str, *, whole: bool = False) -> Path | None:
        """The folder of a name; None for an unknown name.

        Args:
            name: name of a folder, a given name, or `latest`.
            whole: `latest` is the newest model that stands by itself, and no adapter.
        """
        if name == LATEST:
            return self._latest(whole)
        folder = self.workspace.models / self.given.get(name, name)
        return folder if _NAME.fullmatch(name) and kind_of(folder) is not None else None

    def _latest(self, whole: bool) -> Path | None:
        kinds = ("model",) if whole else ("model", "adapter")
        return next((one.folder for one in self.models if one.kind in kinds and not one.stands_beside), None)

    def name_of(self, folder: Path) -> str:
        """The name of a model, of this workspace or of another place; a GGUF file's name has no ending."""
        own = folder.resolve()
        found = next((one.name for one in self.models if one.folder.resolve() == own), None)
        return found or own.name.removesuffix(SUFFIX)

    def give(self, name: str, folder: Path) -> str | None:
        """Give a model of the workspace a name.

        Args:
            name: the name: letters, digits, and `. _ + -`.
            folder: folder of the model, in the workspace.

        Returns:
            Name of the folder that had the name until now; None for a new name.

        Raises:
            InputError: the name is not valid, or is the name of another model's folder.
        """
        check_name(name)
        other = self.workspace.models / name
        if other.exists() and other.resolve() != folder.resolve():
            raise InputError(f"{other} is another model's folder, so {name!r} is taken; choose another name")
        before = self.given.get(name)
        self._write({**self.given, name: folder.name})
        return None if before == folder.name else before

    def forget(self, folder: Path) -> None:
        """Remove every given name of a folder."""
        left = {name: known for name, known in self._in_file.items() if known != folder.name}
        if left != self._in_file:
            self._write(left)

    def _write(self, names: Mapping[str, str]) -> None:
        write_json(self.workspace.models / NAMES_FILE, dict(names))
        for remembered in ("_in_file", "given", "models"):
            self.__dict__.pop(remembered, None)


def check_name(name: str) -> None:
    """Refuse a text that cannot be a model's name.

    Raises:
        InputError: the name is not valid; the message gives the reason.
    """
    if name == LATEST:
        raise InputError(f"{LATEST!r} is the newest model's name at any time; choose another")
    if not _NAME.fullmatch(name) or name.lower().endswith(SUFFIX):
        raise InputError(
            f"{name!r} cannot be a model's name: it begins with a letter or a digit, has letters, digits and . _ + - "
            f"only, and does not end in {SUFFIX}; choose another"
        )
