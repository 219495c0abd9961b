"""Schemas with values that satisfy them and values that do not, and the faults of their constraints.

`schemas.jsonl` is written by hand after the categories of JSONSchemaBench (Geng et al. 2025): each line has a category,
a keyword, a schema, and either values that satisfy it and values that do not, or the text of the refusal.  Texts are
spelled byte by byte, so that the constraint decides every token.
"""

import json
import math
import random
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import jsonschema_rs
import numpy as np
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers

from lavra.base.errors import InputError
from lavra.base.types import Constraint, ConstraintKind
from lavra.engine.constraints import Constraints

CASES = [
    json.loads(line) for line in Path(__file__).with_name("schemas.jsonl").read_text(encoding="utf-8").splitlines()
]
END = 256
CLOSING = np.array([b in b'"}]:,' for b in range(256)] + [True])


class ByteTokens:
    """A tokenizer for constraints in which every byte is a token."""

    eos_id = END

    def __init__(self):
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        backend = Backend(models.BPE({char: number for number, char in enumerate(_in_byte_order(alphabet))}, []))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        backend.add_special_tokens(["<end>"])
        self.backend = backend


def _in_byte_order(alphabet):
    """GPT-2's letters for bytes: printable ones stand for themselves, the others follow from U+0100."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    letters = [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
    assert sorted(letters) == alphabet
    return letters


@cache
def constraints():
    return Constraints(ByteTokens(), frozenset({END}), END + 1)


def matcher_of(schema):
    return constraints().matcher(as_constraint(schema))


def as_constraint(schema):
    return Constraint(ConstraintKind.JSON_SCHEMA, json.dumps(schema))


def spelled(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def accepted(constraint, text):
    """Whether a text may be written byte by byte and end there."""
    matcher = constraints().matcher(constraint)
    for byte in text.encode():
        if not matcher.allowed()[byte]:
            return False
        matcher.push(byte)
    return matcher.satisfied


def accepts(schema, text):
    return accepted(as_constraint(schema), text)


def drawn(schema, seed, most=600):
    """A text drawn through the mask; `None` if it did not end."""
    matcher, chance, text = matcher_of(schema), random.Random(seed), bytearray()
    patience = chance.choice((0, 5, 40))
    while not matcher.finished:
        allowed = matcher.allowed()
        assert allowed.any(), (schema, bytes(text))
        if len(text) > patience and (allowed & CLOSING).any() and chance.random() < 0.8:
            allowed = allowed & CLOSING
            if allowed[END]:
                break
            allowed[ord(",")] &= not (allowed[ord("}")] or allowed[ord("]")])
        token = chance.choice(np.flatnonzero(allowed).tolist())
        if token == END:
            break
        text.append(token)
        matcher.push(token)
        if len(text) > most:
            return None
    return text.decode()


def is_valid(schema, text):
    value = json.loads(text, parse_float=_double)
    json.dumps(value, ensure_ascii=False).encode()  # no half surrogates
    return validator(json.dumps(schema)).is_valid(value)


def _double(text):
    """JSON's numbers have no limit; the reference's numbers have one."""
    value = float(text)
    return value if math.isfinite(value) else math.copysign(1e300, value)


@cache
def validator(text):
    return jsonschema_rs.validator_for(json.loads(text), validate_formats=True)


def faults(case, draws):
    """Faults of a schema's constraint."""
    schema = case["schema"]
    if case["expected"] == "refused":
        try:
            matcher_of(schema)
        except InputError as error:
            return [] if case["says"] in str(error) else [f"says {error}"]
        return ["is not refused"]
    found = []
    try:
        matcher_of(schema)
    except InputError as error:
        return [f"is refused: {error}"]
    for value in case["valid"]:
        if not is_valid(schema, spelled(value)):
            found.append(f"the case is wrong: {value!r} is not valid")
        if not accepts(schema, spelled(value)):
            found.append(f"rejects {value!r}")
    for value in case["invalid"]:
        if is_valid(schema, spelled(value)):
            found.append(f"the case is wrong: {value!r} is valid")
        if accepts(schema, spelled(value)):
            found.append(f"accepts {value!r}")
    for seed in range(draws):
        text = drawn(schema, seed)
        if text is not None and not is_valid(schema, text):
            found.append(f"draws {text!r}")
    return found


def main(draws=40, write=sys.stdout.write):
    """Print the numbers of enforced, refused and wrong schemas by category."""
    counts = Counter()
    for case in CASES:
        found = faults(case, draws)
        counts[case["category"], "wrong" if found else case["expected"]] += 1
        for one in found:
            write(f"{case['category']}, {case['keyword']}: {one}\n")
    for category in dict.fromkeys(case["category"] for case in CASES):
        row = [str(counts[category, one]) for one in ("enforced", "refused", "wrong")]
        write(f"| {category} | {' | '.join(row)} |\n")
    return counts


if __name__ == "__main__":
    main()
