"""Functions by reference, whose modules are imported at the first use.

A task names its functions by reference, and a loaded model the functions that need torch: text such as
`lavra.tasks.learning.losses:tag_loss`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

Reference = str | Callable[..., Any]
"""A function, or its place: `module:name`."""


def resolve(reference: Reference) -> Callable[..., Any]:
    """The function of a reference; this imports its module."""
    if callable(reference):
        return reference
    module, _, name = reference.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found
