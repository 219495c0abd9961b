"""Access to documents: rules that name groups for files, and the groups that a document itself names.

    lavra index docs --access "docs/hr/*=hr,board" --access "docs/salaries.csv=board"

Rules stand on the command line or in a file `lavra-access.yaml` at the top of a folder that is indexed, whose patterns
are relative to that folder:

    "hr/*": [hr, board]
    "salaries.csv": [board]

Everyone may read a document without a rule.  A document may itself name groups (the column `access` of a table, the
front matter of a Markdown file): that narrows a rule and never widens it.  A rule that cannot be understood is refused:
a mistake in a rule must not open a document.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from lavra.base.errors import ConfigError, InputError
from lavra.base.retrieval import ACCESS, EVERYONE, MetaValue

ACCESS_FILE: Final = "lavra-access.yaml"
_GROUP: Final = re.compile(r"[\w.@+-]+")


@dataclass(frozen=True, kw_only=True)
class AccessRule:
    """A rule: the groups that may read the files of a pattern.

    Attributes:
        pattern: pattern of a file's name as indexed, with `*` and `?` as a shell has them; `*` fits `/` too.
        groups: the groups that may read the files.
    """

    pattern: str
    groups: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.pattern.strip():
            raise ConfigError("access has a rule without a pattern; write it as PATTERN=group,group")
        if not self.groups:
            raise ConfigError(f"access names no group for {self.pattern!r}; write {self.pattern}=group,group")
        for group in self.groups:
            _check_group(group, f"access for {self.pattern!r}")

    def fits(self, name: str) -> bool:
        """Whether the pattern fits a file's name."""
        return fnmatch.fnmatchcase(name, self.pattern)


class NoAccessError(InputError):
    """A document names its readers in a way that cannot be understood, or leaves no reader."""


def parse_access(written: str) -> AccessRule:
    """Read a rule of the command line, `PATTERN=group,group`.

    Raises:
        ConfigError: the text is not of that form.
    """
    pattern, equals, groups = written.rpartition("=")
    if not equals:
        raise ConfigError(f"access is {written!r}; write it as PATTERN=group,group, such as 'docs/hr/*=hr'")
    return AccessRule(pattern=pattern, groups=tuple(group.strip() for group in groups.split(",")))


def read_access_file(folder: Path, name: str) -> list[AccessRule]:
    """Read the rules of a folder's own file, with patterns made relative to the index; none where there is no file.

    Raises:
        InputError: the file is not a table of patterns and groups.
    """
    path = folder / ACCESS_FILE
    if not path.exists():
        return []
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is not YAML: {' '.join(str(error).split())}; correct it: access rules are not known without it"
        ) from None
    if not isinstance(table, Mapping):
        raise InputError(f'{path} is not a table; write lines such as: "hr/*": [hr, board]')
    return [_rule(path, name, pattern, groups) for pattern, groups in table.items()]


def _rule(path: Path, name: str, pattern: Any, groups: Any) -> AccessRule:
    given = [groups] if isinstance(groups, str) else groups
    if not isinstance(pattern, str) or not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise InputError(f'{path}: {pattern!r}: {groups!r} is not a pattern with a list of groups; write "hr/*": [hr]')
    try:
        return AccessRule(pattern=f"{name}/{pattern}", groups=tuple(given))
    except ConfigError as error:
        raise InputError(f"{path}: {error}") from None


def groups_of(file: str, meta: Mapping[str, MetaValue], rules: Sequence[AccessRule]) -> tuple[str, ...]:
    """The groups that may read a document, in the order of the alphabet.

    Args:
        file: name of the document's file, as indexed.
        meta: facts that the document states about itself.
        rules: access rules; the last that fits the file holds.

    Raises:
        NoAccessError: the document names no groups in its `access`, or no group that its rule also names.
    """
    ruled = next((rule.groups for rule in reversed(rules) if rule.fits(file)), (EVERYONE,))
    if meta.get(ACCESS, "") in ("", ()):  # an empty cell states nothing
        return tuple(sorted(set(ruled)))
    own = _own_groups(meta[ACCESS])
    both = set(ruled) & set(own)
    if EVERYONE in ruled:
        both |= set(own)
    if EVERYONE in own:
        both = set(ruled)
    if not both:
        raise NoAccessError(f"it says {', '.join(own)} and its rule {', '.join(ruled)}: nobody may read it")
    return tuple(sorted(both))


def _own_groups(value: MetaValue) -> tuple[str, ...]:
    groups = tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value
    if not isinstance(groups, tuple) or not groups:
        raise NoAccessError(f"its {ACCESS} is {value!r}, which names no groups")
    for group in groups:
        if group != EVERYONE and not _GROUP.fullmatch(group):
            raise NoAccessError(f"its {ACCESS} is {value!r}, and {group!r} is not a name of a group")
    return groups


def _check_group(group: str, where: str) -> None:
    if group != EVERYONE and not _GROUP.fullmatch(group):
        raise ConfigError(f"{where} names a group {group!r}; a name has letters, digits and . @ + - _ alone")
