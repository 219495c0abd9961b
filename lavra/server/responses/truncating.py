"""`truncation: "auto"`: drop the oldest items of a conversation until the rest fits the model's context.

Instructions and the system messages at the beginning stay.
The rest begins with a message of the user, so that no result of a call stands without its call.
Where even the last turn is too long, its oldest tokens are dropped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

from lavra.server.conversation.prompt import chat_prompt
from lavra.server.conversation.tool_calls import read_tools
from lavra.server.responses.schemas import Item
from lavra.server.schemas import ChatBody
from lavra.server.served import ServedModel


def without_oldest(
    model: ServedModel, items: Sequence[Item], chat_of: Callable[[Sequence[Item]], ChatBody]
) -> tuple[ChatBody, list[str]]:
    """The chat request of the last items that fit, and a warning where older items were left out.

    Args:
        model: model that reads the items.
        items: items of the whole conversation.
        chat_of: makes the chat request of some items.
    """
    whole = chat_of(items)
    if _length(model, whole) < model.max_length:
        return whole, []
    # As the engine does with tokens: room for the answer, up to half the context.
    most = max(model.max_length - (whole.max_completion_tokens or 1), model.max_length // 2)
    first = next((place for place, item in enumerate(items) if _role(item) not in ("system", "developer")), 0)
    turns = [place for place in range(first + 1, len(items)) if _role(items[place]) == "user"]
    if not turns:
        return whole, []
    begins = bisect_left(turns, x=True, key=lambda place: _length(model, chat_of(_from(items, first, place))) <= most)
    begin = turns[min(begins, len(turns) - 1)]
    reason = f"{model.name} reads at most {model.max_length} tokens"
    warning = f"truncation: the oldest {begin - first} items were left out; {reason}"
    return chat_of(_from(items, first, begin)), [warning]


def _from(items: Sequence[Item], first: int, begin: int) -> list[Item]:
    return [*items[:first], *items[begin:]]


def _role(item: Item) -> str | None:
    return item.get("role")


def _length(model: ServedModel, chat: ChatBody) -> int:
    return len(chat_prompt(model, chat, read_tools(chat).offered).tokens)
