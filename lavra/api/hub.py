"""Fetching a model from the Hugging Face hub, and only when the user names one.

Only safetensors weights, JSON, tokenizer and template files are requested: never pickles, never code.
"""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from lavra.base.errors import InputError

FILES = ("*.safetensors", "*.json", "*.model", "*.jinja")
# The hub's client may use httpx or its successor; the base class of its own error shows which.
_TRANSPORT_ERROR: type[Exception] = HfHubHTTPError.__mro__[1]
COPIES = ("consolidated*.safetensors", "original/*", "onnx/*", "openvino/*")  # the same weights in other layouts


def fetch(hub_id: str) -> Path:
    """Download (or find in the local cache) a model's files, and return their folder.

    Raises:
        InputError: the hub has no such model, the model is gated, or the hub cannot be reached.
    """
    try:
        return Path(huggingface_hub.snapshot_download(hub_id, allow_patterns=list(FILES), ignore_patterns=list(COPIES)))
    except GatedRepoError as error:
        raise InputError(
            f"{hub_id} on the Hugging Face hub is gated; accept its terms there and log in with: hf auth login"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise InputError(
            f"{hub_id!r} is neither a folder here nor a model on the Hugging Face hub; check the spelling, "
            "or log in with `hf auth login` if it is private"
        ) from error
    except (LocalEntryNotFoundError, _TRANSPORT_ERROR, OSError) as error:
        raise InputError(
            f"{hub_id!r} is not a folder here, and the Hugging Face hub could not be reached ({type(error).__name__}); "
            "connect to the network, or give the path of a downloaded folder"
        ) from error
