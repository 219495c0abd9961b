"""The workspace: the one folder on disk where lavra keeps what it makes.

`./lavra-workspace` unless `--workspace` or `LAVRA_WORKSPACE` says otherwise.  Each kind of artifact has a folder;
each artifact is a folder in it with a card.  A writer holds the workspace's lock; readers need no lock,
because artifacts appear whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lavra.base.card import CARD_FILE
from lavra.base.disk import naming_full_disk
from lavra.base.errors import ConfigError, InputError, nearest
from lavra.base.lock import locked_file

DEFAULT_WORKSPACE = "lavra-workspace"
ENVIRONMENT_VARIABLE = "LAVRA_WORKSPACE"
FOLDERS = ("corpora", "tokenizers", "models", "indexes", "runs")


@dataclass(frozen=True)
class Workspace:
    """The paths inside a workspace; a folder is created only when `folder` or `lock` is called.

    Attributes:
        path: the workspace itself.
        waits: whether `lock` waits for another process that holds it.
    """

    path: Path
    waits: bool = False

    @classmethod
    def open(cls, path: Path | str | None = None, *, waits: bool = False) -> Workspace:
        """Open the workspace named here, else by `LAVRA_WORKSPACE`, else `./lavra-workspace`.

        Raises:
            InputError: the path exists and is not a folder.
        """
        chosen = Path(path or os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_WORKSPACE).expanduser()
        if chosen.exists() and not chosen.is_dir():
            raise InputError(f"{chosen} is a file, not a workspace folder; name another with `workspace`")
        return cls(chosen, waits)

    @property
    def corpora(self) -> Path:
        """Folder of cleaned texts, and of tokens made of them."""
        return self.path / "corpora"

    @property
    def tokenizers(self) -> Path:
        """Folder of trained tokenizers."""
        return self.path / "tokenizers"

    @property
    def models(self) -> Path:
        """Folder of models, each a Hugging Face folder."""
        return self.path / "models"

    @property
    def indexes(self) -> Path:
        """Folder of search indexes."""
        return self.path / "indexes"

    @property
    def runs(self) -> Path:
        """Folder of records of runs: logs, checkpoints of runs in progress, report sections."""
        return self.path / "runs"

    def folder(self, kind: str) -> Path:
        """A folder of the workspace, created where it is missing.

        Raises:
            ConfigError: a workspace has no folder of this kind.
        """
        if kind not in FOLDERS:
            raise ConfigError(f"{kind!r} is not a workspace folder{nearest(kind, FOLDERS)}")
        folder = self.path / kind
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def artifacts(self, kind: str) -> list[Path]:
        """Finished artifacts in one of the folders, the newest card first."""
        folder = self.path / kind
        found = [path.parent for path in folder.glob(f"[!.]*/{CARD_FILE}")] if folder.is_dir() else []
        return sorted(found, key=lambda path: (path / CARD_FILE).stat().st_mtime_ns, reverse=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the workspace for writing; the lock is released when the process ends, for any reason.

        Raises:
            InputError: another process holds the lock, and `waits` is False.
        """
        with naming_full_disk(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        with locked_file(
            self.path / ".lock", self.path, wait=self.waits, remedy="name another folder with `workspace`"
        ):
            yield
