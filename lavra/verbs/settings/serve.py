"""Settings of `lavra serve` and `lavra.serve`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lavra.api.cache_config import ServingCacheConfig
from lavra.engine.config import EngineConfig
from lavra.server.config import ServeConfig


@dataclass(frozen=True, kw_only=True)
class ServeSettings(ServeConfig, EngineConfig, ServingCacheConfig):
    """Settings of `lavra serve`: the server's, the engine's and the cache's.

    Attributes:
        key_file: file with one API key a line, followed by a space and the groups whose documents it reads in an index
            (`KEY group,group`; `*` for all); LAVRA_API_KEYS, separated by commas, is read too.
        index: indexes to serve beside the models, each under a model name of its own.
        answer_model: model that may write the indexes' answers, as for `lavra ask --model`; the first served model
            unless given, and `none` always quotes.
        adapter: adapters over the single served model, each under a model name of its own.
        chat_template: chat template of the single served model, instead of its own template: a Jinja file, or
            alpaca, chatml, gemma, lavra, llama-2, llama-3, mistral, phi-3, vicuna or zephyr.
        draft: folder of a smaller model with the same tokenizer, which guesses the next tokens.
        draft_tokens: tokens that the draft model guesses at once.
        dtype: float32, bfloat16 or float16; unless given the fastest type here: float32 on a CPU, the
            checkpoint's own elsewhere.
        expand: hold compressed and half-precision weights in the form that computes fastest; --no-expand keeps
            them as they are stored, smaller and slower.
        device: cpu, cuda, cuda:1, ...; the best there is unless given.

    Example:
        >>> settings = lavra.ServeSettings(port=0, cache_tokens=256)
        >>> with lavra.serve("tiny", block=False, settings=settings) as server:
        ...     print(server.url)
        http://127.0.0.1:...
    """

    key_file: Path | None = None
    index: tuple[str, ...] = ()
    answer_model: str | None = None
    adapter: tuple[str, ...] = ()
    chat_template: str | None = None
    draft: str | None = None
    draft_tokens: int = 4
    dtype: str | None = None
    device: str | None = None
    expand: bool = True

    def __post_init__(self) -> None:
        for part in (ServeConfig, EngineConfig, ServingCacheConfig):
            part.__post_init__(self)
