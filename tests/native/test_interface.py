"""Wrong calls of the native library: a wrong size, number or pointer gives an error message, never a crash."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lavra.base.native_library import native_library

pytestmark = pytest.mark.skipif(native_library() is None, reason="the native library is not built here")
ROOT = Path(__file__).parents[2]
# What a message has to name, of some calls.
WORDS = {
    "config vocab_size 2147483647": "vocab_size is 2147483647",
    "isa unknown": "sse9",
    "tensor rows -1": "(-1, 8)",
    "tensor bytes short": "159 bytes",
    "tensor scales null": "scales",
    "finish incomplete": "tensors are missing: ",
    "runner incomplete": "lavra_model_finish",
    "batch token 5": "token 5; the vocabulary has 5",
    "batch block 4": "block 4; there are 4",
    "batch start beyond blocks": "ends at position 33 and has 2 blocks of 16",
    "batch positions": "position 41",
    "batch adapter 0": "adapter 0",
    "batch copy of block 4": "block 4",
    "batch source 0": "source 0",
    "batch room short": "4 logits",
}


def test_every_wrong_call_is_an_error_in_words():
    command = [sys.executable, "-m", "tests.native.wrong_calls", str(native_library().path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{lines[-1:]} ended with {done.returncode}: {done.stderr}"
    answers = {line["call"]: line["error"] for line in lines if "error" in line}
    assert len(answers) == len({line["call"] for line in lines}) > 150
    assert [call for call, error in answers.items() if not error] == []
    assert {call: answers[call] for call, words in WORDS.items() if words not in answers[call]} == {}
