"""Bodies of llama.cpp's requests."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from lavra.server.schemas import Body, Finite, VocabularyId

Bias = Annotated[Finite, Field(ge=-1000, le=1000)] | Literal[False]
BiasedToken = tuple[VocabularyId | str, Bias]

# Fields of llama.cpp's that do nothing here.
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


class NativeBody(Body):
    """How text is written; shared by `/completion` and `/infill`."""

    n_predict: Annotated[int, Field(ge=-1, le=2**31 - 1)] = Field(
        default=-1, description="most tokens; -1: as many as there is room for; 0 writes one"
    )
    temperature: Annotated[Finite, Field(ge=0, le=100)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=2**31 - 1)] | None = Field(default=None, description="0 and -1 keep all")
    top_p: Annotated[Finite, Field(gt=0, le=1)] | None = None
    min_p: Annotated[Finite, Field(ge=0, le=1)] | None = None
    repeat_penalty: Annotated[Finite, Field(gt=0, le=100)] | None = None
    presence_penalty: Annotated[Finite, Field(ge=-100, le=100)] | None = None
    frequency_penalty: Annotated[Finite, Field(ge=-100, le=100)] | None = None
    seed: Annotated[int, Field(ge=-1, lt=2**63)] | None = Field(default=None, description="-1 draws one")
    stop: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=16)] | None = None
    ignore_eos: bool | None = None
    logit_bias: dict[str, Bias] | Annotated[list[BiasedToken], Field(max_length=10_000)] | None = Field(
        default=None, description="of a token, or of every token of a text; false: the token is never written"
    )
    n_probs: Annotated[int, Field(ge=0, le=20)] = 0
    json_schema: dict[str, Any] | None = None
    grammar: str | None = Field(default=None, description="GBNF, or Lark's notation")
    truncate_prompt: bool | None = Field(
        default=None, description="drop the oldest tokens of a prompt that is too long"
    )
    return_tokens: bool = Field(default=False, description="`tokens` of an answer that is no stream")
    response_fields: Annotated[list[str], Field(max_length=100)] | None = Field(
        default=None, description="only these fields; `timings/prompt_ms` is a field of `timings`"
    )
    stream: bool = False


class PromptText(BaseModel):
    """A prompt as an object; data that is no text is refused."""

    model_config = ConfigDict(extra="forbid")

    prompt_string: str


MixedPrompt = Annotated[list[VocabularyId | str], Field(min_length=1, fail_fast=True)]
OnePrompt = str | PromptText | MixedPrompt


class NativeCompletionBody(NativeBody):
    """`POST /completion`."""

    prompt: str | PromptText | MixedPrompt | Annotated[list[OnePrompt], Field(min_length=1, max_length=128)] = Field(
        description="a text, or token ids and texts in a row; a list without an id on its first level is several"
    )


class ExtraText(BaseModel):
    """A text from elsewhere in the project."""

    model_config = ConfigDict(extra="allow")

    text: str
    filename: str | None = None


class InfillBody(NativeBody):
    """`POST /infill`."""

    input_prefix: str = Field(description="before the gap")
    input_suffix: str = Field(description="behind the gap")
    input_extra: Annotated[list[ExtraText], Field(max_length=1000)] | None = None
    prompt: str | None = Field(default=None, description="what the text in the gap begins with")
