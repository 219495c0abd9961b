"""How a model is given a prompt, a text as it is, a conversation by the chat template; and the room it has for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lavra.base.types import ScoreRequest
from lavra.prompts.budget import Budget
from lavra.prompts.render import Rendered


class PromptTokenizer(Protocol):
    """What is asked of a tokenizer; `lavra.tokens.Tokenizer` is one."""

    def encode(self, text: str) -> Sequence[int]:
        """Token ids of a text, without special tokens around it."""
        ...

    def apply_chat_template(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The text of a conversation, ending where the assistant is to speak."""
        ...


@dataclass(frozen=True, kw_only=True)
class PromptLayout:
    """Lays prompts out for one model.

    Attributes:
        tokenizer: the model's own.
        num_special: tokens the model reads around a text beside the text's own (`<s>`, `[CLS]` and `[SEP]`).
        context: most tokens the model reads; None has no bound.
        shares_context: the answer takes its room from the same context, as in decoders; not in encoder-decoders.
    """

    tokenizer: PromptTokenizer
    num_special: int = 0
    context: int | None = None
    shares_context: bool = True

    def budget(self, num_answer: int, *, strict: bool = False) -> Budget:
        """The room for a prompt whose answer has `num_answer` tokens at most."""
        return Budget(context=self.context, reserved=num_answer if self.shares_context else 0, strict=strict)

    def prompt(self, rendered: Rendered) -> str | tuple[int, ...]:
        """What a `GenerateRequest` takes: text, or of a conversation the ids, which carry their special tokens.

        Raises:
            InputError: the tokenizer has no chat template, or it refuses the conversation.
        """
        if not rendered.turns:
            return rendered.text
        return tuple(self.tokenizer.encode(self.tokenizer.apply_chat_template(rendered.messages)))

    def num_tokens(self, rendered: Rendered) -> int:
        """Tokens the model reads for a prompt, special ones included."""
        found = self.prompt(rendered)
        return self.num_text_tokens(found) if isinstance(found, str) else len(found)

    def num_text_tokens(self, text: str) -> int:
        """Tokens the model reads for a text, special ones included."""
        return self.num_special + len(self.tokenizer.encode(text))

    def continuation(self, rendered: Rendered, text: str) -> tuple[ScoreRequest, int | None]:
        """The request that scores `text` as what follows a prompt, and how many of its last tokens are the text's.

        The number is None where the request has nothing else.  A port takes what is not scored as text alone, so
        after a conversation, whose special tokens are ids, all of it is scored and its end is looked at.
        """
        found = self.prompt(rendered)
        if isinstance(found, str):
            return ScoreRequest(text=text, given=found), None
        own = tuple(self.tokenizer.encode(text))
        return ScoreRequest(text=(*found, *own)), len(own)
