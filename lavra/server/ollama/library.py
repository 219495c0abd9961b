"""The served models in Ollama's form: `/api/tags`, `/api/show`, `/api/ps`, `/api/version`; and the refused endpoints.

The models are fixed when the server starts, so it refuses requests that pull, make, copy or delete a model.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from lavra.base.errors import InputError
from lavra.base.version import VERSION
from lavra.server.conversation.requests import gap_marks
from lavra.server.fields import idle_fields
from lavra.server.ollama.answers import Library, ModelCapabilities, ServerVersion
from lavra.server.ollama.objects import moment
from lavra.server.ollama.requests import TAG, plain_name
from lavra.server.ollama.schemas import IDLE_FIELDS, ShowBody
from lavra.server.served import ServedModel
from lavra.server.server_state import ServerState

_NEVER: Final = "9999-12-31T23:59:59Z"  # when a model is unloaded
_LEVELS: Final = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}  # Ollama's words for types
_CHANGES: Final = (
    ("POST", "/api/pull"),
    ("POST", "/api/push"),
    ("POST", "/api/create"),
    ("POST", "/api/copy"),
    ("DELETE", "/api/delete"),
    ("POST", "/api/blobs/{digest}"),
    ("HEAD", "/api/blobs/{digest}"),
)


def library_router(state: ServerState) -> APIRouter:
    """The endpoints over a server's models."""
    router = APIRouter(tags=["ollama"])

    @router.get("/api/tags", response_model=Library)
    async def tags() -> Response:
        """The served models, as Ollama lists models."""
        return JSONResponse({"models": [_listed(model) for model in state.models]})

    @router.get("/api/ps", response_model=Library)
    async def running() -> Response:
        """The served models, as Ollama lists loaded models."""
        return JSONResponse({"models": [{**_listed(one), **_running(one)} for one in state.models]})

    @router.post("/api/show", response_model=ModelCapabilities)
    async def show(body: ShowBody) -> Response:
        """Facts about a model."""
        warnings = idle_fields(body, strict=state.config.strict, idle=IDLE_FIELDS)
        model = state.models.named(plain_name(state.models, body.model or body.name))
        return JSONResponse({**_shown(model), "warnings": warnings})

    @router.get("/api/version", response_model=ServerVersion)
    async def version() -> Response:
        """Version of lavra."""
        return JSONResponse({"version": VERSION})

    async def refuse() -> Response:
        raise InputError(
            "models are not pulled, made, copied or deleted while this server runs; start it with the folders of those "
            "you want: lavra serve NAME=FOLDER"
        )

    for method, path in _CHANGES:
        router.add_api_route(path, refuse, methods=[method], include_in_schema=False)
    return router


def _listed(model: ServedModel) -> dict[str, Any]:
    name = model.name if ":" in model.name else f"{model.name}{TAG}"
    return {
        "name": name,
        "model": name,
        "modified_at": moment(datetime.fromtimestamp(model.created, UTC)),
        "size": model.weights_bytes,
        "digest": model.facts.digest,
        "details": _details(model),
    }


def _details(model: ServedModel) -> dict[str, Any]:
    facts = model.facts
    return {
        "parent_model": model.parent or "",
        "format": facts.file_format,
        "family": facts.family,
        "families": [facts.family] if facts.family else [],
        "parameter_size": _human(facts.num_parameters) if facts.num_parameters else "",
        "quantization_level": _LEVELS.get(facts.stored, facts.stored),
    }


def _human(count: int) -> str:
    """A number as Ollama writes it: `1.5B`, `134.52M`, `14K`."""
    for size, letter, decimals in ((10**9, "B", 1), (10**6, "M", 2), (10**3, "K", 0)):
        if count >= size:
            return f"{count / size:.{0 if count % size == 0 else decimals}f}{letter}"
    return str(count)


def _running(model: ServedModel) -> dict[str, Any]:
    return {"expires_at": _NEVER, **({} if model.engine is None else {"context_length": model.max_length})}


def _shown(model: ServedModel) -> dict[str, Any]:
    return {
        "modelfile": f"FROM {model.name}\n",
        "parameters": "\n".join(f"{name} {value}" for name, value in model.usual.items()),
        "template": model.tokenizer.chat_template or "",
        "modified_at": moment(datetime.fromtimestamp(model.created, UTC)),
        "details": _details(model),
        "model_info": _model_info(model),
        "capabilities": _capabilities(model),
    }


def _model_info(model: ServedModel) -> dict[str, Any]:
    """Numbers under the names that GGUF files have for them; a number that is not known is left out."""
    name = model.facts.family or "lavra"
    known = {
        "general.parameter_count": model.facts.num_parameters,
        f"{name}.context_length": model.reads,
        f"{name}.embedding_length": model.facts.hidden_size,
        f"{name}.vocab_size": model.tokenizer.vocab_size,
    }
    return {"general.architecture": name, **{key: value for key, value in known.items() if value}}


def _capabilities(model: ServedModel) -> list[str]:
    """The capabilities of the model, by Ollama's names."""
    template = model.tokenizer.chat_template or ""
    can = {
        "completion": model.engine is not None,
        "tools": model.engine is not None and "tools" in template,
        "insert": model.engine is not None and gap_marks(model.tokenizer) is not None,
        "embedding": model.embedder is not None,
    }
    return [name for name, able in can.items() if able]
