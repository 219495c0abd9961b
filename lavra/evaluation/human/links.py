"""Annotators' links, in a file beside the study that only its owner may read.

The study itself keeps only hashes, so it can be passed on without revealing the links; this file stays behind.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lavra.base.errors import InputError


def links_path(study: Path) -> Path:
    """The path of the file with a study's tokens."""
    return study.with_name(study.name + ".links")


def write_links(study: Path, tokens: Mapping[str, str]) -> None:
    """Write the token of each annotator, by name."""
    path = links_path(study)
    part = path.with_name(f".tmp-{path.name}")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(dict(tokens), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_links(study: Path) -> dict[str, str]:
    """Read the token of each annotator, by name; empty if the file is gone.

    Raises:
        InputError: the file is not a file of tokens.
    """
    path = links_path(study)
    if not path.exists():
        return {}
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); `lavra rate links {study}` makes new links") from None
    if not isinstance(found, dict) or not all(isinstance(token, str) for token in found.values()):
        raise InputError(f"{path} is not a file of links; `lavra rate links {study}` makes new ones")
    return found
