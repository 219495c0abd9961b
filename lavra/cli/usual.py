"""A model's own sampling settings as defaults of the flags of `lavra generate` and `lavra chat`."""

from __future__ import annotations

import argparse
import sys

from lavra.api.model import TextModel
from lavra.api.usual import settings_in_words, with_usual
from lavra.base.config import named_settings
from lavra.base.types import GenerateRequest


def usual_request(model: TextModel, request: GenerateRequest, cls: type, args: argparse.Namespace) -> GenerateRequest:
    """A request with the model's own sampling settings where no flag and no file names others; a note lists them."""
    filled = with_usual(request, model.usual, named_settings(cls, args, args.config))
    if filled != request:
        taken = {name: one for name, one in model.usual.items() if _setting(filled, name) != _setting(request, name)}
        print(f"note: {settings_in_words(taken)} of the model's generation_config.json; a flag wins", file=sys.stderr)
    return filled


def _setting(request: GenerateRequest, name: str) -> float:
    value: float = request.max_tokens if name == "max_tokens" else getattr(request.sampling, name)
    return value
