"""The folder that a verb writes: a name in the workspace or a path, held for one process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lavra.base.card import CARD_FILE
from lavra.base.errors import ConfigError, InputError
from lavra.base.lock import locked
from lavra.base.workspace import Workspace


@contextmanager
def destination(
    workspace: Workspace,
    kind: str,
    *,
    name: str | None = None,
    out: str | Path | None = None,
    replace: bool = False,
    default_name: str,
    wait: bool = False,
) -> Iterator[Path]:
    """The folder to write an artifact to; no other process writes to it for the length of a block.

    Args:
        workspace: workspace that has the folder, unless `out` is given.
        kind: folder of the workspace: models, runs, ….
        name: name of the new folder in it.
        out: a path to write instead.
        replace: whether an existing artifact is replaced.
        default_name: name where neither `name` nor `out` is given.
        wait: wait for another process that writes there, instead of an error.

    Raises:
        ConfigError: both `name` and `out` are given.
        InputError: the folder holds files that lavra did not write, or an artifact and `replace` is False, or another
            process writes to it and `wait` is False.
    """
    if name is not None and out is not None:
        raise ConfigError(f"name is {name!r} and out is {str(out)!r}; give one of the two")
    inside = workspace.path / kind / safe_name(name or default_name)
    target = inside if out is None else Path(out).expanduser()
    with locked(target, wait=wait, remedy="name another place with `out`"):
        _refuse_others(target, replace)
        yield target


def _refuse_others(target: Path, replace: bool) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / CARD_FILE).exists():
        raise InputError(f"{target} exists and is not an artifact of lavra; name another place with `out`")
    if not replace:
        raise InputError(f"{target} exists; choose another `name`, or set `replace`")


def safe_name(name: str) -> str:
    """A name as one folder name: no separators, no hidden folders."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "unnamed"
