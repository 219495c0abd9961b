"""Usage is counted in tokens; each prompt counts once for any number of completions."""

import httpx2
import pytest

from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.generate.tiny import tiny_in_process
from tests.server.conftest import running, served

BLOCK = 4
PROMPTS = ["Lília gosta de maçãs 🍎 e de uvas.", "She"]


@pytest.fixture(scope="module")
def http():
    """Answers are not cached, prefixes of prompts are."""
    models = [served("writer"), served("talker", template=DEFAULT_CHAT_TEMPLATE, context=256)]
    with running(models, response_cache=0) as url, httpx2.Client(base_url=url, timeout=60) as client:
        yield client


def ids_of(text):
    tokenizer = tiny_in_process().tokenizer
    return [tokenizer.bos_id, *tokenizer.encode(text)]


@pytest.mark.parametrize("as_ids", [False, True])
def test_a_prompt_that_is_only_echoed_is_counted_in_tokens(http, as_ids):
    ids = [ids_of(prompt) for prompt in PROMPTS]
    assert [len(one) for one in ids] != [len(prompt) for prompt in PROMPTS]
    body = {"model": "writer", "prompt": ids if as_ids else PROMPTS, "max_tokens": 0, "echo": True}
    answer = http.post("/v1/completions", json=body).json()
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["length"] * 2
    usage = answer["usage"]
    assert usage["prompt_tokens"] == usage["total_tokens"] == sum(map(len, ids))
    assert usage["completion_tokens"] == 0


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_cached_tokens_of_a_prompt_count_once_for_all_its_samples(http, path):
    asked = {"prompt": PROMPTS[0]} if path == "/v1/completions" else {"messages": [{"role": "user", "content": "a"}]}
    body = {"model": "talker", "max_tokens": 3, "min_tokens": 3, "temperature": 1.0, "n": 3, **asked}
    first, again = (http.post(path, json=body).json()["usage"] for _ in range(2))
    read = first["prompt_tokens"]
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    assert again["prompt_tokens_details"]["cached_tokens"] == (read - 1) // BLOCK * BLOCK
    for usage in (first, again):
        assert (usage["prompt_tokens"], usage["completion_tokens"]) == (read, 9)
        assert usage["total_tokens"] == read + 9
