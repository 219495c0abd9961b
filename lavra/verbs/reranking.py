"""Open a reranker for `lavra index --tune` and `lavra ask`."""

from __future__ import annotations

from dataclasses import dataclass

from lavra.api.identity import model_files
from lavra.api.load import load
from lavra.base.errors import InputError
from lavra.base.files import hash_json
from lavra.base.ports import Reranker
from lavra.rag.rerank.predictor import PredictorReranker
from lavra.remote.config import RemoteConfig
from lavra.remote.reranking import RemoteReranker


@dataclass(frozen=True, kw_only=True)
class OpenedReranker:
    """An opened reranker with its identity.

    Attributes:
        reranker: the reranker, which reads a question and passages together.
        key: hash of its files, or of its address.
    """

    reranker: Reranker
    key: str


def open_reranker(name: str, key_variable: str = "") -> OpenedReranker:
    """Open a model that `lavra finetune --task rerank` made, or connect to a server.

    Args:
        name: a folder, a name in the workspace, a hub id, or `URL#MODEL` of a server of `/rerank`; without `#MODEL`
            the server chooses.
        key_variable: environment variable with the server's key.

    Raises:
        InputError: the model does not exist, or was made for another task.
    """
    if name.startswith(("http://", "https://")):
        url, _, served = name.partition("#")
        config = RemoteConfig(url=url, model=served, key_variable=key_variable)
        return OpenedReranker(reranker=RemoteReranker(config), key=hash_json([url.rstrip("/"), served]))
    if key_variable:
        raise InputError(f"reranker_key is {key_variable}, and {name} is not a URL; leave the key out")
    model = load(name)
    if model.predictor is None or model.folder is None:
        raise InputError(f"{name} is not a reranker; make one: lavra finetune MODEL --task rerank --data FILE")
    return OpenedReranker(reranker=PredictorReranker(model.predictor), key=hash_json(model_files(model.folder)))
