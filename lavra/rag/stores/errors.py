"""The error of a store outside this process, and the function that reads its key."""

from __future__ import annotations

import os

from lavra.base.errors import ConfigError, LavraError
from lavra.rag.stores.config import StoreConfig


class StoreError(LavraError):
    """A vector store cannot be reached, is full, or refuses a request."""


def read_key(config: StoreConfig, usual_variable: str, *, needed: bool) -> str:
    """Read the key of a server from the file or the environment variable that the settings name.

    Raises:
        ConfigError: a key is needed, or a file is named, and it is missing.
    """
    if config.key_file is not None:
        try:
            return config.key_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"key_file={str(config.key_file)!r} cannot be read: {error.strerror}") from error
    variable = config.key_variable or usual_variable
    key = os.environ.get(variable, "")
    if not key and (needed or config.key_variable):
        raise ConfigError(f"the environment variable {variable} is not set; put the key of {config.kind.value} into it")
    return key
