"""Prompt tuning (Lester et al. 2021, arXiv:2104.08691): its settings, and PEFT's `adapter_config.json` of them.

The module and the tensor of PEFT's files are in `lavra/adapt/soft_prompt.py`, which needs torch; this file does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from lavra.adapt.config import VirtualTokensConfig
from lavra.adapt.methods.method import AdapterMethod, PeftCodec
from lavra.adapt.peft_config import refuse_unread
from lavra.base.errors import ConfigError
from lavra.model.families.fields import Fields
from lavra.tokens.tokenizer import Tokenizer


class PromptInit(Enum):
    """The initial rows of a fresh soft prompt."""

    VOCABULARY = "vocabulary"  # embeddings of tokens drawn at random (Lester et al. 2021, section 3.2)
    RANDOM = "random"  # N(0, 1), as PEFT's RANDOM


@dataclass(frozen=True, kw_only=True)
class PromptConfig(VirtualTokensConfig):
    """Learned embeddings in front of a text (Lester et al. 2021, arXiv:2104.08691).

    Attributes:
        init: initial embeddings, unless `text` or `init_ids` sets them.
        text: a text for the initial embeddings: its tokens' embeddings, repeated until there are enough; a longer text
            makes more virtual tokens.
        init_ids: tokens of such a text.

    Example:
        >>> lavra.PromptConfig(num_tokens=8, text="Is this review good or bad?").num_tokens
        8
    """

    init: PromptInit = PromptInit.VOCABULARY
    text: str | None = None
    init_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.text is not None and self.init_ids:
            raise ConfigError("text and init_ids both say how the prompt starts; give one of the two")
        if len(self.init_ids) > self.num_tokens:
            raise ConfigError(
                f"the text to start from has {len(self.init_ids)} tokens and num_tokens is {self.num_tokens}; "
                f"set num_tokens to {len(self.init_ids)}, or shorten the text"
            )

    def with_tokenizer(self, tokenizer: Tokenizer) -> PromptConfig:
        """The same settings with the tokens of `text` in its place.

        Raises:
            ConfigError: the text has no tokens.
        """
        if self.text is None:
            return self
        ids = tuple(tokenizer.encode(self.text))
        if not ids:
            raise ConfigError(f"text is {self.text!r}, which has no tokens to start from; write a few words")
        return replace(self, text=None, init_ids=ids, num_tokens=max(self.num_tokens, len(ids)))


PROMPT: Final = AdapterMethod(
    name="prompt",
    starts={"prompt": PromptConfig()},
    learning_rate=3e-2,
    in_front="lavra.adapt.soft_prompt:fresh_prompt",
    peft=PeftCodec(
        kind="PROMPT_TUNING",
        read="lavra.adapt.soft_prompt:read_prompt_rows",
        write="lavra.adapt.soft_prompt:write_prompt_rows",
    ),
)


def read_prompt(fields: Fields, saved: tuple[str, ...]) -> PromptConfig:
    """Read the configuration in an `adapter_config.json`, which lacks the prompt's initial embeddings.

    Args:
        fields: fields of the file.
        saved: modules of ours that the adapter has trained whole.

    Raises:
        CheckpointError: a setting that lavra cannot honour.
    """
    num_tokens = fields.integer("num_virtual_tokens")
    refuse_unread(fields, {"num_virtual_tokens"})
    return PromptConfig(num_tokens=num_tokens, modules_to_save=saved)
