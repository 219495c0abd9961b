"""The facts in a model's card about the model that it was made from."""

from __future__ import annotations

from pathlib import Path

from lavra.base.card import artifact_id
from lavra.model.config import DEQUANTIZED_FROM
from lavra.model.config_files import read_config_file


def model_parents(source: Path | None) -> dict[str, str]:
    """`{"model": id}` of a folder with a card or of a GGUF file; empty for a folder without a card."""
    found = None if source is None else artifact_id(source)
    return {} if found is None else {"model": found}


def source_facts(source: Path) -> dict[str, str]:
    """`dequantized_from` of a model that was, or came from, a GGUF file in blocks; empty for others.

    A card repeats it, since figures on a copy of rounded weights show less of rounding than figures on an original.
    """
    found = read_config_file(source).get(DEQUANTIZED_FROM)
    return {} if found is None else {DEQUANTIZED_FROM: str(found)}
