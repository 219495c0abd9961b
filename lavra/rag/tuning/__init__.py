"""Tuning: which way of cutting and searching an index answers questions best, measured on its own documents."""

from lavra.rag.tuning.config import TuneConfig
from lavra.rag.tuning.corpus import TunedCorpus
from lavra.rag.tuning.results import TuningResult, table_rows, to_data
from lavra.rag.tuning.run import tune

__all__ = ["TuneConfig", "TunedCorpus", "TuningResult", "table_rows", "to_data", "tune"]
