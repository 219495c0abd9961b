"""Settings of a remote model: its URL, the form of requests, and the source of its key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

from lavra.base.errors import ConfigError, InputError, nearest

Endpoint = Literal["completions", "chat"]
Limit = Literal["max_tokens", "max_completion_tokens"]


@dataclass(frozen=True, kw_only=True)
class RemoteConfig:
    """A model behind an OpenAI-compatible URL.

    No key is sent unless the settings name it: a server never gets a key that was meant for another.

    Attributes:
        url: the base URL, to which `/completions` and `/chat/completions` are appended, usually ending in `/v1`.
        model: the model's name at the server; empty leaves the choice to the server.
        endpoint: `completions` takes a prompt as it is; `chat` makes it the user's turn of a conversation.
        system: message that begins a conversation; only for `chat`.
        limit: the server's field name for the most tokens of a chat's answer.
        key_variable: environment variable that holds the key.
        key_file: file that holds the key and nothing else.
        timeout: seconds without a byte from the server before a try is given up.
        max_retries: tries after the first where the server is busy or not reachable.
        concurrency: most requests in flight at a time.
    """

    url: str
    model: str = ""
    endpoint: Endpoint = "completions"
    system: str = ""
    limit: Limit = "max_tokens"
    key_variable: str = ""
    key_file: Path | None = None
    timeout: float = 120.0
    max_retries: int = 4
    concurrency: int = 4

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("url is not http:// or https:// and a host; give one such as http://localhost:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ConfigError(
                "url holds a name, a password or a query, which would be shown with it; "
                "give the plain address, and the key by key_variable or key_file"
            )
        for name, value, known in (
            ("endpoint", self.endpoint, get_args(Endpoint)),
            ("limit", self.limit, get_args(Limit)),
        ):
            if value not in known:
                raise ConfigError(f"{name} is {value!r}{nearest(value, known)}")
        if self.system and self.endpoint != "chat":
            raise ConfigError(f"system is given and endpoint is {self.endpoint}; only a chat has a system's turn")
        if self.key_variable and self.key_file is not None:
            raise ConfigError("key_variable and key_file are both given; name one place for the key")
        for name, least in (("timeout", 0.001), ("max_retries", 0), ("concurrency", 1)):
            if not getattr(self, name) >= least:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")

    def read_key(self) -> str | None:
        """Read the key from where it is kept; no field holds it, and so no message or card does.

        Raises:
            InputError: the key is missing, or is not a single word.
        """
        if self.key_variable:
            key, where = os.environ.get(self.key_variable, ""), f"the environment variable {self.key_variable}"
        elif self.key_file is not None:
            if not self.key_file.is_file():
                raise InputError(f"{self.key_file} is not a file; key_file names one that holds the key")
            key, where = self.key_file.read_text(encoding="utf-8"), str(self.key_file)
        else:
            return None
        key = key.strip()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            state = "empty or not set" if not key else "not one word of plain characters"
            raise InputError(f"{where} is {state}; put the server's key there")
        return key
