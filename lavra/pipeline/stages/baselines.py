"""The baselines stage: scores of gzip, bz2, xz and counting models on the same held-out text."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from lavra.base.errors import InputError
from lavra.base.files import read_json, write_json
from lavra.base.ports import Progress
from lavra.evaluation.baselines.heldout import Baseline, measure_baselines
from lavra.pipeline.results import Skipped
from lavra.pipeline.stage import Stage, StageContext
from lavra.pipeline.stages.prepare import open_tokens
from lavra.text.corpus import Corpus

BASELINES_FILE = "baselines.json"


def baselines_stage(progress: Progress) -> Stage[Skipped | None]:
    """Measure every compressor and the n-gram model once for a split."""

    def run(context: StageContext) -> Skipped | None:
        corpus = Corpus.open(context.parents["corpus"])
        tokens = context.parents["tokens"]
        progress("compress held-out text", 0, None, "gzip, bz2, xz, primed xz, 5-gram")
        try:
            found = measure_baselines(
                open_tokens(tokens, "train"),
                open_tokens(tokens, "heldout"),
                (document.text for document in corpus.documents("train")),
                (document.text for document in corpus.documents("heldout")),
            )
        except InputError as error:
            return Skipped(why=str(error))
        write_json(context.folder / BASELINES_FILE, [asdict(one) for one in found])
        return None

    return Stage(name="baselines", kind="baselines", folder="runs", version=1, run=run, needs=("corpus", "tokens"))


def load_baselines(folder: Path) -> list[Baseline]:
    """Read the baselines of the stage; an empty list where it was skipped."""
    path = folder / BASELINES_FILE
    return [Baseline(**one) for one in read_json(path)] if path.exists() else []
