"""Walk through a folder's files in sorted order, each file once.

Symbolic links are followed, and a file or folder reached a second time (a loop, a link to a neighbour) is counted and
left out.  The walk does not enter hidden folders, folders of machine output, or folders made by lavra itself: a corpus
must not feed on an earlier corpus because the workspace lies among the texts.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lavra.base.card import CARD_FILE
from lavra.base.workspace import DEFAULT_WORKSPACE
from lavra.text.tally import Tally

log = logging.getLogger(__name__)

MACHINE_FOLDERS = frozenset({"__pycache__", "node_modules"})


@dataclass(kw_only=True)
class Walk:
    """A pass over a folder.

    Attributes:
        root: the folder.
        name: name of the folder in reports.
        tally: counts of the files and folders that are left out.
        exclude: further names of folders that are not entered.
    """

    root: Path
    name: str
    tally: Tally
    exclude: frozenset[str] = frozenset()
    _seen: set[tuple[int, int]] = field(default_factory=set)

    def files(self) -> Iterator[tuple[Path, str]]:
        """Each file's path and its name in reports, `folder/sub/file.txt`."""
        return self._folder(self.root, self.name)

    def _folder(self, folder: Path, name: str) -> Iterator[tuple[Path, str]]:
        if not self._is_new(folder, name):
            return
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self.tally.skip_file(name, "unreadable folder", str(error.strerror))
            return
        for entry in entries:
            yield from self._entry(Path(entry.path), entry.name, f"{name}/{entry.name}")

    def _entry(self, path: Path, entry: str, name: str) -> Iterator[tuple[Path, str]]:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            self.tally.skip_file(name, "broken link" if path.is_symlink() else "unreadable", str(error.strerror))
            return
        if stat.S_ISDIR(mode):
            if entry.startswith(".") or entry in MACHINE_FOLDERS or entry in self.exclude:
                self.tally.skip_file(name, "excluded folder")
            elif _is_made_by_lavra(path):
                self.tally.skip_file(name, "made by lavra")
            else:
                if path.is_symlink() and not path.resolve().is_relative_to(self.root.resolve()):
                    log.warning(
                        "%s is a link out of the folder, to %s; the files there are read too", name, path.resolve()
                    )
                yield from self._folder(path, name)
        elif not stat.S_ISREG(mode):
            self.tally.skip_file(name, "not a regular file")
        elif self._is_new(path, name):
            yield path, name

    def _is_new(self, path: Path, name: str) -> bool:
        try:
            status = path.stat()
        except OSError as error:
            self.tally.skip_file(name, "unreadable", str(error.strerror))
            return False
        identity = (status.st_dev, status.st_ino)
        if identity in self._seen:
            self.tally.skip_file(name, "reached twice (a link)")
            return False
        self._seen.add(identity)
        return True


def _is_made_by_lavra(folder: Path) -> bool:
    """Whether a folder is an artifact or a workspace: by its usual name, or by its lock and its corpora."""
    is_workspace = (folder / ".lock").is_file() and (folder / "corpora").is_dir()
    return folder.name == DEFAULT_WORKSPACE or (folder / CARD_FILE).is_file() or is_workspace
