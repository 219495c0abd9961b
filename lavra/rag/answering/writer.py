"""Ask a model to write an answer: a prompt file, the passages as data, and their places in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from lavra.base.ports import LanguageModel
from lavra.prompts.prompt import Prompt
from lavra.prompts.prompt_file import read_prompt
from lavra.prompts.render import render
from lavra.rag.answering.packing import PackedPassage
from lavra.rag.answering.source_sentences import text_sentences
from lavra.rag.answering.untrusted import neutral_line, quoted_block, speaks_to_a_model
from lavra.text.function_words import english_or_portuguese

PROMPT_FILE: Final = Path(__file__).with_name("answer.yaml")
_FRAME: Final = 64  # tokens for the names of passages and the chat template's own marks, beyond those counted


@dataclass(frozen=True, kw_only=True)
class AnswerWriter:
    """A language model with the settings that requests to it need.

    Attributes:
        model: the language model.
        name: the model's name, for people.
        lay_out: turns a conversation into the model's prompt.
        count: counts the tokens of a text.
        context: most tokens that the model reads and writes, where that is known.
        special_tokens: texts of the model's special tokens, which no document may have in the prompt.
    """

    model: LanguageModel
    name: str
    lay_out: Callable[[Sequence[Mapping[str, str]]], str | tuple[int, ...]]
    count: Callable[[str], int]
    context: int | None = None
    special_tokens: tuple[str, ...] = ()

    def passage_cost(self, text: str) -> int:
        """The number of tokens of a passage in the prompt."""
        return self.count(quoted_block(text, self.special_tokens)) + _FRAME // 2

    def tokens_for_passages(self, question: str, most: int, max_tokens: int) -> int:
        """The number of tokens left for passages.

        Args:
            question: text of the user's question.
            most: upper limit of the passages' tokens.
            max_tokens: most tokens of the answer.
        """
        if self.context is None:
            return most
        frame = sum(self.count(message["content"]) for message in self._messages(question, "")) + 2 * _FRAME
        return max(0, min(most, self.context - max_tokens - frame))

    def prompt(self, question: str, packed: Sequence[PackedPassage]) -> str | tuple[int, ...]:
        """The prompt that the model reads."""
        return self.lay_out(self._messages(question, self._passages(packed)))

    def _messages(self, question: str, passages: str) -> list[dict[str, str]]:
        asked = neutral_line(question, self.special_tokens)
        language = "Portuguese" if english_or_portuguese(question) == "pt" else "English"
        given = {"passages": passages, "question": asked, "language": language}
        return render(_prompt(), given).messages

    def _passages(self, packed: Sequence[PackedPassage]) -> str:
        blocks = []
        for number, one in enumerate(packed, start=1):
            name = neutral_line(one.document, self.special_tokens)
            blocks.append(f"[{number}] {name}\n{quoted_block(without_instructions(one.text), self.special_tokens)}")
        return "\n\n".join(blocks)


def without_instructions(text: str) -> str:
    """Remove the sentences that address a model from a text."""
    kept, place = [], 0
    for span in text_sentences(text):
        if speaks_to_a_model(text[span.start : span.end]):
            kept.append(text[place : span.start])
            place = span.end
    return "".join([*kept, text[place:]])


@cache
def _prompt() -> Prompt:
    return read_prompt(PROMPT_FILE)
