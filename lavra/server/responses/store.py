"""The store of responses: in memory, within bounds, each for its own tenant.

The store drops the oldest responses first.
It keeps texts as JSON, so their length is their memory.
Two responses of a conversation share their common items, which count for each.
"""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.exceptions import HTTPException

from lavra.base.errors import OverloadedError
from lavra.server.config import ServeConfig
from lavra.server.responses.log import EventLog
from lavra.server.responses.schemas import Item

_RETRY_SECONDS: Final = 10.0
_ID_BEGINS: Final = len('{"id": "')


@dataclass(kw_only=True, eq=False)
class KeptResponse:
    """A response, running or ended.

    Attributes:
        id: id of the response.
        tenant: owner of the response.
        background: whether it continues when its client leaves, and keeps its events.
        items: conversation before it, each item as JSON.
        stop: function that stops its answer.
        answer: the response object so far, as JSON.
        output: its items, each as JSON, once it has ended.
        log: log of its events.
    """

    id: str
    tenant: str
    background: bool
    items: tuple[str, ...]
    stop: Callable[[], None] = lambda: None
    answer: str = ""
    output: tuple[str, ...] = ()
    log: EventLog = field(default_factory=EventLog)

    def cancel(self) -> None:
        """Stop the answer; a second call has no effect."""
        self.stop()

    def conversation(self) -> Iterator[Item]:
        """The conversation for a response that follows; it leaves out a call that was cut off."""
        for text in (*self.items, *self.output):
            item = json.loads(text)
            if item["type"] != "function_call" or item["status"] == "completed":
                yield item

    @property
    def num_bytes(self) -> int:
        """The memory of the response, in bytes."""
        texts = sum(sys.getsizeof(text) for text in (self.answer, *self.items, *self.output))
        return texts + (self.log.num_bytes if self.background else 0)


@dataclass(kw_only=True)
class _Shelf:
    """The responses of a tenant, or of all tenants, with their bounds."""

    most: int
    most_bytes: int
    kept: OrderedDict[str, KeptResponse] = field(default_factory=OrderedDict)
    num_bytes: int = 0

    @property
    def over(self) -> bool:
        return len(self.kept) > self.most or self.num_bytes > self.most_bytes

    def oldest_ended(self) -> KeptResponse | None:
        return next((one for one in self.kept.values() if one.log.ended), None)


class ResponseStore:
    """The responses of a server; used by one event loop.

    Args:
        config: limits of responses and bytes, for all tenants together and for each.
    """

    def __init__(self, config: ServeConfig) -> None:
        self._config = config
        self._all = _Shelf(most=config.stored_responses, most_bytes=config.stored_response_bytes)
        self._tenants: dict[str, _Shelf] = {}
        self._weights: dict[str, int] = {}

    def __len__(self) -> int:
        """The number of kept responses."""
        return len(self._all.kept)

    @property
    def num_bytes(self) -> int:
        """The memory of the kept responses, in bytes."""
        return self._all.num_bytes

    @property
    def keeps(self) -> bool:
        """Whether the store keeps responses at all."""
        return self._config.stored_responses > 0

    def add(self, response: KeptResponse) -> None:
        """Keep a response.

        Raises:
            OverloadedError: the running responses alone are over a bound.
        """
        tenant = self._tenants.setdefault(
            response.tenant, _Shelf(most=self._config.tenant_responses, most_bytes=self._config.tenant_response_bytes)
        )
        self._all.kept[response.id] = tenant.kept[response.id] = response
        self._weights[response.id] = 0
        self.weigh(response)

    def weigh(self, response: KeptResponse) -> None:
        """Count a response's bytes again, and drop the oldest responses that no longer fit.

        Raises:
            OverloadedError: the running responses alone are over a bound; the new response is not kept then.
        """
        if response.id not in self._weights:  # deleted meanwhile
            return
        more = response.num_bytes - self._weights[response.id]
        self._weights[response.id] += more
        tenant = self._tenants[response.tenant]
        tenant.num_bytes += more
        self._all.num_bytes += more
        for shelf in (tenant, self._all):
            self._make_room(shelf, response)

    def _make_room(self, shelf: _Shelf, newest: KeptResponse) -> None:
        alone = self._weights.get(newest.id, 0) > shelf.most_bytes  # no other one need go for it
        while shelf.over:
            oldest = newest if alone and newest.log.ended else None if alone else shelf.oldest_ended()
            if oldest is None:
                self._remove(newest)
                raise OverloadedError(
                    "the responses that are being written here take all the room for responses that are kept "
                    f"({shelf.most} responses, {shelf.most_bytes} bytes); wait for them, or send store: false",
                    retry_after=_RETRY_SECONDS,
                )
            self._remove(oldest)

    def find(self, tenant: str, identity: str) -> KeptResponse | None:
        """The response of an id; None where it is another tenant's or not kept any more."""
        shelf = self._tenants.get(tenant)
        return None if shelf is None else shelf.kept.get(identity)

    def get(self, tenant: str, identity: str) -> KeptResponse:
        """The response of an id.

        Raises:
            HTTPException: 404, it is not kept for this tenant.
        """
        found = self.find(tenant, identity)
        if found is None:
            raise HTTPException(404, self.missing(identity))
        return found

    def missing(self, identity: str) -> str:
        """The error text for an unknown id; it does not reveal whether another tenant has the response."""
        config = self._config
        return (
            f"no response {identity!r} is kept here for your key: it was created with store: false or deleted, the "
            f"server was started anew, or it was the oldest of more than {config.tenant_responses} responses or "
            f"{config.tenant_response_bytes} bytes"
        )

    def delete(self, response: KeptResponse) -> None:
        """Delete a response, and stop writing it."""
        response.cancel()
        self._remove(response)

    def items(self, tenant: str) -> dict[str, str]:
        """All items among a tenant's responses, as JSON, by their ids."""
        shelf = self._tenants.get(tenant)
        responses = [] if shelf is None else shelf.kept.values()
        return {_id(text): text for response in responses for text in (*response.items, *response.output)}

    def _remove(self, response: KeptResponse) -> None:
        weight = self._weights.pop(response.id, None)
        if weight is None:
            return
        tenant = self._tenants[response.tenant]
        for shelf in (tenant, self._all):
            del shelf.kept[response.id]
            shelf.num_bytes -= weight
        if not tenant.kept:
            del self._tenants[response.tenant]


def _id(text: str) -> str:
    """The id of an item, which stands first in it."""
    return text[_ID_BEGINS : text.index('"', _ID_BEGINS)]


def as_json(value: dict[str, Any]) -> str:
    """A value as it is kept."""
    return json.dumps(value, ensure_ascii=False)
