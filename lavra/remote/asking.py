"""Turn the port's requests into the JSON that OpenAI's endpoints take.

A setting that OpenAI has no field for (`top_k`, `min_p`, `repetition_penalty`, `min_tokens`, `truncate_prompt`) is sent
under the name that vLLM, llama.cpp and lavra know, and only where it was set: a server that does not know it refuses
it, or ignores it and cannot be trusted with it.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

from lavra.base.errors import ConfigError, InputError
from lavra.base.sampling import SAMPLING_NAMES, check_request, settle_seed
from lavra.base.types import Constraint, ConstraintKind, GenerateRequest, SamplingConfig
from lavra.remote.config import RemoteConfig

PATHS: Final = {"completions": "/completions", "chat": "/chat/completions"}


def settle(request: GenerateRequest) -> tuple[GenerateRequest, tuple[str, ...]]:
    """Give a request a seed where it samples; return it with the warnings to report.

    Raises:
        ConfigError: a setting is out of range, or no server of this protocol has it.
    """
    check_request(request)
    if request.num_beams != 1:
        raise ConfigError(f"num_beams is {request.num_beams}; a remote model samples, give 1")
    if request.adapter is not None:
        raise ConfigError(f"adapter is {request.adapter!r}; a server offers adapters as models: ask for that one")
    if request.given is not None:
        raise ConfigError("given is for an encoder-decoder in this process; put the source into the prompt")
    sampling, warnings = settle_seed(request.sampling)
    return dataclasses.replace(request, sampling=sampling), warnings


def body_of(request: GenerateRequest, config: RemoteConfig) -> dict[str, Any]:
    """The JSON body to post.

    Raises:
        InputError: token ids are given to a chat.
    """
    body: dict[str, Any] = {"model": config.model} if config.model else {}
    if config.endpoint == "chat":
        body |= {"messages": _messages(request, config), config.limit: request.max_tokens}
        if request.logprobs:
            body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    else:
        prompt = request.prompt if isinstance(request.prompt, str) else list(request.prompt)
        body |= {"prompt": prompt, "max_tokens": request.max_tokens}
        if request.logprobs:
            body["logprobs"] = request.top_logprobs
    return {**body, **_settings(request)}


def _messages(request: GenerateRequest, config: RemoteConfig) -> list[dict[str, str]]:
    if not isinstance(request.prompt, str):
        raise InputError("the prompt is token ids, and a chat takes text; give text, or endpoint completions")
    first = [{"role": "system", "content": config.system}] if config.system else []
    return [*first, {"role": "user", "content": request.prompt}]


def _settings(request: GenerateRequest) -> dict[str, Any]:
    usual = SamplingConfig()
    settings: dict[str, Any] = {"temperature": request.sampling.temperature}
    given = {name: getattr(request.sampling, name) for name in SAMPLING_NAMES}
    settings |= {name: value for name, value in given.items() if value != getattr(usual, name)}
    if request.n != 1:
        settings["n"] = request.n
    if request.stop:
        settings["stop"] = list(request.stop)
    if request.logit_bias:
        settings["logit_bias"] = {str(token): bias for token, bias in request.logit_bias.items()}
    if request.min_tokens:
        settings["min_tokens"] = request.min_tokens
    if request.stop_token_ids:
        settings["stop_token_ids"] = list(request.stop_token_ids)
    if not request.skip_special_tokens:
        settings["skip_special_tokens"] = False
    named = {
        "truncate_prompt": request.truncate_prompt,
        "ignore_eos": request.ignore_eos,
        "include_stop_str_in_output": request.include_stop,
    }
    settings |= {name: True for name, wanted in named.items() if wanted}
    if request.constraint is not None:
        settings["response_format"] = _format(request.constraint)
    return settings


def _format(constraint: Constraint) -> dict[str, Any]:
    if constraint.kind is ConstraintKind.JSON_SCHEMA:
        schema = {"name": "answer", "schema": json.loads(constraint.text), "strict": True}
        return {"type": "json_schema", "json_schema": schema}
    kind = "regex" if constraint.kind is ConstraintKind.REGEX else "grammar"
    return {"type": kind, kind: constraint.text}
