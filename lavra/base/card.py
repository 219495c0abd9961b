"""The card every artifact carries: `lavra.json`, its identity and its lineage.

The identity is a hash of the artifact's origin (kind, parents, configuration, data, files).  Facts that vary
without changing the artifact (metrics, creation time, code version) stands beside it, not in the hash.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lavra.base.errors import InputError
from lavra.base.files import hash_file, hash_json, read_json, write_json
from lavra.base.version import VERSION

CARD_FILE = "lavra.json"


@dataclass(frozen=True, kw_only=True)
class Card:
    """Identity and lineage of one artifact folder.

    Attributes:
        kind: `corpus`, `tokenizer`, `tokens`, `model`, `run`, ...
        parents: ids of the artifacts this one was made from, by role.
        config: the settings that made it.
        files: sha256 (16 hex digits) of each file in the folder, by relative path.
        metrics: measured values of the artifact; outside the identity.
        created: ISO 8601, UTC; outside the identity.
        lavra_version: the code that wrote it; outside the identity.
    """

    kind: str
    parents: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""
    lavra_version: str = ""

    @property
    def id(self) -> str:
        """16 hex digits that name exactly this artifact."""
        return hash_json(
            {"kind": self.kind, "parents": dict(self.parents), "config": dict(self.config), "files": dict(self.files)}
        )


def write_card(
    folder: Path,
    *,
    kind: str,
    parents: Mapping[str, str],
    config: Mapping[str, Any],
    metrics: Mapping[str, Any] | None = None,
    ignore: Sequence[str] = (),
) -> Card:
    """Hash the files of a finished folder and write its card into it."""
    files = {
        path.relative_to(folder).as_posix(): hash_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != CARD_FILE and path.name not in ignore
    }
    card = Card(
        kind=kind,
        parents=parents,
        config=config,
        files=files,
        metrics=metrics or {},
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        lavra_version=VERSION,
    )
    write_json(folder / CARD_FILE, {"id": card.id, **asdict(card)})
    return card


def add_metrics(folder: Path, metrics: Mapping[str, Any]) -> Card:
    """Add later measurements to a folder's card, in place of metrics of the same names; the card's id stays the same.

    Raises:
        InputError: the folder has no card, or the card's id does not match its content.
    """
    known = read_card(folder)
    card = replace(known, metrics={**known.metrics, **metrics})
    write_json(folder / CARD_FILE, {"id": card.id, **asdict(card)})
    return card


def artifact_id(path: Path) -> str | None:
    """The id that names an artifact as a parent: the id of a folder's card, or 16 hex digits of a file's bytes.

    None for a folder without a card.
    """
    if path.is_file():
        return hash_file(path)
    return read_card(path).id if (path / CARD_FILE).exists() else None


def read_card(folder: Path) -> Card:
    """Read a folder's card.

    Raises:
        InputError: the folder has no card, or the card's id does not match its content.
    """
    path = folder / CARD_FILE
    if not path.exists():
        raise InputError(f"{folder} has no {CARD_FILE}: it is not an artifact lavra wrote; name a folder that has one")
    raw = read_json(path)
    claimed = raw.pop("id", None)
    card = Card(**raw)
    if claimed != card.id:
        raise InputError(
            f"{path} says id {claimed}, but its content hashes to {card.id}: it was edited; make the artifact again"
        )
    return card
