"""Floor 1: text in: every reader, the cleaner, duplicates, the split, and the corpus they make.

Documents flow one way: a source reads them, the normaliser spells them one way, filters drop some and say why, the
duplicate index finds those that say the same, and the split puts each cluster on one side.  `build_corpus` runs it all.
"""

from lavra.text.config import CorpusConfig
from lavra.text.corpus import Corpus, SplitName, build_corpus
from lavra.text.dedup import DedupConfig, Remove
from lavra.text.files import FileAccount, FileTable
from lavra.text.filters import CODE_BOUNDS, Bounds, FilterConfig
from lavra.text.normalize import NormalizeConfig, UnicodeForm
from lavra.text.sources import FileSource, FolderSource, MemorySource, ReadConfig, Source, as_source, stdlib_source
from lavra.text.summary import split_sentence, summary_rows
from lavra.text.tally import Tally

__all__ = [
    "CODE_BOUNDS",
    "Bounds",
    "Corpus",
    "CorpusConfig",
    "DedupConfig",
    "FileAccount",
    "FileSource",
    "FileTable",
    "FilterConfig",
    "FolderSource",
    "MemorySource",
    "NormalizeConfig",
    "ReadConfig",
    "Remove",
    "Source",
    "SplitName",
    "Tally",
    "UnicodeForm",
    "as_source",
    "build_corpus",
    "split_sentence",
    "stdlib_source",
    "summary_rows",
]
