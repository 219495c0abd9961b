"""`lavra.ask`: questions to an index of documents, answered with their sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any, overload

from lavra.base.errors import InputError
from lavra.base.ports import Progress
from lavra.base.retrieval import Answer, Question, Turn
from lavra.base.types import SamplingConfig
from lavra.base.workspace import Workspace
from lavra.rag.answering.answerer import check_question
from lavra.rag.conditions import read_condition
from lavra.verbs.answering import open_answerer
from lavra.verbs.keywords import read_keywords, takes
from lavra.verbs.meter import progress_shown
from lavra.verbs.settings.ask import AskConfig


@overload
def ask(
    question: str,
    index: str | Path | None = None,
    *,
    workspace: str | Path | None = None,
    progress: bool | Progress = True,
    settings: AskConfig | None = None,
    **fields: Any,
) -> Answer: ...


@overload
def ask(
    question: list[str],
    index: str | Path | None = None,
    *,
    workspace: str | Path | None = None,
    progress: bool | Progress = True,
    settings: AskConfig | None = None,
    **fields: Any,
) -> list[Answer]: ...


@takes(AskConfig, without=("question", "index"))
def ask(
    question: str | list[str],
    index: str | Path | None = None,
    *,
    workspace: str | Path | None = None,
    progress: bool | Progress = True,
    settings: AskConfig | None = None,
    **fields: Any,
) -> Answer | list[Answer]:
    """Answer a question from documents; each sentence names the passages it rests on.

    Where the documents have no answer, the answer says so (`abstained`).

    Args:
        question: your question; for a list, each is answered, and the index is opened once.
        index: name or folder of the index; the newest of the workspace unless given.
        workspace: folder that holds all results of lavra; `LAVRA_WORKSPACE` or `./lavra-workspace` unless given.
        progress: whether progress is shown, or a function that is called with it.
        settings: all settings at once; settings given by name win over it.
        **fields: settings by name.

    Returns:
        The answer, with `citations` that name document, page and line; a list where a list was given.

    Raises:
        InputError: the index or the model does not exist, or a question is empty.
        ConfigError: a setting is unknown or out of range.

    Example:
        >>> answer = lavra.ask("When was the bridge opened?", "handbook", model="none", progress=False)
        >>> "1931" in str(answer)
        True
        >>> answer.citations[0].document
        'documents/bridge.txt'
    """
    given = fields if index is None else {**fields, "index": str(index)}
    config = read_keywords(AskConfig, settings, given)
    questions = question if isinstance(question, list) else [question]
    for one in questions:
        check_question(one)
    asked = [make_question(config, one) for one in questions]
    with progress_shown(progress) as shown:
        opened = open_answerer(config, Workspace.open(workspace), progress=shown)
    with opened:
        answers = [opened.answerer.answer(one) for one in asked]
    return answers if isinstance(question, list) else answers[0]


def make_question(config: AskConfig, text: str, history: tuple[Turn, ...] = ()) -> Question:
    """A question with these settings.

    Args:
        config: the settings.
        text: the question.
        history: earlier turns of a conversation.

    Raises:
        InputError: a condition cannot be read, or a number is out of range.
    """
    for name in ("k", "max_tokens"):
        if getattr(config, name) < 1:
            raise InputError(f"{name} is {getattr(config, name)}; it must be at least 1")
    return Question(
        text=text,
        history=history,
        k=config.k,
        where=tuple(map(read_condition, config.where)),
        groups=frozenset(config.group) if config.group else None,
        mode=config.mode,
        unsupported=config.unsupported,
        max_tokens=config.max_tokens,
        sampling=SamplingConfig(temperature=config.temperature, seed=config.seed),
    )
