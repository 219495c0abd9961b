"""Memory of whole processes with a real model: SmolLM2-135M in INT8, written, then served.

All memory above a bare interpreter's counts (resident pages, including those of libraries' files), except the packed
weights and the blocks of the cache that the text fills.
"""

import json
import subprocess
import sys
import time
import urllib.request

import pytest

from lavra.base.native_library import native_library
from lavra.quantize.folder import load_model, save_quantized
from lavra.quantize.scheme import SCHEMES
from lavra.quantize.swap import quantize_model
from lavra.tokens.tokenizer import Tokenizer
from tests.engine.resident import MEGABYTE, needs_proc, resident
from tests.model.smollm2 import FILE, needs_smollm2

pytestmark = [
    pytest.mark.slow,
    needs_proc,
    needs_smollm2,
    pytest.mark.skipif(native_library() is None, reason="the native library is not built here"),
]
TOKEN = 30 * 2 * 3 * 64 * 4  # bytes of keys and values in float32
PAGE = 2 * MEGABYTE
WRITER = """
import json, sys
from lavra.api.load import load
from lavra.api.serving import start_engine
from lavra.base.types import GenerateRequest
engine = start_engine(load(sys.argv[1], runner="native"))
for line in sys.stdin:
    request = GenerateRequest(prompt=tuple(range(100, 100 + int(line))), max_tokens=16, ignore_eos=True)
    engine.generate([request])
    print(json.dumps("written"), flush=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The model in INT8, and the number of bytes of its weights."""
    path = tmp_path_factory.mktemp("smollm2")
    model, _ = load_model(FILE)
    quantize_model(model, SCHEMES["int8"])
    save_quantized(model, path)
    Tokenizer.load(FILE).save(path)
    return path


@pytest.fixture(scope="module")
def weights(folder):
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


@pytest.fixture(scope="module")
def bare():
    """Memory of an interpreter that has imported nothing."""
    process = subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1)
    process.stdout.readline()
    found = resident(process.pid)
    process.communicate(b"\n")
    return found


def test_an_engine_takes_seventy_five_megabytes(folder, weights, bare):
    """Over weights and cache, after a prompt of 512 tokens too, which is read in one pass.

    Runs take 66, and took up to 7 more: pages of the heap and of libraries' files differ from machine to machine.
    """
    command = [sys.executable, "-c", WRITER, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        for prompt in (8, 496):
            process.stdin.write(f"{prompt}\n")
            process.stdin.flush()
            assert process.stdout.readline() == '"written"\n'
            cache = (prompt + 16) * TOKEN + PAGE
            assert resident(process.pid) - bare - weights - cache <= 75 * MEGABYTE
    finally:
        process.kill()
        process.communicate()


def test_a_server_takes_less_than_a_hundred_and_fifteen_megabytes(folder, weights, bare):
    """While it listens, after an answer, and after an answer to a prompt of some 500 tokens.

    Runs take 102 to 110: more pages of libraries' files are resident where the kernel has read them ahead.
    """
    command = [sys.executable, "-m", "lavra", "serve", str(folder), "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        url = json.loads(process.stdout.readline())["url"]
        time.sleep(1)
        assert resident(process.pid) - bare - weights <= 115 * MEGABYTE
        used = 0  # blocks of earlier requests are kept, for prompts that begin the same
        for prompt in ("Hello", "one two three four " * 100):
            used += ask(url, folder.name, prompt)
            cache = (used + 2 * 16) * TOKEN + PAGE
            assert resident(process.pid) - bare - weights - cache <= 115 * MEGABYTE
    finally:
        process.kill()
        process.communicate()


def ask(url, model, text):
    """Tokens of a short answer and its prompt."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 16}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())["usage"]["total_tokens"]
