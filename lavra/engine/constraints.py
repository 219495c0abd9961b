"""Constraints on text: a JSON schema, a regular expression or a grammar decides which tokens may come next.

llguidance walks the grammar byte by byte and returns the allowed tokens (https://github.com/guidance-ai/llguidance); a
forbidden token has no probability, and the text ends where the grammar ends.

JSON is written without optional white space: a small model would otherwise write only white space until its last token.
A client's schema is rewritten first (`lavra.engine.schema`), since the library interprets some keywords differently.
The library's error messages go to the log: they contain its inner state.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lavra.base.errors import InputError, MissingDependencyError
from lavra.base.types import Constraint, ConstraintKind
from lavra.engine.schema.prepare import prepare_schema
from lavra.tokens.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

_KEPT = 64  # grammars ready to use
_MOST_CHARACTERS = 200_000  # most characters of a grammar
_MOST_RULES = 2_000  # most rules of a grammar in GBNF
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|x[0-9A-Fa-f]{2}|.)", re.DOTALL)


class Matcher:
    """A grammar, and the position of one text in it.

    Attributes:
        warnings: parts of the constraint that are not enforced.
    """

    def __init__(self, matcher: Any, vocab_size: int, warnings: tuple[str, ...] = ()) -> None:
        self._matcher, self._vocab_size, self.warnings = matcher, vocab_size, warnings

    def allowed(self) -> npt.NDArray[np.bool_]:
        """(V,) True where a token may come next; raises as `allowed_bits`."""
        bits = np.frombuffer(self.allowed_bits(), dtype=np.uint8)
        return np.unpackbits(bits, bitorder="little")[: self._vocab_size].astype(bool)

    def allowed_bits(self) -> bytes:
        """A bit for each token, the lowest bit of a byte first, set if the token is allowed next.

        Raises:
            InputError: the grammar is too complex to continue.
        """
        bits: bytes = self._matcher.compute_bitmask()
        if self._matcher.is_error():
            logger.warning("a constraint could not be followed further: %s", self._matcher.get_error())
            raise InputError(
                "the answer could not be continued under its constraint, which is too complex at this place; "
                "make it simpler, or ask again"
            )
        return bits

    def push(self, token: int) -> None:
        """Add a chosen token; a forbidden token shows in `allowed`, which ends this text alone."""
        self._matcher.consume_token(token)

    @property
    def finished(self) -> bool:
        """Whether the text is complete and no token can follow."""
        return bool(self._matcher.is_stopped() and not self._matcher.is_error() and self._matcher.is_accepting())

    @property
    def satisfied(self) -> bool:
        """Whether the text could end here."""
        return bool(self._matcher.is_accepting())


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A compiled grammar, which each text copies."""

    matcher: Any
    warnings: tuple[str, ...]


class Constraints:
    """Compiles constraints for one tokenizer and keeps the latest; callable from any thread.

    Args:
        tokenizer: tokenizer of the text.
        stop_ids: tokens that end a text.
        vocab_size: V, the size of the logits.
    """

    def __init__(self, tokenizer: Tokenizer, stop_ids: frozenset[int], vocab_size: int) -> None:
        self._tokenizer, self._stop_ids, self._vocab_size = tokenizer, stop_ids, vocab_size
        self._ready: OrderedDict[Constraint, _Compiled] = OrderedDict()
        self._lock = threading.Lock()
        self._spelling: Any = None

    def matcher(self, constraint: Constraint) -> Matcher:
        """A fresh matcher.

        Raises:
            InputError: the grammar is malformed, too large, or has a part that cannot be enforced.
            MissingDependencyError: llguidance is not installed.
        """
        with self._lock:
            found = self._ready.get(constraint)
        if found is None:
            found = self._compile(constraint)  # without the lock: others need not wait for it
        with self._lock:
            self._ready[constraint] = found
            self._ready.move_to_end(constraint)
            while len(self._ready) > _KEPT:
                self._ready.popitem(last=False)
            return Matcher(found.matcher.deep_copy(), self._vocab_size, found.warnings)

    def _compile(self, constraint: Constraint) -> _Compiled:
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
        grammar, warnings = _grammar(llguidance, constraint)
        limits = llguidance.LLParserLimits(verbose_errors=False)
        matcher = llguidance.LLMatcher(self._spelling, grammar, log_level=0, limits=limits)
        if matcher.is_error():
            raise _refused(constraint.kind, matcher.get_error())
        return _Compiled(matcher, warnings)

    def _spell(self, llguidance: Any) -> Any:
        """The tokenizer in llguidance's form, which reads `tokenizer.json`."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tokenizer.json"
            path.write_text(self._tokenizer.backend.to_str(), encoding="utf-8")
            # It knows one end; where a model has several, its own first, since the others would mean the same.
            own = self._tokenizer.eos_id
            end = own if own in self._stop_ids else min(self._stop_ids, default=None)
            return llguidance.LLTokenizer(str(path), n_vocab=self._vocab_size, eos_token=end)


def _grammar(llguidance: Any, constraint: Constraint) -> tuple[str, tuple[str, ...]]:
    """A constraint as a grammar for the library, and warnings about parts that are not enforced."""
    compiler = llguidance.LLMatcher
    if constraint.kind is ConstraintKind.REGEX:
        return str(compiler.grammar_from_regex(constraint.text)), ()
    if constraint.kind is ConstraintKind.GRAMMAR:
        return str(compiler.grammar_from_lark(_in_lark(constraint.text))), ()
    try:
        schema = json.loads(constraint.text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the JSON schema is not JSON: {error}") from None
    prepared = prepare_schema(schema)
    try:
        grammar = compiler.grammar_from_json_schema(prepared.schema, overrides={"whitespace_flexible": False})
    except ValueError as error:  # such as an integer of more than 64 bits
        raise InputError(f"the JSON schema cannot be enforced: {str(error)[:300]}") from None
    return str(grammar), prepared.warnings


def _in_lark(text: str) -> str:
    """A grammar in Lark's notation; llama.cpp's GBNF is rewritten."""
    rules = text.count("::=")
    if not rules:
        return text
    if rules > _MOST_RULES:
        raise InputError(f"the grammar (GBNF) has {rules} rules and at most {_MOST_RULES} are read")
    from llguidance.gbnf_to_lark import gbnf_to_lark  # noqa: PLC0415 - as above

    try:
        return str(gbnf_to_lark(_ESCAPE.sub(_character, text)))
    except (IndexError, RecursionError):
        raise InputError("the grammar (GBNF) cannot be read: it ends too early, or nests too deep") from None
    except Exception as error:
        raise InputError(f"the grammar (GBNF) cannot be read: {str(error)[:300]}") from None


def _character(escape: re.Match[str]) -> str:
    """Replace an escape by its character, since the library has no numeric escapes; control characters stay escaped."""
    if len(escape[1]) == 1:
        return escape[0]
    number = int(escape[1][1:], 16)
    if number > sys.maxunicode or 0xD800 <= number <= 0xDFFF:
        raise ValueError(f"{escape[0]} is not a character")
    if number < 128 and not chr(number).isalnum():
        return f"\\x{number:02x}"
    return chr(number)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON's")


def _refused(kind: ConstraintKind, reason: str) -> InputError:
    """The error for a refused grammar: for a schema in the schema's terms, for a notation with the mistake in it."""
    logger.info("a %s was refused: %s", kind.value, reason)
    first = reason.strip().splitlines()[0] if reason.strip() else ""
    if kind is not ConstraintKind.JSON_SCHEMA:
        return InputError(f"the {kind.value} cannot be enforced: {first[:300]}")
    for part, sentence in _REASONS:
        if part in reason:
            return InputError(f"the JSON schema cannot be enforced: {sentence}")
    return InputError("the JSON schema cannot be enforced: it is too complex; make its patterns and counts simpler")


# The library's errors, in a schema's terms.
_REASONS = (
    ("Regex is empty", "pattern, format, minLength and maxLength together leave no string; loosen one"),
    ("if regex is empty", "a pattern with minLength or maxLength is too complex; leave the lengths out"),
    ("nsatisfiable", "pattern, format, minLength and maxLength together leave no string; loosen one"),
    ("disjoint", "patternProperties may match the same name; write patterns that exclude each other"),
    ("lookaround", "a pattern has ^ or $ in its middle; write them only at its ends"),
    ("regex", "a pattern is too complex, or malformed; write it simpler"),
)
