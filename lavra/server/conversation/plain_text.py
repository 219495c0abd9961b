"""A text that a model continues as it stands, or whose gap it fills: no chat template around it, no calls in it."""

from __future__ import annotations

from lavra.server.conversation.requests import around_gap, generate_request, remaining
from lavra.server.conversation.run import ChatRun
from lavra.server.conversation.tool_calls import Tools
from lavra.server.edge import Edge
from lavra.server.fields import idle_fields
from lavra.server.schemas import ChatBody


def start_text(
    edge: Edge, body: ChatBody, prompt: str | tuple[int, ...], tenant: str, *, suffix: str | None = None
) -> ChatRun:
    """Give a text to the engine; it blocks while the prompt is made, so call it in a thread.

    Args:
        edge: the server.
        body: how to write; its messages are not read.
        prompt: the text, or its token ids.
        tenant: whose answers it may be given.
        suffix: the text behind the gap; `None` where there is no gap.

    Raises:
        InputError: the request cannot be served.
        UnknownModelError: there is no model of its name.
        OverloadedError: the queue is full, or the server is stopping.
    """
    warnings = idle_fields(body, strict=edge.config.strict)
    model = edge.model_of(body)
    reading = model.writer().reading
    if suffix is not None:
        ids = around_gap(model, prompt, suffix)
    else:
        ids = tuple(reading.prompt_ids(prompt)) if isinstance(prompt, str) else prompt
    request = generate_request(
        body,
        ids,
        usual=model.usual,
        max_tokens=body.max_completion_tokens or body.max_tokens or remaining(model, ids),
        n=1,
        logprobs=bool(body.logprobs),
        top_logprobs=body.top_logprobs or 0,
    )
    streams = edge.submit(model, request, body, tenant)
    tools = Tools(offered=None, schemas={})
    return ChatRun(model=model, body=body, streams=streams, warnings=warnings, tools=tools, prompt_tokens=len(ids))
