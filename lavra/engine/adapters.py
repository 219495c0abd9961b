"""The adapters an engine serves over one base, and how the base and each of them meet a request.

A runner knows an adapter by its name alone (`ForwardRow.adapter`).  The engine must know two things more: which tokens
a soft prompt or a prefix puts in front of a text (ids behind the vocabulary, which no tokenizer has), and what tells
one adapter's keys and values from another's, so that the prefix cache never mixes them.

Adapters come with the engine and stay: loading and unloading while it runs is not here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lavra.base.errors import ContextLengthError, InputError, nearest
from lavra.base.types import GenerateRequest, ScoreRequest
from lavra.engine.blocks import chain_hash
from lavra.generate.front import NO_FRONT, Front
from lavra.generate.plan import DecodingPlan, PromptReading, plan_request
from lavra.generate.target import GenerationTarget, plan_score


@dataclass(frozen=True, kw_only=True)
class EngineAdapter:
    """One adapter of a runner.

    Attributes:
        name: as requests and rows give it.
        version: changes when its weights do.
        front: its virtual tokens.
    """

    name: str
    version: str = ""
    front: Front = NO_FRONT

    @property
    def virtual_tokens(self) -> int:
        """All of its virtual tokens."""
        return len(self.front.prompt) + len(self.front.source)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The model itself or with one adapter, as requests meet it.

    Attributes:
        reading: the model's, its contexts shorter by the virtual tokens.
        root: what its blocks depend on besides tokens.
        adapter: which acts; `None` is the model itself.
    """

    reading: PromptReading
    root: bytes
    adapter: EngineAdapter | None = None

    @property
    def name(self) -> str | None:
        """The adapter's name."""
        return None if self.adapter is None else self.adapter.name

    @property
    def prompt(self) -> tuple[int, ...]:
        """Virtual tokens in front of what the decoder reads."""
        return () if self.adapter is None else self.adapter.front.prompt

    @property
    def virtual_tokens(self) -> int:
        """Virtual tokens in front of the prompt and of the source."""
        return 0 if self.adapter is None else self.adapter.virtual_tokens

    def plan(self, request: GenerateRequest) -> DecodingPlan:
        """The request, planned in the room the virtual tokens leave; errors as `plan_request`."""
        if not self.virtual_tokens:
            return plan_request(request, self.reading)
        try:
            plan = plan_request(request, self.reading)
        except ContextLengthError as error:
            raise ContextLengthError(f"{error}; {self._room_taken}") from None
        if plan.truncated_tokens or plan.max_tokens < request.max_tokens:
            return replace(plan, warnings=(*plan.warnings, self._room_taken))
        return plan

    def target(self, request: ScoreRequest) -> GenerationTarget:
        """What is to be scored."""
        return plan_score(request, self.reading)

    def with_front(self, source: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """A source behind its virtual tokens."""
        return source if source is None or self.adapter is None else (*self.adapter.front.source, *source)

    def root_of(self, source: tuple[int, ...] | None) -> bytes:
        """What the blocks of a text over this source depend on besides its tokens."""
        return self.root if source is None else chain_hash(self.root, source)

    @property
    def _room_taken(self) -> str:
        return f"adapter {self.name!r} takes {self.virtual_tokens} tokens of the context for itself"


class Variants:
    """The model itself and with each adapter, by name.

    Args:
        reading: the model's.
        root: its name and version.
        adapters: names differ.
        usual: the adapter of requests that name none; `None` is the model itself.

    Raises:
        InputError: two adapters have one name, the virtual tokens of one leave no room, or there is no such usual one.
    """

    def __init__(
        self, reading: PromptReading, root: str, adapters: Sequence[EngineAdapter] = (), usual: str | None = None
    ) -> None:
        self._usual = Variant(reading=reading, root=root.encode())
        self._by_name: dict[str, Variant] = {}
        for adapter in adapters:
            if adapter.name in self._by_name:
                raise InputError(f"two adapters are called {adapter.name!r}; give one of them another name")
            self._by_name[adapter.name] = Variant(
                reading=adapter.front.behind(reading, f"adapter {adapter.name!r}"),
                root=_root(root, adapter),
                adapter=adapter,
            )
        self._usual = self.named(usual)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the adapters."""
        return tuple(self._by_name)

    def named(self, name: str | None) -> Variant:
        """The one a request asks for.

        Raises:
            InputError: there is no such adapter.
        """
        if name is None:
            return self._usual
        if name not in self._by_name:
            known = nearest(name, self._by_name) if self._by_name else "; this engine has none, leave adapter out"
            raise InputError(f"there is no adapter {name!r}{known}")
        return self._by_name[name]


def _root(base: str, adapter: EngineAdapter) -> bytes:
    """Hashed part by part: no name can be chosen such that it and a version read like another name."""
    parts = [hashlib.blake2b(part.encode(), digest_size=16).digest() for part in (base, adapter.name, adapter.version)]
    return b"".join(parts)
