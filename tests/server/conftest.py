"""A real server on a free port, over tiny models: one chats, one completes, one embeds and fills gaps."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import httpx2
import openai
import pytest

from lavra.adapt.embedding_folder import EmbeddingConfig
from lavra.api.embed import TorchEmbedder
from lavra.api.torch_fill import TorchMaskFiller
from lavra.engine.batching import BatchingEmbedder, BatchingMaskFiller
from lavra.engine.config import EngineConfig
from lavra.engine.engine import Engine
from lavra.engine.runners.torch import TorchRunner
from lavra.server.app import build_app
from lavra.server.config import ServeConfig
from lavra.server.run import Server, address, open_socket
from lavra.server.served import ModelTable, ServedModel
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.generate.tiny import tiny_in_process

# A template that shows no tools, so that what is offered changes nothing of what is read.
WITHOUT_TOOLS = """\
{{ bos_token }}
{%- for message in messages %}
    {%- if message['role'] == 'assistant' %}
        {{- '### Assistant:\\n' + message['content'] + eos_token + '\\n' }}
    {%- else %}
        {{- '### User:\\n' + message['content'] + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '### Assistant:\\n' }}
{%- endif %}
"""


def served(name, family="llama", *, template=None, chosen=None, stop_ids=None, num_blocks=128, context=64, **settings):
    model = tiny_in_process(family, max_positions=context)
    tokenizer = model.tokenizer.with_chat_template(template) if template else model.tokenizer
    if family == "bert":
        embedder = TorchEmbedder(model.model, model.encoding, EmbeddingConfig())
        filler = BatchingMaskFiller(TorchMaskFiller(model))
        return ServedModel(name=name, tokenizer=tokenizer, embedder=BatchingEmbedder(embedder), filler=filler)
    runner = TorchRunner(model.model, model.config, num_blocks=num_blocks, block_size=4)
    ends = model.stop_ids if stop_ids is None else stop_ids
    engine = Engine(runner, model.encoding, stop_ids=ends, config=EngineConfig(**settings), root=name)
    return ServedModel(name=name, tokenizer=tokenizer, engine=engine, template=chosen, aliases=(f"{name}-alias",))


@contextmanager
def running(models, *, indexes=(), **settings):
    """The URL of a server that runs for the length of a block."""
    config = ServeConfig(**{"port": 0, **settings})
    app = build_app(ModelTable(models, indexes), config)
    listening = open_socket(config)
    server = Server(app, config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield address(listening)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture(scope="module")
def url():
    models = [
        served("writer"),
        served("talker", template=DEFAULT_CHAT_TEMPLATE),
        served("long", template=WITHOUT_TOOLS, context=256),
        served("translator", "t5"),
        served("embedder", "bert"),
    ]
    with running(models) as url:
        yield url
    for model in models:
        if model.engine is not None:
            stats = model.engine.stats()
            assert stats.free_blocks == stats.num_blocks


@pytest.fixture(scope="module")
def client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def http(url):
    with httpx2.Client(base_url=url, timeout=60) as client:
        yield client
