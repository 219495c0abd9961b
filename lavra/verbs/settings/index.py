"""Settings of `lavra index` and `lavra.index`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from lavra.base.convert import to_mapping
from lavra.base.errors import ConfigError
from lavra.rag.index.access import parse_access
from lavra.rag.index.config import IndexConfig
from lavra.rag.index.encoder import EncoderIdentity
from lavra.rag.stores.config import StoreConfig
from lavra.text.chunking.config import ChunkConfig
from lavra.text.wholes.config import WholeConfig

AUTO: Final = "auto"
NO_ENCODER: Final = "none"


@dataclass(frozen=True, kw_only=True)
class IndexSettings:
    """Settings of `lavra index`.

    Attributes:
        encoder: makes the vectors: a folder, a name in the workspace, or a hub id; `none` searches words alone, `auto`
            takes the index's own, or the usual one for a new index. Of an API: its URL, `#` and the model's name; a URL
            that ends in /v2 speaks Cohere's protocol, any other OpenAI's.
        encoder_key: environment variable with the key of that API.
        languages: languages whose words are stemmed, such as pt and en; those of the documents unless named.
        access: groups that may read files, each PATTERN=GROUP,GROUP; the last pattern that matches a file holds, and a
            file that matches none is everyone's.
        meta: facts about every document, each NAME=VALUE, which searches can filter by.
        read: settings of turning files into documents.
        chunking: settings of cutting documents into chunks.
        store: settings of the vector store.

    Example:
        >>> settings = lavra.IndexSettings(encoder="none", languages=("en",))
        >>> lavra.index("documents", name="english", settings=settings, progress=False).report.added
        2
    """

    encoder: str = AUTO
    encoder_key: str = ""
    languages: tuple[str, ...] = ()
    access: tuple[str, ...] = ()
    meta: tuple[str, ...] = ()
    read: WholeConfig = field(default_factory=WholeConfig)
    chunking: ChunkConfig = field(default_factory=ChunkConfig)
    store: StoreConfig = field(default_factory=StoreConfig)

    def __post_init__(self) -> None:
        if not self.encoder:
            raise ConfigError(f"encoder is empty; name one, or write {AUTO} or {NO_ENCODER}")
        self.config(None)

    def config(self, encoder: EncoderIdentity | None) -> IndexConfig:
        """The settings of the index, for an encoder that was opened."""
        return IndexConfig(
            read=self.read,
            chunking=self.chunking,
            encoder=encoder,
            store=self.store,
            languages=self.languages,
            access=tuple(map(parse_access, self.access)),
            meta=dict(map(_parse_fact, self.meta)),
        )


def _parse_fact(written: str) -> tuple[str, str]:
    name, equals, value = written.partition("=")
    if not equals or not value:
        raise ConfigError(f"meta is {written!r}; write it as NAME=VALUE, such as year=2026")
    return name, value


def settings_of(config: IndexConfig) -> dict[str, Any]:
    """The settings that an index was made with, as plain data of `IndexSettings`."""
    return to_mapping(
        IndexSettings(
            encoder=NO_ENCODER if config.encoder is None else config.encoder.name,
            encoder_key="" if config.encoder is None else config.encoder.key_variable,
            languages=config.languages,
            access=tuple(f"{rule.pattern}={','.join(rule.groups)}" for rule in config.access),
            meta=tuple(f"{name}={value}" for name, value in config.meta.items()),
            read=config.read,
            chunking=config.chunking,
            store=config.store,
        )
    )
