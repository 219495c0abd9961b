"""Settings of `lavra evaluate` and `lavra.evaluate`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavra.base.errors import ConfigError
from lavra.evaluation.run import EvaluationSettings
from lavra.remote.config import Endpoint, RemoteConfig


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(EvaluationSettings):
    """Settings of asking benchmarks.

    Attributes:
        items: numbers of the items of a task, by its name, instead of a limit.
        tasks: names of tasks, groups and tags, patterns such as mmlu_*, and YAML files; separated by commas or blanks.
        include: folders with task files of your own.
        data: the folder that paths of tasks' data files are relative to (default: LAVRA_DATA, or the current folder).
        num_fewshot: examples in each prompt; each task's own number unless given.
        apply_chat_template: prompts are a user's messages to a chat model.
        fewshot_as_multiturn: with a chat template each example is a turn of its own.
        system: the system message, before the task's description.
        samples: numbers of the items that are asked, as JSON such as {"arc_easy": [0, 3]}, or a file of it.
        model: name of the model at a URL.
        endpoint: endpoint of a URL, completions or chat; chat writes and gives no log-probabilities.
        tokenizer: folder or GGUF file with the tokenizer of the model at a URL; texts are then split here, exactly.
        context: most tokens that the model at a URL reads; with a tokenizer longer texts are cut as for a model here.
        key_variable: environment variable that holds the key of a URL.
        key_file: file with the key of a URL as its only content.
        concurrency: requests to a URL at the same time.
        engine: ask through the engine that serves, instead of the model itself; the scores are the same.
        ledger: keep answers in this file (default: runs/evaluations.db of the workspace).
        contamination: look the items up in the text that the model was trained on, where that is known.
        corpus: folders of corpora that the model was trained on; those that its card names unless given.
        unsafe_exec: run the code that a model writes without a sandbox where no sandbox works, with limits alone.
        dtype: float32, bfloat16 or float16; float32 on a CPU and the checkpoint's own elsewhere unless given.
        device: cpu, cuda, cuda:1, ...; the best there is unless given.

    Example:
        >>> settings = lavra.EvaluateConfig(tasks=("capitals.yaml",), limit=2)
        >>> lavra.evaluate("tiny", settings=settings, progress=False).tasks[0].num_items
        2
    """

    tasks: tuple[str, ...] = ()
    include: tuple[Path, ...] = ()
    data: Path | None = None
    num_fewshot: int | None = None
    apply_chat_template: bool = False
    fewshot_as_multiturn: bool = False
    system: str | None = None
    samples: str | None = None
    model: str = ""
    endpoint: Endpoint = "completions"
    tokenizer: str | None = None
    context: int | None = None
    key_variable: str = ""
    key_file: Path | None = None
    concurrency: int = 4
    engine: bool = False
    ledger: Path | None = None
    contamination: bool = True
    corpus: tuple[Path, ...] = ()
    unsafe_exec: bool = False
    dtype: str | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_fewshot is not None and self.num_fewshot < 0:
            raise ConfigError(f"num_fewshot is {self.num_fewshot}; give 0 or more examples")
        if self.fewshot_as_multiturn and not self.apply_chat_template:
            raise ConfigError("fewshot_as_multiturn is given without apply_chat_template, which makes turns; give both")
        if self.context is not None and (self.context < 8 or self.tokenizer is None):
            raise ConfigError(f"context is {self.context}; give 8 tokens or more, and the tokenizer that counts them")
        if self.concurrency < 1:
            raise ConfigError(f"concurrency is {self.concurrency}; send at least 1 request at a time")
        if self.samples is not None and self.limit is not None:
            raise ConfigError("samples and limit both say which items are asked; give one of the two")

    def task_names(self) -> Sequence[str]:
        """The single names in `tasks`."""
        return [name for one in self.tasks for name in one.split(",") if name]

    def item_numbers(self) -> dict[str, tuple[int, ...]]:
        """The numbers in `samples`, by task.

        Raises:
            ConfigError: it is not a table of lists of numbers, or its file cannot be read.
        """
        if self.samples is None:
            return {}
        text = self.samples
        try:
            if not text.lstrip().startswith("{"):
                text = Path(text).read_text(encoding="utf-8")
            value: Any = json.loads(text)
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ConfigError(
                f"samples is {self.samples!r}, no JSON and no file of it ({error}); write " + _LIKE
            ) from None
        if not isinstance(value, Mapping) or not all(_are_numbers(numbers) for numbers in value.values()):
            raise ConfigError(f"samples is {value!r}; write " + _LIKE)
        return {str(name): tuple(numbers) for name, numbers in value.items()}

    def remote(self, url: str) -> RemoteConfig:
        """The settings of asking a URL.

        Args:
            url: the address.

        Raises:
            ConfigError: the address is not a URL, or a setting is out of range.
        """
        return RemoteConfig(
            url=url,
            model=self.model,
            endpoint=self.endpoint,
            system=(self.system or "") if self.endpoint == "chat" else "",
            key_variable=self.key_variable,
            key_file=self.key_file,
            concurrency=self.concurrency,
        )


_LIKE = '{"arc_easy": [0, 3]}'


def _are_numbers(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, int) and not isinstance(one, bool) for one in value)
