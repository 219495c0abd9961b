"""From the port's requests to the JSON that OpenAI's endpoints take.

A setting that OpenAI has no field for (`top_k`, `min_p`, `repetition_penalty`, `min_tokens`, `truncate_prompt`) is sent
under the name that vLLM, llama.cpp and lavra know, and only where it was set: a server that does not know it says so,
or is not to be trusted with it.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
from typing import Any, Final

from lavra.base.errors import ConfigError, InputError
from lavra.base.types import Constraint, ConstraintKind, GenerateRequest, SamplingConfig
from lavra.remote.config import RemoteConfig

PATHS: Final = {"completions": "/completions", "chat": "/chat/completions"}

_SAMPLING: Final = (
    "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty", "seed",
)  # fmt: skip


def settle(request: GenerateRequest) -> tuple[GenerateRequest, tuple[str, ...]]:
    """A request with a seed where it samples, and the warning to report for it.

    Raises:
        ConfigError: a setting is out of range, or no server of this protocol has it.
    """
    for name, value, least in (
        ("max_tokens", request.max_tokens, 1),
        ("n", request.n, 1),
        ("temperature", request.sampling.temperature, 0),
        ("min_tokens", request.min_tokens, 0),
        ("top_logprobs", request.top_logprobs, 0),
    ):
        if not value >= least:
            raise ConfigError(f"{name} is {value}; it must be at least {least}")
    if request.num_beams != 1:
        raise ConfigError(f"num_beams is {request.num_beams}; a remote model samples, give 1")
    if request.adapter is not None:
        raise ConfigError(f"adapter is {request.adapter!r}; a server offers adapters as models: ask for that one")
    if request.given is not None:
        raise ConfigError("given is for an encoder-decoder in this process; put the source into the prompt")
    if request.sampling.temperature == 0 or request.sampling.seed is not None:
        return request, ()
    seed = secrets.randbits(31)
    sampling = dataclasses.replace(request.sampling, seed=seed)
    said = f"no seed was given: {seed} was drawn; pass seed={seed} to repeat this"
    return dataclasses.replace(request, sampling=sampling), (said,)


def body_of(request: GenerateRequest, config: RemoteConfig) -> dict[str, Any]:
    """What is posted.

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
    for name in _SAMPLING:
        value = getattr(request.sampling, name)
        if value != getattr(usual, name):
            settings[name] = value
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
