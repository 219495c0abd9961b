"""The adapters that an engine serves over one base; the base and each adapter turn requests into ids.

A runner knows an adapter by its name alone (`ForwardRow.adapter`).  The engine needs two more facts: the virtual tokens
that a soft prompt or a prefix puts in front of a text (ids behind the vocabulary, which no tokenizer has), and a hash
that separates one adapter's keys and values from another's, so that the prefix cache never mixes them.

Adapters are loaded with the engine and stay: loading and unloading while it runs is not supported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lavra.base.errors import ContextLengthError, InputError, nearest
from lavra.base.types import GenerateRequest, ScoreRequest
from lavra.engine.blocks import chain_hash
from lavra.generate.planned_request import PlannedRequest, plan_request
from lavra.generate.prompt_encoding import PromptEncoding
from lavra.generate.target import GenerationTarget, plan_score
from lavra.generate.virtual_tokens import NO_VIRTUAL_TOKENS, VirtualTokens


@dataclass(frozen=True, kw_only=True)
class EngineAdapter:
    """An adapter of a runner.

    Attributes:
        name: name of the adapter in requests and rows.
        version: changes when its weights do.
        front: its virtual tokens.
    """

    name: str
    version: str = ""
    front: VirtualTokens = NO_VIRTUAL_TOKENS

    @property
    def virtual_tokens(self) -> int:
        """Number of all its virtual tokens."""
        return len(self.front.prompt) + len(self.front.source)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The model itself, or the model with one adapter, with its encoding of requests.

    Attributes:
        encoding: the model's encoding, its contexts shorter by the virtual tokens.
        root: hash of everything besides tokens that its blocks depend on.
        adapter: name of the active adapter; `None` is the model itself.
    """

    encoding: PromptEncoding
    root: bytes
    adapter: EngineAdapter | None = None

    @property
    def name(self) -> str | None:
        """The adapter's name."""
        return None if self.adapter is None else self.adapter.name

    @property
    def prompt(self) -> tuple[int, ...]:
        """Virtual tokens in front of the decoder's text."""
        return () if self.adapter is None else self.adapter.front.prompt

    @property
    def virtual_tokens(self) -> int:
        """Virtual tokens in front of the prompt and of the source."""
        return 0 if self.adapter is None else self.adapter.virtual_tokens

    def plan(self, request: GenerateRequest) -> PlannedRequest:
        """The request, planned in the room that the virtual tokens leave; errors as `plan_request`."""
        if not self.virtual_tokens:
            return plan_request(request, self.encoding)
        try:
            plan = plan_request(request, self.encoding)
        except ContextLengthError as error:
            raise ContextLengthError(f"{error}; {self._tokens_taken}") from None
        if plan.truncated_tokens or plan.max_tokens < request.max_tokens:
            return replace(plan, warnings=(*plan.warnings, self._tokens_taken))
        return plan

    def target(self, request: ScoreRequest) -> GenerationTarget:
        """The target of a score request."""
        return plan_score(request, self.encoding)

    def with_front(self, source: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """A source behind its virtual tokens."""
        return source if source is None or self.adapter is None else (*self.adapter.front.source, *source)

    def root_of(self, source: tuple[int, ...] | None) -> bytes:
        """The hash of everything besides its tokens that the blocks of a text over this source depend on."""
        return self.root if source is None else chain_hash(self.root, source)

    @property
    def _tokens_taken(self) -> str:
        return f"adapter {self.name!r} takes {self.virtual_tokens} tokens of the context for itself"


class Variants:
    """The model itself and the model with each adapter, by name.

    Args:
        encoding: the model's encoding.
        root: name and version of the model.
        adapters: adapters with different names.
        usual: the adapter of requests that name no adapter; `None` is the model itself.

    Raises:
        InputError: two adapters have the same name, an adapter's virtual tokens leave no room, or `usual` is unknown.
    """

    def __init__(
        self, encoding: PromptEncoding, root: str, adapters: Sequence[EngineAdapter] = (), usual: str | None = None
    ) -> None:
        self._usual = Variant(encoding=encoding, root=root.encode())
        self._by_name: dict[str, Variant] = {}
        for adapter in adapters:
            if adapter.name in self._by_name:
                raise InputError(f"two adapters are called {adapter.name!r}; give one of them another name")
            self._by_name[adapter.name] = Variant(
                encoding=adapter.front.behind(encoding, f"adapter {adapter.name!r}"),
                root=_root(root, adapter),
                adapter=adapter,
            )
        self._usual = self.named(usual)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the adapters."""
        return tuple(self._by_name)

    def named(self, name: str | None) -> Variant:
        """The variant for the adapter that a request names.

        Raises:
            InputError: the adapter is unknown.
        """
        if name is None:
            return self._usual
        if name not in self._by_name:
            known = nearest(name, self._by_name) if self._by_name else "; this engine has none, leave adapter out"
            raise InputError(f"there is no adapter {name!r}{known}")
        return self._by_name[name]


def _root(base: str, adapter: EngineAdapter) -> bytes:
    """The root of an adapter, hashed part by part: no name and version can be read together as another name."""
    parts = [hashlib.blake2b(part.encode(), digest_size=16).digest() for part in (base, adapter.name, adapter.version)]
    return b"".join(parts)
