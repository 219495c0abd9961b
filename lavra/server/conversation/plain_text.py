"""A text that a model continues, or fills a gap in: without a chat template, and without calls."""

from __future__ import annotations

from lavra.server.conversation.requests import around_gap, generate_request, remaining
from lavra.server.conversation.run import ChatRun
from lavra.server.conversation.tool_calls import Tools
from lavra.server.fields import idle_fields
from lavra.server.schemas import ChatBody
from lavra.server.server_state import ServerState


def start_text(
    state: ServerState, body: ChatBody, prompt: str | tuple[int, ...], tenant: str, *, suffix: str | None = None
) -> ChatRun:
    """Give a text to the engine; it blocks while the prompt is made, so call it in a thread.

    Args:
        state: state of the server.
        body: options of the answer; its messages are not read.
        prompt: the text, or its token ids.
        tenant: tenant whose cached answers the request may get.
        suffix: the text after the gap; `None` where there is no gap.

    Raises:
        InputError: the request cannot be served.
        UnknownModelError: no model has this name.
        OverloadedError: the queue is full, or the server is stopping.
    """
    warnings = idle_fields(body, strict=state.config.strict)
    model = state.model_of(body)
    encoding = model.writer().encoding
    if suffix is not None:
        ids = around_gap(model, prompt, suffix)
    else:
        ids = tuple(encoding.prompt_ids(prompt)) if isinstance(prompt, str) else prompt
    request = generate_request(
        body,
        ids,
        usual=model.usual,
        max_tokens=body.max_completion_tokens or body.max_tokens or remaining(model, ids),
        n=1,
        logprobs=bool(body.logprobs),
        top_logprobs=body.top_logprobs or 0,
    )
    streams = state.submit(model, request, body, tenant)
    tools = Tools(offered=None, schemas={})
    return ChatRun(model=model, body=body, streams=streams, warnings=warnings, tools=tools, prompt_tokens=len(ids))
