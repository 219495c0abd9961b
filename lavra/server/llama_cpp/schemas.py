"""Bodies of llama.cpp's requests."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from lavra.base.types import LOGIT_BIAS
from lavra.server.sampling_fields import LlamaSamplingFields
from lavra.server.schemas import Body, Finite, NumTopLogprobs, VocabularyId, optional

TokenBias = Annotated[Finite, Field(ge=LOGIT_BIAS.least, le=LOGIT_BIAS.most)] | Literal[False]
BiasedToken = tuple[VocabularyId | str, TokenBias]

# llama.cpp's fields without effect here.
IDLE_FIELDS: Final = frozenset(
    {
        "cache_prompt", "dry_allowed_length", "dry_base", "dry_multiplier", "dry_penalty_last_n",
        "dry_sequence_breakers", "dynatemp_exponent", "dynatemp_range", "id_slot", "lora",
        "min_keep", "mirostat", "mirostat_eta", "mirostat_tau", "n_cache_reuse", "n_indent", "n_keep",
        "post_sampling_probs", "repeat_last_n", "return_progress", "samplers",
        "t_max_predict_ms", "t_max_prompt_ms", "timings_per_token", "top_n_sigma", "typical_p", "xtc_probability",
        "xtc_threshold",
    }
)  # fmt: skip


class NativeBody(Body, LlamaSamplingFields):
    """The options of writing, shared by `/completion` and `/infill`."""

    n_predict: Annotated[int, Field(ge=-1, le=2**31 - 1)] = Field(
        default=-1, description="most tokens; -1: as many as there is room for; 0 writes one"
    )
    stop: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=16)] | None = optional(
        "texts that end the answer"
    )
    ignore_eos: bool | None = optional("write on behind the model's own end of text")
    logit_bias: dict[str, TokenBias] | list[BiasedToken] | None = optional(
        "of a token, or of every token of a text; false: the token is never written"
    )
    n_probs: NumTopLogprobs = Field(default=0, description="this many of the likeliest tokens at each place")
    json_schema: dict[str, Any] | None = optional("a JSON schema that the answer follows")
    grammar: str | None = optional("GBNF, or Lark's notation")
    truncate_prompt: bool | None = optional("drop the oldest tokens of a prompt that is too long")
    return_tokens: bool = Field(default=False, description="`tokens` of an answer that is not a stream")
    response_fields: Annotated[list[str], Field(max_length=100)] | None = optional(
        "only these fields; `timings/prompt_ms` is a field of `timings`"
    )
    stream: bool = Field(default=False, description="send the answer while it is written")


class PromptObject(BaseModel):
    """A prompt as an object; data that is not text is refused."""

    model_config = ConfigDict(extra="forbid")

    prompt_string: str = Field(description="the text")


MixedPrompt = Annotated[list[VocabularyId | str], Field(min_length=1, fail_fast=True)]
OnePrompt = str | PromptObject | MixedPrompt


class NativeCompletionBody(NativeBody):
    """`POST /completion`."""

    prompt: str | PromptObject | MixedPrompt | Annotated[list[OnePrompt], Field(min_length=1, max_length=128)] = Field(
        description="a text, or token ids and texts in a row; a list without an id on its first level is several"
    )


class ExtraText(BaseModel):
    """A text from elsewhere in the project."""

    model_config = ConfigDict(extra="allow")

    text: str = Field(description="the text")
    filename: str | None = optional("name of its file")


class InfillBody(NativeBody):
    """`POST /infill`."""

    input_prefix: str = Field(description="the text before the gap")
    input_suffix: str = Field(description="the text behind the gap")
    input_extra: Annotated[list[ExtraText], Field(max_length=1000)] | None = optional(
        "texts that the model reads before the prefix"
    )
    prompt: str | None = optional("what the text in the gap begins with")
