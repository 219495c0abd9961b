"""What `import lavra` offers, for editors and type checkers; scripts/public_stub.py writes this file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

from lavra.adapt.config import AdapterConfig
from lavra.adapt.methods.bottleneck import BottleneckConfig
from lavra.adapt.methods.ia3 import IA3Config
from lavra.adapt.methods.lora import LoraConfig
from lavra.adapt.methods.prefix import PrefixConfig
from lavra.adapt.methods.prompt import PromptConfig
from lavra.api.gap_candidate import Fill
from lavra.api.load import load
from lavra.api.model import TextModel
from lavra.api.options import Options
from lavra.api.vector_methods import TextMatch
from lavra.base.errors import CheckpointError, ConfigError, ContextLengthError, InputError, LavraError, MissingDependencyError, TrainingError
from lavra.base.ports import Progress
from lavra.base.predictions import Classification, Ranked, SpanAnswer, Tagging
from lavra.base.retrieval import Answer, AnswerMode, Citation, Passage, Unsupported
from lavra.base.tasks import Problem
from lavra.base.types import Completion, Delta, FinishReason, Score, Usage
from lavra.compression.card import QualityCard, QualityError
from lavra.compression.config import CompressConfig
from lavra.evaluation.results import EvaluationResult
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.up import UpResult
from lavra.prompts.prompt import Prompt
from lavra.quantize.scheme import PackedLayout
from lavra.rag.index.report import IndexReport
from lavra.rag.stores.config import StoreConfig
from lavra.runs.distill import DistillResult
from lavra.runs.distill_settings import DistillRunConfig
from lavra.runs.finetune import FinetuneResult
from lavra.tasks.learning.settings import EmbedSettings, FinetuneConfig
from lavra.tasks.scoring.scores import Scores
from lavra.tasks.spec import TaskSpec
from lavra.text.chunking.config import ChunkConfig
from lavra.text.wholes.config import WholeConfig
from lavra.train.config import Parallel
from lavra.verbs.compress import CompressedModel
from lavra.verbs.index import UpdatedIndex
from lavra.verbs.predict import FilePredictions
from lavra.verbs.serve import RunningServer
from lavra.verbs.settings.ask import AskConfig
from lavra.verbs.settings.evaluate import EvaluateConfig
from lavra.verbs.settings.index import IndexSettings
from lavra.verbs.settings.predict import PredictConfig
from lavra.verbs.settings.serve import ServeSettings

__version__: str

__all__ = [
    "Answer",
    "AskConfig",
    "BottleneckConfig",
    "CheckpointError",
    "Citation",
    "Classification",
    "Completion",
    "CompressConfig",
    "CompressedModel",
    "ConfigError",
    "ContextLengthError",
    "Delta",
    "DistillResult",
    "DistillRunConfig",
    "EvaluateConfig",
    "EvaluationResult",
    "FilePredictions",
    "Fill",
    "FinetuneConfig",
    "FinetuneResult",
    "FinishReason",
    "IA3Config",
    "IndexReport",
    "IndexSettings",
    "InputError",
    "LavraError",
    "LoraConfig",
    "MissingDependencyError",
    "Options",
    "Passage",
    "PredictConfig",
    "PrefixConfig",
    "Prompt",
    "PromptConfig",
    "QualityCard",
    "QualityError",
    "Ranked",
    "RunningServer",
    "Score",
    "Scores",
    "ServeSettings",
    "SpanAnswer",
    "Tagging",
    "TextMatch",
    "TextModel",
    "TrainingError",
    "UpConfig",
    "UpResult",
    "UpdatedIndex",
    "Usage",
    "__version__",
    "ask",
    "compress",
    "distill",
    "evaluate",
    "finetune",
    "index",
    "load",
    "predict",
    "predict_file",
    "pretrain",
    "serve",
    "up",
]

@overload
def ask(
    question: str,
    index: str | Path | None = None,
    *,
    workspace: str | Path | None = None,
    progress: bool | Progress = True,
    settings: AskConfig | None = None,
    model: str | None = None,
    mode: AnswerMode | Literal["extractive", "generated"] | None = None,
    encoder: str | None = None,
    reader: str | None = None,
    entailment: str | None = None,
    multi_query: int = 0,
    hyde: bool = False,
    reranker: str | None = None,
    reranker_key: str = "",
    where: list[str] | tuple[str, ...] = (),
    group: list[str] | tuple[str, ...] = (),
    k: int = 8,
    unsupported: Unsupported | Literal["mark", "remove"] = "mark",
    max_tokens: int = 256,
    temperature: float = 0.0,
    seed: int | None = None,
) -> Answer:
    """Answer a question from documents; each sentence names the passages it rests on."""

@overload
def ask(
    question: list[str],
    index: str | Path | None = None,
    *,
    workspace: str | Path | None = None,
    progress: bool | Progress = True,
    settings: AskConfig | None = None,
    model: str | None = None,
    mode: AnswerMode | Literal["extractive", "generated"] | None = None,
    encoder: str | None = None,
    reader: str | None = None,
    entailment: str | None = None,
    multi_query: int = 0,
    hyde: bool = False,
    reranker: str | None = None,
    reranker_key: str = "",
    where: list[str] | tuple[str, ...] = (),
    group: list[str] | tuple[str, ...] = (),
    k: int = 8,
    unsupported: Unsupported | Literal["mark", "remove"] = "mark",
    max_tokens: int = 256,
    temperature: float = 0.0,
    seed: int | None = None,
) -> list[Answer]:
    """Answer a question from documents; each sentence names the passages it rests on."""

def compress(
    model: str | Path,
    to: Literal["int8", "int8-dynamic", "int4", "fp16", "bf16", "gguf:f32", "gguf:f16", "gguf:q8_0", "gguf:q4_0", "onnx", "kv-int8", "kv-bf16"] | None = None,
    *,
    name: str | None = None,
    out: str | Path | None = None,
    replace: bool = False,
    workspace: str | Path | None = None,
    progress: bool | Progress = True,
    settings: CompressConfig | None = None,
    layout: PackedLayout | Literal["interchange", "native"] | None = None,
    text: str | Path | None = None,
    calibration: str | Path | None = None,
    heldout_tokens: int = 6144,
    calibration_tokens: int = 8192,
    tune_steps: int = 0,
    allow_miss: bool = False,
) -> CompressedModel:
    """Make a model smaller, measure the loss on held-out text, and refuse to save a model that loses too much."""

def distill(
    teacher: str | Path,
    data: str | Path | None = None,
    *,
    name: str | None = None,
    out: str | Path | None = None,
    replace: bool = False,
    workspace: str | Path | None = None,
    progress: bool | Progress = True,
    settings: DistillRunConfig | None = None,
    task: TaskSpec | str = ...,
    heldout: str | Path | None = None,
    heldout_fraction: float = 0.1,
    columns: list[str] | tuple[str, ...] = (),
    header: bool = True,
    problem: Problem | Literal["single_label_classification", "multi_label_classification", "regression"] | None = None,
    epochs: float = 3.0,
    steps: int | None = None,
    batch_size: int = 32,
    accumulation: int = 1,
    learning_rate: float | None = None,
    weight_decay: float = 0.01,
    warmup: float = 0.06,
    max_tokens: int | None = None,
    on_long: Literal["cut", "drop", "refuse"] = "cut",
    separator: str = "",
    precision: Literal["float32", "bf16"] = "float32",
    compile: Literal["auto", "on", "off"] = "off",
    save_every: int = 500,
    seed: int = 0,
    strict: bool = False,
    student: str | Path | None = None,
    layers: int | None = None,
    temperature: float = 2.0,
    share: float = 0.5,
    hidden: float = 0.0,
    hidden_distance: Literal["mse", "cosine"] = "mse",
    attention: float = 0.0,
    attention_compare: Literal["maps", "relations"] = "maps",
    cache: str | Path | None = None,
    cache_top_k: int = 64,
    baseline: int = 0,
    baseline_from: str | Path | None = None,
) -> DistillResult:
    """Train a smaller student on the predictions of a finetuned teacher, and measure both on held-out samples."""

def evaluate(
    model: str | Path | TextModel,
    tasks: str | Sequence[str] = (),
    *,
    workspace: str | Path | None = None,
    progress: bool | Progress = True,
    settings: EvaluateConfig | None = None,
    limit: float | None = None,
    items: Mapping[str, list[int] | tuple[int, ...]] = {},
    batch: int = 64,
    drop_shots: bool = False,
    seed: int = 1234,
    resamples: int = 1000,
    fresh: bool = False,
    include: list[str] | list[Path] | list[str | Path] | tuple[str | Path, ...] = (),
    data: str | Path | None = None,
    num_fewshot: int | None = None,
    apply_chat_template: bool = False,
    fewshot_as_multiturn: bool = False,
    system: str | None = None,
    samples: str | None = None,
    endpoint: Literal["completions", "chat"] = "completions",
    tokenizer: str | None = None,
    context: int | None = None,
    key_variable: str = "",
    key_file: str | Path | None = None,
    concurrency: int = 4,
    engine: bool = False,
    ledger: str | Path | None = None,
    contamination: bool = True,
    corpus: list[str] | list[Path] | list[str | Path] | tuple[str | Path, ...] = (),
    unsafe_exec: bool = False,
    dtype: str | None = None,
    device: str | None = None,
) -> EvaluationResult:
    """Score a model on benchmarks; each score has its number of items, standard error and interval."""

def finetune(
    model: str | Path,
    data: str | Path | None = None,
    *,
    name: str | None = None,
    out: str | Path | None = None,
    replace: bool = False,
    workspace: str | Path | None = None,
    progress: bool | Progress = True,
    settings: FinetuneConfig | None = None,
    task: TaskSpec | str = ...,
    heldout: str | Path | None = None,
    heldout_fraction: float = 0.1,
    columns: list[str] | tuple[str, ...] = (),
    header: bool = True,
    problem: Problem | Literal["single_label_classification", "multi_label_classification", "regression"] | None = None,
    epochs: float = 3.0,
    steps: int | None = None,
    batch_size: int = 32,
    accumulation: int = 1,
    learning_rate: float | None = None,
    weight_decay: float = 0.01,
    warmup: float = 0.06,
    max_tokens: int | None = None,
    on_long: Literal["cut", "drop", "refuse"] = "cut",
    separator: str = "",
    precision: Literal["float32", "bf16"] = "float32",
    compile: Literal["auto", "on", "off"] = "off",
    save_every: int = 500,
    seed: int = 0,
    strict: bool = False,
    method: AdapterConfig | Literal["full", "lora", "dora", "ia3", "houlsby", "pfeiffer", "prompt", "prefix"] | Mapping[str, Any] | None = None,
    embed: EmbedSettings | Mapping[str, Any] = EmbedSettings(),
    eval_every: int = 0,
    patience: int = 0,
    rank: int | None = 8,
    alpha: float | None = None,
    dropout: float | None = 0.0,
    targets: str | list[str] | tuple[str, ...] | None = None,
    rslora: bool | None = False,
    bottleneck: int | None = 64,
    virtual_tokens: int | None = 20,
    prompt_text: str | None = None,
) -> FinetuneResult:
    """Train a model for a task on labelled data, and measure it before and after on held-out samples."""

def index(
    *sources: str | Path,
    name: str | None = None,
    forget: Sequence[str | Path] = (),
    workspace: str | Path | None = None,
    progress: bool | Progress = True,
    settings: IndexSettings | None = None,
    encoder: str = "auto",
    encoder_key: str = "",
    languages: list[str] | tuple[str, ...] = (),
    access: list[str] | tuple[str, ...] = (),
    meta: list[str] | tuple[str, ...] = (),
    read: WholeConfig | Mapping[str, Any] = WholeConfig(),
    chunking: ChunkConfig | Mapping[str, Any] = ChunkConfig(),
    store: StoreConfig | Mapping[str, Any] = StoreConfig(),
) -> UpdatedIndex:
    """Make documents searchable, or bring their index up to date; unchanged files are not read again."""

@overload
def predict(
    model: str | Path | TextModel,
    texts: list[str] | list[tuple[str, ...]],
    *,
    settings: PredictConfig | None = None,
    task: TaskSpec | str | None = None,
    columns: list[str] | tuple[str, ...] = (),
    header: bool = True,
    pair: bool = False,
    truncate: bool = False,
    allow_none: bool = False,
    base: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
) -> list[Any]:
    """The prediction of a model with a task's head for a text, or for each text of a list."""

@overload
def predict(
    model: str | Path | TextModel,
    texts: str | tuple[str, ...],
    *,
    settings: PredictConfig | None = None,
    task: TaskSpec | str | None = None,
    columns: list[str] | tuple[str, ...] = (),
    header: bool = True,
    pair: bool = False,
    truncate: bool = False,
    allow_none: bool = False,
    base: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
) -> Any:
    """The prediction of a model with a task's head for a text, or for each text of a list."""

def predict_file(
    model: str | Path | TextModel,
    file: str | Path,
    *,
    progress: bool | Progress = True,
    settings: PredictConfig | None = None,
    task: TaskSpec | str | None = None,
    columns: list[str] | tuple[str, ...] = (),
    header: bool = True,
    truncate: bool = False,
    allow_none: bool = False,
    base: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
) -> FilePredictions:
    """The predictions of a model with a task's head for every sample of a file, scored where labels are known."""

def pretrain(
    text: str | Path | None = None,
    *,
    name: str | None = None,
    workspace: str | Path | None = None,
    progress: bool | Progress = True,
    allow_drift: bool = False,
    settings: UpConfig | None = None,
    text_field: str = "text",
    start: str | None = None,
    start_method: Literal["auto", "full", "lora"] = "auto",
    family: str = "llama",
    budget: float | str = 240.0,
    vocab_size: int | None = None,
    sequence_length: int | None = None,
    heldout_fraction: float = 0.05,
    split_seed: int = 0,
    seed: int = 0,
    fim_rate: float = 0.0,
    whole_words: bool = False,
    mask_share: float | None = None,
    hidden_size: int | None = None,
    num_layers: int | None = None,
    step_tokens: int | None = None,
    accumulation: int = 1,
    optimizer: Literal["muon", "adamw"] | None = None,
    learning_rate: float | None = None,
    activation_checkpointing: bool = False,
    compile: Literal["auto", "on", "off"] = "auto",
    parallel: Parallel | Literal["none", "ddp", "fsdp"] = "none",
    tensorboard: str | Path | None = None,
    num_samples: int = 4,
) -> UpResult:
    """Train a model of a chosen family from scratch: next token, masked token (BERT) or span corruption (T5)."""

@overload
def serve(
    *models: str | Path,
    block: Literal[True] = True,
    settings: ServeSettings | None = None,
    cache_tokens: int | None = None,
    cache_type: Literal["model", "bf16", "int8"] = "model",
    block_size: int = 16,
    max_running: int = 32,
    max_batch_tokens: int = 512,
    max_queue: int = 256,
    prefix_cache: bool = True,
    lookup_tokens: int = 0,
    lookup_ngram: int = 3,
    host: str = "127.0.0.1",
    port: int = 8000,
    api_keys: list[str] | tuple[str, ...] = (),
    strict: bool = False,
    max_body_bytes: int = 4000000,
    body_seconds: float = 60.0,
    max_header_bytes: int = 32768,
    max_headers: int = 128,
    header_seconds: float = 20.0,
    keep_alive_seconds: int = 30,
    response_cache: int = 256,
    stored_responses: int = 1000,
    stored_response_bytes: int = 64000000,
    tenant_responses: int = 250,
    tenant_response_bytes: int = 32000000,
    max_samples: int = 16,
    queue_seconds: float = 60.0,
    drain_seconds: float = 30.0,
    cors_origins: list[str] | tuple[str, ...] = (),
    traces: str | None = None,
    key_file: str | Path | None = None,
    index: list[str] | tuple[str, ...] = (),
    answer_model: str | None = None,
    adapter: list[str] | tuple[str, ...] = (),
    chat_template: str | None = None,
    draft: str | None = None,
    draft_tokens: int = 4,
    dtype: str | None = None,
    device: str | None = None,
    expand: bool = True,
) -> None:
    """Serve models and indexes over HTTP: OpenAI's protocol and others, a chat page, a search page."""

@overload
def serve(
    *models: str | Path,
    block: Literal[False],
    settings: ServeSettings | None = None,
    cache_tokens: int | None = None,
    cache_type: Literal["model", "bf16", "int8"] = "model",
    block_size: int = 16,
    max_running: int = 32,
    max_batch_tokens: int = 512,
    max_queue: int = 256,
    prefix_cache: bool = True,
    lookup_tokens: int = 0,
    lookup_ngram: int = 3,
    host: str = "127.0.0.1",
    port: int = 8000,
    api_keys: list[str] | tuple[str, ...] = (),
    strict: bool = False,
    max_body_bytes: int = 4000000,
    body_seconds: float = 60.0,
    max_header_bytes: int = 32768,
    max_headers: int = 128,
    header_seconds: float = 20.0,
    keep_alive_seconds: int = 30,
    response_cache: int = 256,
    stored_responses: int = 1000,
    stored_response_bytes: int = 64000000,
    tenant_responses: int = 250,
    tenant_response_bytes: int = 32000000,
    max_samples: int = 16,
    queue_seconds: float = 60.0,
    drain_seconds: float = 30.0,
    cors_origins: list[str] | tuple[str, ...] = (),
    traces: str | None = None,
    key_file: str | Path | None = None,
    index: list[str] | tuple[str, ...] = (),
    answer_model: str | None = None,
    adapter: list[str] | tuple[str, ...] = (),
    chat_template: str | None = None,
    draft: str | None = None,
    draft_tokens: int = 4,
    dtype: str | None = None,
    device: str | None = None,
    expand: bool = True,
) -> RunningServer:
    """Serve models and indexes over HTTP: OpenAI's protocol and others, a chat page, a search page."""

def up(
    text: str | Path | None = None,
    *,
    name: str | None = None,
    workspace: str | Path | None = None,
    progress: bool | Progress = True,
    allow_drift: bool = False,
    settings: UpConfig | None = None,
    text_field: str = "text",
    start: str | None = None,
    start_method: Literal["auto", "full", "lora"] = "auto",
    family: str = "llama",
    budget: float | str = 240.0,
    vocab_size: int | None = None,
    sequence_length: int | None = None,
    heldout_fraction: float = 0.05,
    split_seed: int = 0,
    seed: int = 0,
    fim_rate: float = 0.0,
    whole_words: bool = False,
    mask_share: float | None = None,
    hidden_size: int | None = None,
    num_layers: int | None = None,
    step_tokens: int | None = None,
    accumulation: int = 1,
    optimizer: Literal["muon", "adamw"] | None = None,
    learning_rate: float | None = None,
    activation_checkpointing: bool = False,
    compile: Literal["auto", "on", "off"] = "auto",
    parallel: Parallel | Literal["none", "ddp", "fsdp"] = "none",
    tensorboard: str | Path | None = None,
    num_samples: int = 4,
) -> UpResult:
    """Train a model on text, from reading to a report: corpus, tokenizer, model, scores, adapter, index."""
