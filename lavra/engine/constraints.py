"""Text that must match: a JSON schema, a regular expression or a grammar decides which tokens may come next.

llguidance walks the grammar byte by byte and says which tokens fit (https://github.com/guidance-ai/llguidance); a
token that does not fit has no probability, and the text ends where the grammar does.

JSON is written without optional white space: a small model would otherwise write nothing else until its last token.
"""

from __future__ import annotations

import json
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lavra.base.errors import InputError, MissingDependencyError
from lavra.base.types import Constraint, ConstraintKind
from lavra.tokens.tokenizer import Tokenizer

_KEPT = 64  # grammars ready to use
_MOST_CHARACTERS = 200_000  # of a grammar
_MOST_DEPTH = 64  # of a schema: what nests deeper is an attack, not a form


class Matcher:
    """A grammar, and how far one text has come in it."""

    def __init__(self, matcher: Any, vocab_size: int) -> None:
        self._matcher, self._vocab_size = matcher, vocab_size

    def allowed(self) -> npt.NDArray[np.bool_]:
        """(V,) True where a token may come next.

        Raises:
            InputError: the grammar is too complex to go on.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        if self._matcher.is_error():
            raise InputError(f"the constraint cannot be followed further: {self._matcher.get_error()}")
        return np.unpackbits(bits, bitorder="little")[: self._vocab_size].astype(bool)

    def push(self, token: int) -> None:
        """A token was chosen."""
        self._matcher.consume_token(token)

    @property
    def finished(self) -> bool:
        """Whether nothing can follow."""
        return bool(self._matcher.is_stopped())

    @property
    def satisfied(self) -> bool:
        """Whether the text could end here."""
        return bool(self._matcher.is_accepting())


class Constraints:
    """Compiles constraints for one tokenizer and keeps the latest ones.

    Args:
        tokenizer: whose tokens are chosen.
        stop_ids: tokens that end a text.
        vocab_size: V, of the logits.
    """

    def __init__(self, tokenizer: Tokenizer, stop_ids: frozenset[int], vocab_size: int) -> None:
        self._tokenizer, self._stop_ids, self._vocab_size = tokenizer, stop_ids, vocab_size
        self._ready: OrderedDict[Constraint, Any] = OrderedDict()
        self._spelling: Any = None

    def matcher(self, constraint: Constraint) -> Matcher:
        """A fresh matcher.

        Raises:
            InputError: the grammar is malformed, too large, or asks for what cannot be enforced.
            MissingDependencyError: llguidance is not installed.
        """
        if constraint not in self._ready:
            self._ready[constraint] = self._compile(constraint)
            while len(self._ready) > _KEPT:
                self._ready.popitem(last=False)
        self._ready.move_to_end(constraint)
        return Matcher(self._ready[constraint].deep_copy(), self._vocab_size)

    def _compile(self, constraint: Constraint) -> Any:
        try:
            import llguidance  # noqa: PLC0415 - only constrained requests need it
        except ImportError:
            raise MissingDependencyError("llguidance", "a constraint on the answer", "serve") from None
        if len(constraint.text) > _MOST_CHARACTERS:
            raise InputError(
                f"the constraint has {len(constraint.text)} characters and at most {_MOST_CHARACTERS} are read"
            )
        if self._spelling is None:
            self._spelling = self._spell(llguidance)
        grammar = _grammar(llguidance, constraint)
        bad, notes = llguidance.LLMatcher.validate_grammar_with_warnings(grammar, self._spelling)
        if bad:
            reason = notes[0].strip().splitlines()[0][:300]
            raise InputError(f"the {constraint.kind.value} cannot be enforced: {reason}")
        return llguidance.LLMatcher(self._spelling, grammar, log_level=0)

    def _spell(self, llguidance: Any) -> Any:
        """What llguidance must know of the tokenizer: it reads `tokenizer.json`."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tokenizer.json"
            path.write_text(self._tokenizer.backend.to_str(), encoding="utf-8")
            # It knows one end; where a model has several, its own first, since the others would mean the same.
            own = self._tokenizer.eos_id
            end = own if own in self._stop_ids else min(self._stop_ids, default=None)
            return llguidance.LLTokenizer(str(path), n_vocab=self._vocab_size, eos_token=end)


def _grammar(llguidance: Any, constraint: Constraint) -> str:
    compiler = llguidance.LLMatcher
    if constraint.kind is ConstraintKind.REGEX:
        return str(compiler.grammar_from_regex(constraint.text))
    if constraint.kind is ConstraintKind.GRAMMAR:
        return str(compiler.grammar_from_lark(constraint.text))
    try:
        schema = json.loads(constraint.text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the JSON schema is not JSON: {error}") from None
    if _depth(schema) > _MOST_DEPTH:
        raise InputError(f"the JSON schema nests deeper than {_MOST_DEPTH} levels; flatten it")
    if not isinstance(schema, dict):
        raise InputError('the JSON schema is not an object; give one such as {"type": "object"}')
    try:
        return str(compiler.grammar_from_json_schema(schema, overrides={"whitespace_flexible": False}))
    except ValueError as error:  # such as an integer of more than 64 bits
        raise InputError(f"the JSON schema cannot be enforced: {str(error)[:300]}") from None


def _depth(value: object, level: int = 0) -> int:
    if level > _MOST_DEPTH:
        return level
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max((_depth(one, level + 1) for one in inner), default=level)
