"""Ask one model, opened here or at a URL, the items of benchmarks, with its ledger and its training corpora.

`lavra.evaluate` and `lavra evaluate` both call `evaluate_model`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Final

from lavra.api.find import find_folder
from lavra.api.held_port import HeldPort, held_port
from lavra.api.identity import model_hash
from lavra.api.load import load
from lavra.api.model import TextModel
from lavra.api.serving import start_engine
from lavra.base.errors import ConfigError, InputError
from lavra.base.files import hash_json
from lavra.base.ports import LanguageModel, Progress
from lavra.base.types import ScoreRequest
from lavra.base.workspace import Workspace
from lavra.evaluation.asking import PromptTokens
from lavra.evaluation.items import ItemScore
from lavra.evaluation.ledger import Ledger
from lavra.evaluation.results import EvaluationResult
from lavra.evaluation.run import EvaluationSettings, ModelIdentity, evaluate
from lavra.evaluation.task_files.opening import OpenedTasks, open_tasks, without_missing
from lavra.evaluation.task_files.prompting import ChatSettings
from lavra.generate.target import splitter
from lavra.model.config import Kind
from lavra.remote.model import RemoteModel
from lavra.tokens.conversation import rendered_ids
from lavra.tokens.tokenizer import Tokenizer
from lavra.verbs.activity import activity
from lavra.verbs.code_sandbox import sandbox_for
from lavra.verbs.contamination import KnownCorpora, known_corpora
from lavra.verbs.settings.evaluate import EvaluateConfig

LEDGER_FILE: Final = "evaluations.db"
"""Name of the ledger in the folder `runs` of the workspace."""


@dataclass(frozen=True, kw_only=True)
class EvaluatedModel:
    """A model that is open for evaluation.

    Attributes:
        port: the model to ask.
        identity: name and version of the model in the result and the ledger.
        tokens: its tokenizer, if it is on this machine.
        chat: the chat format of its prompts.
        folder: folder of the model, or None for a model at a URL.
    """

    port: LanguageModel
    identity: ModelIdentity
    tokens: PromptTokens | None
    chat: ChatSettings
    folder: Path | None = None


def data_folder(settings: EvaluateConfig) -> Path | None:
    """The folder that paths of tasks' data files are relative to; None for the current folder.

    Raises:
        InputError: the path is not a folder.
    """
    named = os.environ.get("LAVRA_DATA")
    data = settings.data or (Path(named) if named else None)
    if data is not None and not data.is_dir():
        raise InputError(f"{data} is not a folder; name the one that holds the data files of tasks with `data`")
    return data


def open_chosen_tasks(settings: EvaluateConfig) -> OpenedTasks:
    """The tasks that the settings name.

    Raises:
        InputError: a task is unknown, or its data is not there.
    """
    names = settings.task_names()
    opened = open_tasks(names, folders=settings.include, data=data_folder(settings), num_fewshot=settings.num_fewshot)
    return without_missing(opened, names)


def evaluate_model(
    model: str | TextModel,
    opened: OpenedTasks,
    settings: EvaluateConfig,
    workspace: Workspace,
    progress: Progress,
) -> tuple[EvaluationResult, dict[str, list[ItemScore]]]:
    """Ask a model the items of tasks.

    Args:
        model: name or path of the model, its URL, or the model itself.
        opened: the tasks.
        settings: the choice of items, and the way of asking them.
        workspace: workspace that has the ledger and the indexes of corpora.
        progress: called with the progress.

    Returns:
        The result, and the scores of each task's items.

    Raises:
        InputError: the model does not exist, or does not generate text.
    """
    scores: dict[str, list[ItemScore]] = {task.name: [] for task in opened.tasks}

    def keep(score: ItemScore) -> None:
        scores[score.item.task].append(score)

    with (
        open_evaluated(model, settings, workspace) as found,
        Ledger(ledger_file(settings, workspace), wait=workspace.waits) as ledger,
    ):
        corpora = _corpora(found, settings, workspace)
        result = evaluate(
            found.port,
            opened.tasks,
            _run_settings(settings),
            identity=found.identity,
            groups=opened.groups,
            ledger=ledger,
            tokens=found.tokens,
            chat=found.chat,
            progress=progress,
            sink=keep,
            contamination=corpora.check,
            sandbox=sandbox_for(opened.tasks, unsafe=settings.unsafe_exec),
            record=_record(settings),
        )
    return replace(result, warnings=(*opened.warnings, *result.warnings, *corpora.notes)), scores


def _corpora(model: EvaluatedModel, settings: EvaluateConfig, workspace: Workspace) -> KnownCorpora:
    """The corpora that items are looked up in."""
    if not settings.contamination:
        return KnownCorpora(check=None, notes=("contamination was not looked for: `contamination` is False",))
    return known_corpora(model.folder, settings.corpus, workspace)


def _run_settings(settings: EvaluateConfig) -> EvaluationSettings:
    own = {one.name: getattr(settings, one.name) for one in fields(EvaluationSettings)}
    return EvaluationSettings(**own | {"items": settings.item_numbers() or settings.items})


def _record(settings: EvaluateConfig) -> dict[str, object]:
    """The settings that decided the scores, for the result."""
    return {
        "limit": settings.limit,
        "samples": {name: list(numbers) for name, numbers in settings.item_numbers().items()},
        "num_fewshot": settings.num_fewshot,
        "apply_chat_template": settings.apply_chat_template,
        "fewshot_as_multiturn": settings.fewshot_as_multiturn,
        "system_instruction": settings.system,
        "drop_shots": settings.drop_shots,
        "seed": settings.seed,
        "bootstrap_iters": settings.resamples,
    }


@contextmanager
def open_evaluated(
    model: str | TextModel, settings: EvaluateConfig, workspace: Workspace | None = None
) -> Iterator[EvaluatedModel]:
    """A model that stays open for the length of a block.

    Args:
        model: name or path of the model, its URL, or the model itself, which stays open afterwards.
        settings: the ways of opening the model and of wording its prompts.
        workspace: workspace that has names for models; the usual one unless given.

    Raises:
        InputError: the model does not exist, or does not generate text.
    """
    if isinstance(model, TextModel):
        yield from _local_model(model, str(model.folder or "model"), settings)
    elif model.startswith(("http://", "https://")):
        yield from _remote_model(model, settings)
    else:
        activity.begin(f"opening {model}")
        opened = load(model, dtype=settings.dtype, device=settings.device, workspace=workspace)
        yield from _local_model(opened, model, settings)


def _local_model(model: TextModel, name: str, settings: EvaluateConfig) -> Iterator[EvaluatedModel]:
    if not isinstance(model.port, HeldPort):
        raise InputError(f"{name} has a task's head and writes no text; `lavra predict` asks it")
    identity = ModelIdentity(name=name, hash=model_hash(model))
    tokens, chat = _tokens(model, settings), _chat(model.tokenizer, settings)
    if not settings.engine:
        yield EvaluatedModel(port=model.port, identity=identity, tokens=tokens, chat=chat, folder=model.folder)
        return
    with start_engine(model) as engine:
        yield EvaluatedModel(port=engine, identity=identity, tokens=tokens, chat=chat, folder=model.folder)


def _tokens(model: TextModel, settings: EvaluateConfig) -> PromptTokens | None:
    port = held_port(model)
    if port.config.kind is not Kind.DECODER:  # its prompt and its answer have a context each
        return None
    chat = settings.apply_chat_template
    encode = partial(rendered_ids, port.tokenizer) if chat else port.encoding.prompt_ids
    return PromptTokens(encode=encode, context=port.encoding.context, rendered=chat)


def _chat(tokenizer: Tokenizer | None, settings: EvaluateConfig) -> ChatSettings:
    if not settings.apply_chat_template:
        return ChatSettings(system_instruction=settings.system)
    if tokenizer is None:
        raise ConfigError(
            "the chat template is the tokenizer's, which a URL does not give; name its folder with `tokenizer`"
        )
    tokenizer.template_for(None)  # refuses a tokenizer without one
    return ChatSettings(
        render=tokenizer.apply_chat_template,
        system_instruction=settings.system,
        multiturn=settings.fewshot_as_multiturn,
    )


def _remote_model(url: str, settings: EvaluateConfig) -> Iterator[EvaluatedModel]:
    """A model at a URL; its answers are kept under the URL and the name, since nothing else is known of the model."""
    tokenizer = None if settings.tokenizer is None else Tokenizer.load(find_folder(settings.tokenizer))
    chat_endpoint = settings.endpoint == "chat"
    chat = ChatSettings() if chat_endpoint else _chat(tokenizer, settings)
    fingerprint = tokenizer.fingerprint if tokenizer else None
    known_by = hash_json([url, settings.model, settings.endpoint, fingerprint, settings.context])
    name = f"{settings.model or 'model'} at {url}"
    tokens = None if tokenizer is None or chat_endpoint else _remote_tokens(tokenizer, settings)
    with RemoteModel(settings.remote(url), split=None if tokenizer is None else splitter(tokenizer)) as remote:
        yield EvaluatedModel(port=remote, identity=ModelIdentity(name=name, hash=known_by), tokens=tokens, chat=chat)


def _remote_tokens(tokenizer: Tokenizer, settings: EvaluateConfig) -> PromptTokens:
    """The encoding of prompts for the model at a URL, by the named tokenizer."""
    split = splitter(tokenizer)
    chat = settings.apply_chat_template
    encode = (
        partial(rendered_ids, tokenizer) if chat else lambda text: sum(split(ScoreRequest(text="", given=text)), ())
    )
    return PromptTokens(encode=encode, context=settings.context, rendered=chat, split=split)


def ledger_file(settings: EvaluateConfig, workspace: Workspace) -> Path:
    """The file of the ledger."""
    return settings.ledger or workspace.folder("runs") / LEDGER_FILE
