"""lavra: language models of your own making.

    import lavra

    model = lavra.load("latest")  # a folder, a GGUF file, a name of the workspace, or owner/model of the hub
    print(model.generate("Once upon a time", max_tokens=64))

The public API is this module.  Its names are imported when they are first used (PEP 562), so that `import lavra` and
`lavra --help` stay instant; `help(lavra.finetune)` lists every setting.  Modules below may change without notice.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from lavra.base.version import VERSION

__version__ = VERSION

_HOMES = {  # the only list of public names; scripts/public_stub.py writes __init__.pyi from it
    "Answer": "lavra.base.retrieval",
    "AskConfig": "lavra.verbs.settings.ask",
    "BottleneckConfig": "lavra.adapt.methods.bottleneck",
    "CheckpointError": "lavra.base.errors",
    "Citation": "lavra.base.retrieval",
    "Classification": "lavra.base.predictions",
    "Completion": "lavra.base.types",
    "CompressConfig": "lavra.compression.config",
    "CompressedModel": "lavra.verbs.compress",
    "ConfigError": "lavra.base.errors",
    "ContextLengthError": "lavra.base.errors",
    "Delta": "lavra.base.types",
    "DistillResult": "lavra.runs.distill",
    "DistillRunConfig": "lavra.runs.distill_settings",
    "EvaluateConfig": "lavra.verbs.settings.evaluate",
    "EvaluationResult": "lavra.evaluation.results",
    "FilePredictions": "lavra.verbs.predict",
    "Fill": "lavra.api.gap_candidate",
    "FinetuneConfig": "lavra.tasks.learning.settings",
    "FinetuneResult": "lavra.runs.finetune",
    "FinishReason": "lavra.base.types",
    "IA3Config": "lavra.adapt.methods.ia3",
    "IndexReport": "lavra.rag.index.report",
    "IndexSettings": "lavra.verbs.settings.index",
    "InputError": "lavra.base.errors",
    "LavraError": "lavra.base.errors",
    "LoraConfig": "lavra.adapt.methods.lora",
    "MissingDependencyError": "lavra.base.errors",
    "Options": "lavra.api.options",
    "Passage": "lavra.base.retrieval",
    "PredictConfig": "lavra.verbs.settings.predict",
    "PrefixConfig": "lavra.adapt.methods.prefix",
    "Prompt": "lavra.prompts.prompt",
    "PromptConfig": "lavra.adapt.methods.prompt",
    "QualityCard": "lavra.compression.card",
    "QualityError": "lavra.compression.card",
    "Ranked": "lavra.base.predictions",
    "RunningServer": "lavra.verbs.serve",
    "Score": "lavra.base.types",
    "Scores": "lavra.tasks.scoring.scores",
    "ServeSettings": "lavra.verbs.settings.serve",
    "SpanAnswer": "lavra.base.predictions",
    "Tagging": "lavra.base.predictions",
    "TextMatch": "lavra.api.vector_methods",
    "TextModel": "lavra.api.model",
    "TrainingError": "lavra.base.errors",
    "UpConfig": "lavra.pipeline.settings",
    "UpResult": "lavra.pipeline.up",
    "UpdatedIndex": "lavra.verbs.index",
    "Usage": "lavra.base.types",
    "ask": "lavra.verbs.ask",
    "compress": "lavra.verbs.compress",
    "distill": "lavra.verbs.distill",
    "evaluate": "lavra.verbs.evaluate",
    "finetune": "lavra.verbs.finetune",
    "index": "lavra.verbs.index",
    "load": "lavra.api.load",
    "predict": "lavra.verbs.predict",
    "predict_file": "lavra.verbs.predict",
    "pretrain": "lavra.verbs.up",
    "serve": "lavra.verbs.serve",
    "up": "lavra.verbs.up",
}

__all__ = ["__version__", *_HOMES]

_MODEL_METHODS = (
    "answer",
    "chat",
    "classify",
    "embed",
    "fill_mask",
    "perplexity",
    "rerank",
    "score",
    "search",
    "similarity",
    "stream",
    "tag",
)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(_missing(name), name=name, obj=sys.modules[__name__])  # Python then suggests a near name
    found = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found  # the next time it is found at once
    return found


def _missing(name: str) -> str:
    """The message for an unknown name; a method of a model, such as `embed`, is shown with its model."""
    message = f"module 'lavra' has no attribute {name!r}"
    if name in _MODEL_METHODS:
        return f"{message}; a model has it: lavra.load(MODEL).{name}(...)"
    return f"{message}; dir(lavra) lists its names"


def __dir__() -> list[str]:
    return __all__
