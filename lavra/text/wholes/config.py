"""Settings of whole documents."""

from __future__ import annotations

from dataclasses import dataclass

from lavra.base.errors import ConfigError
from lavra.text.sources.reading import ReadConfig


@dataclass(frozen=True, kw_only=True)
class WholeConfig:
    """Settings of whole documents: how files become whole documents.

    Attributes:
        text_field: the field of jsonl, or the column of csv and parquet, that holds the text; the other fields become
            facts of the document.  A table without it gives whole rows, every field with its name on a line of its own.
        max_chars: a document longer than this is read in parts (`folder/log.txt#2`), so that memory stays bounded.
    """

    text_field: str = "text"
    max_chars: int = 16_000_000

    def __post_init__(self) -> None:
        if not 256 <= self.max_chars <= 16_000_000:
            raise ConfigError(f"max_chars is {self.max_chars}; it must be between 256 and 16,000,000")
        self.reading()

    def reading(self) -> ReadConfig:
        """The settings of the readers that give whole documents."""
        return ReadConfig(
            text_field=self.text_field, whole_rows=True, piece_chars=self.max_chars, max_chars=self.max_chars
        )
