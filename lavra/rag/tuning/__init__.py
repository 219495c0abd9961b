"""Tuning: which way of cutting and searching an index answers questions best, measured on its own documents."""

from lavra.rag.tuning.config import TuningConfig
from lavra.rag.tuning.corpus import TunedCorpus
from lavra.rag.tuning.kept import KeptChoice, keep_choice, read_choice
from lavra.rag.tuning.results import TuningResult, table_rows, to_data
from lavra.rag.tuning.run import tune

__all__ = [
    "KeptChoice",
    "TunedCorpus",
    "TuningConfig",
    "TuningResult",
    "keep_choice",
    "read_choice",
    "table_rows",
    "to_data",
    "tune",
]
