"""A model's own sampling settings: `generation_config.json` sets the options that a request leaves out.

vLLM and `transformers` do the same.  The settings have lavra's own names (`max_new_tokens` is `max_tokens`); a
setting that lavra cannot follow is named in a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from lavra.base.sampling import DRAWN_NAMES, SAMPLING_NAMES
from lavra.base.types import GenerateRequest

logger = logging.getLogger(__name__)

Usual = Mapping[str, float]
"""Settings by the names of `SamplingConfig`, and `max_tokens`."""

_READ: Final = tuple(name for name in SAMPLING_NAMES if name != "seed")
_SAMPLES: Final = ("temperature", *DRAWN_NAMES)
_WHOLE: Final = ("top_k", "max_tokens")
# Fields that change no text here: ids, which the model's configuration has; forms of the output; bounds on prompt and
# completion together; settings of beam search and assisted decoding, which a request asks for.
_HARMLESS: Final = frozenset(
    (
        "do_sample",
        "max_new_tokens",
        "max_length",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "decoder_start_token_id",
        "transformers_version",
        "use_cache",
        "cache_implementation",
        "cache_config",
        "output_attentions",
        "output_hidden_states",
        "output_scores",
        "output_logits",
        "return_dict_in_generate",
        "early_stopping",
        "length_penalty",
        "renormalize_logits",
        "remove_invalid_values",
        "trust_remote_code",
    )
)


def usual_settings(generation: Mapping[str, Any], where: str = "generation_config.json") -> dict[str, float]:
    """Read the sampling settings in a model's `generation_config.json`.

    Args:
        generation: fields of the file.
        where: name of the file, for messages.

    Returns:
        Settings by the names of `SamplingConfig`, and `max_tokens`; empty where the file sets none.  With `do_sample`
        false the settings of a random draw are left out; with it true the temperature is always set, 1 by default.
    """
    found: dict[str, float] = {}
    samples = generation.get("do_sample")
    for name in _READ if samples is not False else [name for name in _READ if name not in _SAMPLES]:
        value = generation.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = value
    if samples is True:
        found.setdefault("temperature", 1.0)
    if isinstance(generation.get("max_new_tokens"), int):
        found["max_tokens"] = generation["max_new_tokens"]
    _warn_of_others(generation, where)
    if found:
        logger.info("%s: %s, where a request does not say otherwise", where, settings_in_words(found))
    return {name: int(value) if name in _WHOLE else value for name, value in found.items()}


def _warn_of_others(generation: Mapping[str, Any], where: str) -> None:
    """Warn of fields that would change texts; 0, 1 and None switch such a field off."""
    others = sorted(
        f"{name}={value!r}"
        for name, value in generation.items()
        if name not in (*_READ, *_HARMLESS) and not name.startswith("_") and value and value not in (1, [], {})
    )
    if others:
        logger.warning("%s: lavra does not support %s, so texts may differ", where, ", ".join(others))


def with_usual(request: GenerateRequest, usual: Usual, named: Collection[str]) -> GenerateRequest:
    """Add the model's own settings to a request, where the caller has set none.

    Args:
        request: the request.
        usual: settings of the model.
        named: names of the settings that the caller has set; these win.
    """
    taken = {name: value for name, value in usual.items() if name not in named}
    if request.num_beams > 1:  # beams follow the model's own distribution
        taken = {name: value for name, value in taken.items() if name == "max_tokens"}
    if taken.get("temperature", request.sampling.temperature) == 0:  # greedy: there is nothing to cut
        taken = {name: value for name, value in taken.items() if name not in _SAMPLES}
    most = int(taken.pop("max_tokens", request.max_tokens))
    return replace(request, max_tokens=most, sampling=replace(request.sampling, **taken))  # type: ignore[arg-type]


def settings_in_words(settings: Usual) -> str:
    """The settings in words."""
    return ", ".join(f"{name}={value}" for name, value in settings.items())
