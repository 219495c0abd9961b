"""The mapping from the names in a checkpoint's files to those of the family's table.

Files differ in more than content: folders saved without a head lack the prefix, old files have other endings, and of a
tensor that a model shares between two places a file holds both names or either (transformers keeps the embedding's,
`safetensors.torch.save_model` the other).  The result has every tensor once, under the table's name.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from lavra.base.errors import CheckpointError
from lavra.model.config import ModelConfig
from lavra.model.families.family import Family
from lavra.model.tensors import TensorFiles

if TYPE_CHECKING:  # only for mypy: code that reads arrays has no torch
    from torch import Tensor

log = logging.getLogger(__name__)

_SHOWN = 5  # names an error lists before it counts


@dataclass(frozen=True)
class Checkpoint:
    """A folder's tensors under the names the family's table uses.

    Attributes:
        files: the files of the tensors.
        names: name in the table -> name in the files.
    """

    files: TensorFiles
    names: Mapping[str, str]

    def read(self, name: str) -> Tensor:
        """A tensor by the table's name."""
        return self.files.read(self.names[name])

    def array(self, name: str) -> npt.NDArray[Any]:
        """A tensor by the table's name, as an array; for bfloat16 the bits, as uint16."""
        return self.files.array(self.names[name])

    def same(self, one: str, other: str) -> bool:
        """Whether two tensors have equal values."""
        return self.files.same(self.names[one], self.names[other])

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, from the header."""
        return self.files.shapes[self.names[name]]

    def dtype(self, name: str) -> str:
        """The type of a tensor, by its name in the header."""
        return self.files.dtypes[self.names[name]]


def named(source: Family, files: TensorFiles) -> Checkpoint:
    """Bring the files' names to the table's: prefix added where a folder lacks it, old endings renamed."""
    prefixed = any(name.startswith(source.prefix) for name in files.names)
    names: dict[str, str] = {}
    for found in sorted(files.names):
        name = found if prefixed or found.startswith(source.headless) else source.prefix + found
        for old, new in source.renames:
            name = name.removesuffix(old) + new if name.endswith(old) else name
        names[name] = found
    return Checkpoint(files, names)


def resolve_copies(source: Family, config: ModelConfig, checkpoint: Checkpoint) -> tuple[ModelConfig, Checkpoint]:
    """Rename every shared tensor to its name in the table, and untie a head whose matrix differs from the embedding.

    A file holds all names of a shared tensor, or any one of them: `safetensors.torch.save_model` keeps the last.
    """
    config, checkpoint = _resolve_head(source, config, checkpoint)
    wanted = {one.theirs for one in source.table(config)}
    for copy, original in source.copies.items():
        own = copy in wanted  # an untied head reads the copy
        checkpoint = _one_name(checkpoint, *((copy, original) if own else (original, copy)), may_differ=own)
    return config, Checkpoint(checkpoint.files, _drop_unused(source, checkpoint.names))


def _resolve_head(source: Family, config: ModelConfig, checkpoint: Checkpoint) -> tuple[ModelConfig, Checkpoint]:
    """Find out whether a tied head's matrix is the embedding's or its own, whatever `config.json` says."""
    head, embedding = source.tied
    if not config.tie_embeddings or head not in checkpoint.names:
        return config, checkpoint
    known = (embedding, *(copy for copy, original in source.copies.items() if original == embedding))
    stored = next((name for name in known if name in checkpoint.names), None)
    if stored is not None and not checkpoint.same(head, stored):
        log.warning(
            "config.json ties %s to %s, but the checkpoint has two different ones; they are not tied", head, stored
        )
        return replace(config, tie_embeddings=False), checkpoint
    return config, _one_name(checkpoint, stored or embedding, head)


def _one_name(checkpoint: Checkpoint, kept: str, other: str, *, may_differ: bool = False) -> Checkpoint:
    """Move a tensor that may have two names to the first of them.

    Raises CheckpointError where both are there and differ, unless they may.
    """
    names = dict(checkpoint.names)
    if other not in names:
        return checkpoint
    found = names.pop(other)
    if kept not in names:
        return Checkpoint(checkpoint.files, {**names, kept: found})
    if not checkpoint.same(kept, other):
        if not may_differ:
            raise CheckpointError(f"tensors {other} and {kept} should be equal and are not; save the model again")
        log.info("%s is left out: a head that is not tied reads %s, in transformers too", other, kept)
    return Checkpoint(checkpoint.files, names)


def _drop_unused(source: Family, names: Mapping[str, str]) -> dict[str, str]:
    kept = {name: found for name, found in names.items() if not _matches(name, source.ignored)}
    dropped = [name for name in kept if _matches(name, source.dropped)]
    if dropped:
        log.warning("weights lavra has no use for are dropped: %s", some(dropped))
    return {name: found for name, found in kept.items() if name not in dropped}


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


def some(names: Sequence[str]) -> str:
    """The first of many names, and the number of the others."""
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest
