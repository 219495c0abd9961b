"""Random calls of the native library by hypothesis: a wrong call gives an error message, never a crash, and a
right\ncall succeeds.  This file defines the right calls again, in Python.

Another process makes the calls (`drawn_calls.py`): the example that crashes it fails.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lavra.base.native_library import native_library

pytestmark = pytest.mark.skipif(native_library() is None, reason="the native library is not built here")
ROOT = Path(__file__).parents[2]
LEAST, MOST = -(2**31), 2**31 - 1
EXAMPLES = int(os.environ.get("LAVRA_DRAWN_CALLS", "30"))  # of each test
drawn = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
odd = st.sampled_from([LEAST, -2, -1, 0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 32, 33, 40, 41, 1 << 24, MOST])


class Caller:
    """The other process; a new one after a crash."""

    def __init__(self):
        self.process = None

    def ask(self, **asked):
        if self.process is None:
            library = os.environ.get("LAVRA_DRAWN_LIBRARY") or str(native_library().path)
            path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
            command = [sys.executable, str(Path(__file__).parent / "drawn_calls.py"), library]
            preload = {"LD_PRELOAD": os.environ["LAVRA_DRAWN_PRELOAD"]} if "LAVRA_DRAWN_PRELOAD" in os.environ else {}
            environment = {**os.environ, **preload, "PYTHONPATH": path}
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        try:
            self.process.stdin.write(json.dumps(asked).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            self.process = None
            raise AssertionError(f"the process ended with {status} at {asked}")
        return json.loads(line)

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()


@pytest.fixture(scope="module")
def caller():
    made = Caller()
    yield made
    made.close()


# ---- batches ------------------------------------------------------------------------------------------------

GOOD = {"tokens": [1, 2, 3], "blocks": [2, 0], "types": None, "num_tokens": 3, "num_blocks": 2}
GOOD |= {"start": 0, "num_logits": 1, "adapter": -1, "source": -1}
LAST = {"rows": [GOOD], "copies": [], "floats": None}


@st.composite
def rows(draw):
    """A row with right fields, or with one wrong field; lists are at least as long as declared."""
    start, count = draw(st.integers(0, 20)), draw(st.integers(1, 18))
    blocks = draw(st.lists(st.integers(0, 3), min_size=-(-(start + count) // 16), max_size=4))
    row = {**GOOD, "start": start, "num_tokens": count, "num_logits": draw(st.integers(0, count))}
    row |= {
        "blocks": blocks,
        "num_blocks": len(blocks),
        "tokens": draw(st.lists(st.integers(0, 4), min_size=count, max_size=count)),
    }
    wrong = draw(
        st.sampled_from(
            [
                None,
                None,
                "token",
                "block",
                "null",
                "num_blocks",
                "start",
                "num_tokens",
                "num_logits",
                "adapter",
                "source",
                "types",
            ]
        )
    )
    if wrong in ("token", "block") and row[f"{wrong}s"]:
        row[f"{wrong}s"][draw(st.integers(0, len(row[f"{wrong}s"]) - 1))] = draw(odd)
    elif wrong == "null":
        row[draw(st.sampled_from(["tokens", "blocks"]))] = None
    elif wrong == "types":
        row["types"] = draw(st.lists(st.integers(-1, 1), min_size=count, max_size=count))
    elif wrong == "num_blocks":
        row["num_blocks"] = min(draw(odd), len(blocks))
    elif wrong == "num_tokens":  # too many are refused before they are read: blocks have no room for them
        row["num_tokens"] = draw(odd.filter(lambda number: number <= count or start + number > 16 * len(blocks)))
    elif wrong is not None and wrong not in ("token", "block"):
        row[wrong] = draw(odd)
    return row


def is_right(row):
    """Whether a row is right for a decoder with 5 tokens, 40 learned positions and 4 blocks of 16."""
    end = row["start"] + row["num_tokens"]
    return (
        row["num_tokens"] >= 1
        and row["start"] >= 0
        and 0 <= row["num_logits"] <= row["num_tokens"]
        and row["tokens"] is not None
        and row["blocks"] is not None
        and all(0 <= token < 5 for token in row["tokens"][: row["num_tokens"]])
        and all(0 <= block < 4 for block in row["blocks"][: max(0, row["num_blocks"])])
        and end <= min(40, 16 * row["num_blocks"])
        and (row["adapter"], row["source"]) == (-1, -1)
        and row["types"] is None
    )


@st.composite
def batches(draw):
    copies = draw(st.lists(st.integers(0, 3) | odd, max_size=4).filter(lambda numbers: len(numbers) % 2 == 0))
    floats = draw(st.none() | st.integers(0, 400)) if draw(st.integers(0, 3)) == 0 else None
    return {"rows": draw(st.lists(rows(), max_size=3)), "copies": copies, "floats": floats}


def is_right_batch(batch):
    wanted = 5 * sum(row["num_logits"] for row in batch["rows"])
    return (
        batch["rows"] != []
        and all(is_right(row) for row in batch["rows"])
        and all(0 <= block < 4 for block in batch["copies"])
        and batch["floats"] in (None, wanted)
    )


@drawn
@given(cache=st.integers(0, 2), asked=st.lists(batches(), min_size=1, max_size=4))
def test_batches(caller, cache, asked):
    """Right ones have finite logits; and a last batch has the same bits as alone, after any refusals before."""
    *answers, last = caller.ask(call="batches", cache=cache, given=[*asked, LAST])
    for batch, answer in zip(asked, answers, strict=True):
        right = isinstance(answer, list)
        assert right == is_right_batch(batch), answer
        assert all(math.isfinite(one) for one in answer) if right else answer
    assert [last] == caller.ask(call="batches", cache=cache, given=[LAST])


# ---- tensors ------------------------------------------------------------------------------------------------

PLACES = {
    "embedding.token.weight": (5, 8),
    "decoder.blocks.0.attention.key.weight": (4, 8),
    "decoder.blocks.0.attention_norm.weight": (1, 8),
}
BITS = [32, 16, 16, 8, 4]


def wanted_bytes(one):
    """Bytes of a tensor's rows and of its scales."""
    group = one["group"]
    multiple = max(group, 8 if one["type"] == 4 else 1)
    columns = -(-one["columns"] // multiple) * multiple if one["type"] >= 3 else one["columns"]
    groups = -(-one["columns"] // group) if group else 1
    return one["rows"] * columns * BITS[one["type"]] // 8, one["rows"] * groups * 2


@st.composite
def tensors(draw):
    name = draw(st.sampled_from([*PLACES, "no.such"]))
    rows, columns = PLACES.get(name, (5, 8))
    one = {
        "name": name,
        "type": draw(st.integers(0, 4)),
        "rows": rows,
        "columns": columns,
        "data": True,
        "scales": True,
    }
    one["group"] = draw(st.sampled_from([0, 0, 8, 32, 64]))
    one["num_bytes"], one["num_scale_bytes"] = wanted_bytes(one)
    wrong = draw(
        st.sampled_from(
            [None, None, "type", "rows", "columns", "group", "num_bytes", "num_scale_bytes", "data", "scales"]
        )
    )
    if wrong in ("data", "scales"):
        one[wrong] = False
    elif wrong in ("num_bytes", "num_scale_bytes"):
        one[wrong] = draw(odd.filter(lambda number: number >= 0) | st.just(2**63))
    elif wrong is not None:
        one[wrong] = draw(odd)
    return one


def is_right_tensor(one, before):
    if one["name"] not in PLACES or (one["rows"], one["columns"]) != PLACES[one["name"]] or not 0 <= one["type"] <= 4:
        return False
    group, integers = one["group"], one["type"] >= 3
    if one["name"] in before or not 0 <= group <= 1 << 24 or group % 8 or not one["data"]:
        return False
    num_bytes, num_scales = wanted_bytes(one)
    if one["num_bytes"] != num_bytes or (integers and (one["num_scale_bytes"] != num_scales or not one["scales"])):
        return False
    return not integers or (group % 32 == 0 and not one["name"].endswith("norm.weight"))


@drawn
@given(asked=st.lists(tensors(), min_size=1, max_size=5))
def test_tensors(caller, asked):
    before = set()
    for one, error in zip(asked, caller.ask(call="tensors", given=asked), strict=True):
        right = is_right_tensor(one, before)
        assert (error == "") == right, (one, error)
        before |= {one["name"]} if right else set()


# ---- configurations -----------------------------------------------------------------------------------------

SWITCHES = ["gated", "embedding_norm", "final_norm", "has_head", "tie_embeddings", "head_transform", "has_pooler"]
SWITCHES += ["attention_bias", "attention_output_bias", "feed_forward_bias", "head_bias", "scale_by_layer"]
SIZES = [
    "vocab_size",
    "hidden_size",
    "num_layers",
    "num_decoder_layers",
    "num_heads",
    "num_kv_heads",
    "head_dim",
    "feed_forward_size",
]
SIZES += ["max_positions", "position_offset", "num_token_types", "relative_buckets", "relative_distance"]
KINDS = {"kind": 2, "layout": 3, "norm": 1, "activation": 3, "head_activation": 3, "positions": 3}


@st.composite
def configurations(draw):
    """Small configurations of any family; one in three has one wrong number."""
    config = {name: draw(st.integers(0, most)) for name, most in KINDS.items()}
    config |= {name: draw(st.integers(0, 1)) for name in SWITCHES}
    config |= {name: draw(st.integers(1, 40)) for name in SIZES}
    group, kv_heads = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    config |= {"num_heads": group * kv_heads, "num_kv_heads": kv_heads, "head_dim": 2 * draw(st.integers(1, 20))}
    config |= {"num_layers": draw(st.integers(1, 3)), "num_decoder_layers": draw(st.integers(1, 2))}
    config |= {"relative_buckets": draw(st.integers(4, 32)), "relative_distance": draw(st.integers(33, 128))}
    if draw(st.integers(0, 2)) == 0:
        config[draw(st.sampled_from([*KINDS, *SIZES]))] = draw(odd)
    return config


@drawn
@given(config=configurations(), precision=st.sampled_from([0, 2]))
def test_configurations(caller, config, precision):
    """A model of any configuration is refused, or reads a text, or gives an error."""
    answers = caller.ask(call="configured", config=config, precision=precision)
    assert all(isinstance(one, str) for one in answers)
    if answers[0] or answers[1:] == ["too large"]:
        return
    _, source, forward = answers[1:]
    assert (source == "") <= (config["kind"] == 2), source
    if config["kind"] != 1 and config["has_head"] and (config["positions"] != 0 or config["max_positions"] >= 3):
        assert forward == "", forward


# ---- choices ------------------------------------------------------------------------------------------------


@st.composite
def choices(draw):
    size = draw(st.integers(1, 300))
    ids = st.lists(st.integers(0, size - 1), max_size=4, unique=True)
    random = np.random.default_rng(draw(st.integers(0, 99)))
    asked = {"logits": random.normal(scale=4, size=size).astype(np.float32).tolist()}
    asked |= {name: draw(ids) for name in ("seen", "bias_ids", "forbidden")}
    asked |= {
        "num_tokens": draw(st.integers(1, size)),
        "top_k": draw(st.integers(0, size)),
        "most_top": draw(st.integers(0, 4)),
    }
    asked |= {"temperature": draw(st.floats(0, 3)), "top_p": draw(st.floats(0.01, 1)), "min_p": draw(st.floats(0, 1))}
    asked |= {
        "repetition_penalty": 1.1,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.1,
        "logprob": draw(st.integers(0, 1)),
    }
    asked["num_top"] = draw(st.integers(0, min(asked["most_top"], asked["num_tokens"])))
    asked["logprob"] |= asked["num_top"] > 0  # without it none are looked for
    wrong = draw(
        st.sampled_from(
            [
                None,
                None,
                "seen",
                "bias_ids",
                "forbidden",
                "num_tokens",
                "top_k",
                "num_top",
                "most_top",
                "temperature",
                "top_p",
                "min_p",
                "logits",
            ]
        )
    )
    if wrong in ("seen", "bias_ids", "forbidden"):
        asked[wrong] = [*asked[wrong], draw(odd)]
    elif wrong == "logits":
        asked["logits"][draw(st.integers(0, size - 1))] = draw(st.sampled_from([math.inf, -math.inf, math.nan]))
    elif wrong == "most_top":  # there is no room for more
        asked["most_top"] = draw(st.sampled_from([LEAST, -1, 0]))
    elif wrong is not None:
        asked[wrong] = draw(odd if wrong in ("num_tokens", "top_k", "num_top") else st.floats(width=32))
    asked["counts"], asked["biases"] = [1] * len(asked["seen"]), [0.5] * len(asked["bias_ids"])
    asked |= {
        "num_seen": len(asked["seen"]),
        "num_biases": len(asked["bias_ids"]),
        "num_forbidden": len(asked["forbidden"]),
    }
    return asked | {"uniforms": draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=4, max_size=4))}


@drawn
@given(asked=choices())
def test_choices(caller, asked):
    """A chosen id is allowed; the likeliest ids are allowed ids, each once."""
    error, *rest = caller.ask(call="choices", **asked)
    if error:
        return
    token, refused, ids = rest
    if refused:  # nothing else of it means anything
        return
    forbidden = set(asked["forbidden"])
    assert 0 <= token < asked["num_tokens"]
    assert token not in forbidden
    found = ids[: asked["num_top"]] if asked["most_top"] > 0 else []
    assert len(set(found)) == len(found)
    assert all(0 <= one < len(asked["logits"]) for one in found)
