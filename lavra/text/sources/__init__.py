"""Readers: files of every kind in, documents out."""

from lavra.text.sources.reading import ReadConfig
from lavra.text.sources.source import FileSource, FolderSource, MemorySource, Source, as_source
from lavra.text.sources.stdlib import stdlib_source

__all__ = ["FileSource", "FolderSource", "MemorySource", "ReadConfig", "Source", "as_source", "stdlib_source"]
