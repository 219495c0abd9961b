"""Lay a prompt out for a model, as plain text or as a conversation by the chat template, and count its tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lavra.base.types import ScoreRequest
from lavra.prompts.budget import Budget
from lavra.prompts.render import Rendered


class PromptTokenizer(Protocol):
    """The methods of a tokenizer that prompts need; `lavra.tokens.Tokenizer` has them."""

    def encode(self, text: str) -> Sequence[int]:
        """Token ids of a text, without special tokens around it."""
        ...

    def apply_chat_template(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Render a conversation as text, ending where the assistant begins to speak."""
        ...


@dataclass(frozen=True, kw_only=True)
class PromptLayout:
    """A layout of prompts for one model.

    Attributes:
        tokenizer: the model's own tokenizer.
        num_special: number of tokens that the model reads around a text, besides the text's own (`<s>`, `[CLS]` and
            `[SEP]`).
        context: most tokens that the model reads; None for no limit.
        shares_context: whether prompt and answer share one context, as in decoders, unlike
            encoder-decoders.
    """

    tokenizer: PromptTokenizer
    num_special: int = 0
    context: int | None = None
    shares_context: bool = True

    def budget(self, num_answer: int, *, strict: bool = False) -> Budget:
        """The tokens for a prompt whose answer has `num_answer` tokens at most."""
        return Budget(context=self.context, reserved=num_answer if self.shares_context else 0, strict=strict)

    def prompt(self, rendered: Rendered) -> str | tuple[int, ...]:
        """The prompt of a `GenerateRequest`: text, or the ids of a conversation, which include its special tokens.

        Raises:
            InputError: the tokenizer has no chat template, or it refuses the conversation.
        """
        if not rendered.turns:
            return rendered.text
        return tuple(self.tokenizer.encode(self.tokenizer.apply_chat_template(rendered.messages)))

    def num_tokens(self, rendered: Rendered) -> int:
        """The number of tokens that the model reads for a prompt, special ones included."""
        found = self.prompt(rendered)
        return self.num_text_tokens(found) if isinstance(found, str) else len(found)

    def num_text_tokens(self, text: str) -> int:
        """The number of tokens that the model reads for a text, special ones included."""
        return self.num_special + len(self.tokenizer.encode(text))

    def continuation(self, rendered: Rendered, text: str) -> tuple[ScoreRequest, int | None]:
        """The request that scores `text` after a prompt, and the number of its last tokens that belong to the text.

        The number is None where the request scores nothing else.  A port takes the unscored part as text alone, so
        after a conversation, whose special tokens are ids, all of it is scored and only its end is used.
        """
        found = self.prompt(rendered)
        if isinstance(found, str):
            return ScoreRequest(text=text, given=found), None
        own = tuple(self.tokenizer.encode(text))
        return ScoreRequest(text=(*found, *own)), len(own)
