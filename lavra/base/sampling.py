"""Checks of a generation request, and its seed: the same for every model, in this process or behind a URL.

The bounds stand in the fields of `GenerateRequest` and `SamplingConfig` (`lavra.base.types`).  This module adds the
rules between parameters: which exclude one another, which have no effect, and that sampling needs a seed.
"""

from __future__ import annotations

import dataclasses
import secrets
from typing import Final

from lavra.base.bounds import check_parameters, parameters
from lavra.base.errors import ConfigError
from lavra.base.types import LOGIT_BIAS, GenerateRequest, SamplingConfig

SAMPLING_NAMES: Final = tuple(one.name for one in parameters(SamplingConfig))
"""Names of all sampling parameters."""

DRAWN_NAMES: Final = tuple(one.name for one in parameters(SamplingConfig) if one.bounds.drawn_only)
"""Names of the parameters that act only where a token is drawn: at temperature 0 they have no effect."""

_SEED_BITS: Final = 31  # every client and every file format can write such a number


def check_request(request: GenerateRequest) -> None:
    """Check that a request's parameters are within their bounds and do not exclude one another.

    Raises:
        ConfigError: naming the parameter, its value, the bound and the parameter to use instead.
    """
    check_parameters(request)
    check_parameters(request.sampling)
    for token, bias in request.logit_bias.items():
        LOGIT_BIAS.check(f"logit_bias[{token}]", bias)
    if request.num_beams > 1 and request.n > request.num_beams:
        raise ConfigError(
            f"n={request.n} is over num_beams={request.num_beams}; beam search returns at most one text a beam"
        )
    if request.min_tokens > request.max_tokens:
        raise ConfigError(f"min_tokens={request.min_tokens} is over max_tokens={request.max_tokens}; lower it")
    if request.ignore_eos and request.constraint is not None:
        raise ConfigError("ignore_eos is set and a constraint, whose text ends with the model's own end; leave one out")
    if any(not stop for stop in request.stop):
        raise ConfigError("stop holds an empty string, which would end every text at once; leave it out")


def settle_seed(sampling: SamplingConfig) -> tuple[SamplingConfig, tuple[str, ...]]:
    """Draw a seed where sampling needs a seed and the settings have none.

    Returns:
        The settings with a seed, and the warnings to report: the drawn seed, or the parameters that have no
        effect.
    """
    if sampling.temperature == 0:
        default = SamplingConfig()
        idle = [name for name in DRAWN_NAMES if getattr(sampling, name) != getattr(default, name)]
        if not idle:
            return sampling, ()
        return sampling, (
            f"temperature is 0 (greedy), so {', '.join(idle)} had no effect; set a temperature to sample",
        )
    if sampling.seed is not None:
        return sampling, ()
    seed = secrets.randbits(_SEED_BITS)
    return dataclasses.replace(sampling, seed=seed), (
        f"no seed was given: {seed} was drawn; pass seed={seed} to repeat this",
    )
