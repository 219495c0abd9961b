r"""Join a prompt from its parts (description, examples, question), as one text or as turns of a conversation.

The joints are lm-evaluation-harness' (`ConfigurableTask.fewshot_context`), character for character: the delimiter
between question and answer falls away where white space is there already only around `gen_prefix`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lavra.base.errors import InputError

Render = Callable[..., str]
"""`render(messages, add_generation_prompt=…)`: a model's chat template."""


@dataclass(frozen=True, kw_only=True)
class ChatSettings:
    """The settings of prompts for a model that was tuned on conversations.

    Attributes:
        render: the model's chat template, or `None` for plain text.
        system_instruction: text before the description.
        multiturn: whether each example is a turn of its own; otherwise all examples are one message.
    """

    render: Render | None = None
    system_instruction: str | None = None
    multiturn: bool = False


@dataclass(frozen=True, kw_only=True)
class PromptTurn:
    """A message of a prompt.

    Attributes:
        role: `system`, `user` or `assistant`.
        content: text of the message.
        delimiter: text that follows the message in plain text.
    """

    role: str
    content: str
    delimiter: str = ""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A question and, in an example, its answer.

    Attributes:
        question: text of the question.
        choices: the choices, if the answer may be the number of a choice.
        answer: the answer, `None` for the question that is asked.
        gen_prefix: beginning of the answer.
        target_delimiter: text between question and answer.
        fewshot_delimiter: text after the answer.
    """

    question: Any
    choices: Sequence[str] | None = None
    answer: Any = None
    gen_prefix: str | None = None
    target_delimiter: str = " "
    fewshot_delimiter: str = "\n\n"


def join(first: str | None, second: str | None, delimiter: str = " ") -> str:
    """Join two texts, with the delimiter unless a text is empty or white space meets at the joint."""
    if not first or not second:
        return first or second or ""
    return first + second if first[-1].isspace() or second[0].isspace() else first + delimiter + second


def turns(exchange: Exchange, where: str) -> list[PromptTurn]:
    """The messages of a question, and of its answer or the beginning of the answer.

    Raises:
        InputError: the question or the answer is not a text; `where` names task and row.
    """
    question, prefix = exchange.question, exchange.gen_prefix
    if not isinstance(question, str):
        raise InputError(f"{where}: doc_to_text gives {question!r}, which is not text")
    answered = exchange.answer is not None and exchange.answer != ""
    delimited = _meets(question, prefix) if prefix else answered
    asked = PromptTurn(role="user", content=question, delimiter=exchange.target_delimiter if delimited else "")
    if answered:
        content = join(prefix, _answer(exchange, where))
        return [asked, PromptTurn(role="assistant", content=content, delimiter=exchange.fewshot_delimiter)]
    return [asked, PromptTurn(role="assistant", content=prefix)] if prefix else [asked]


def _meets(question: str, prefix: str) -> bool:
    return question != "" and not (question[-1].isspace() or prefix[0].isspace())


def _answer(exchange: Exchange, where: str) -> str:
    answer = exchange.answer
    if exchange.choices and isinstance(answer, int):
        if not -len(exchange.choices) <= answer < len(exchange.choices):
            raise InputError(f"{where}: an example's answer is choice {answer} of {len(exchange.choices)}")
        answer = exchange.choices[answer]
    elif isinstance(answer, list):
        answer = answer[0]
    if not isinstance(answer, str):
        raise InputError(f"{where}: an example's answer is {exchange.answer!r}, which is not text")
    return answer


def rendered(messages: Sequence[PromptTurn], chat: ChatSettings, gen_prefix: str | None) -> str:
    """Render messages as a prompt: as plain text, or by the chat template."""
    if chat.render is None:
        return "".join(turn.content + turn.delimiter for turn in messages)
    given = messages if chat.multiturn else _in_one(messages)
    plain = [{"role": turn.role, "content": turn.content} for turn in given]
    return chat.render(plain, add_generation_prompt=not gen_prefix)


def _in_one(messages: Sequence[PromptTurn]) -> list[PromptTurn]:
    """Join all messages before the answer into one message of the user."""
    system, rest = (list(messages[:1]), list(messages[1:])) if messages[0].role == "system" else ([], list(messages))
    begun = [rest.pop()] if rest[-1].role == "assistant" else []
    rest[-1] = replace(rest[-1], delimiter="")
    content = "".join(turn.content + turn.delimiter for turn in rest)
    return [*system, PromptTurn(role="user", content=content), *begun]
