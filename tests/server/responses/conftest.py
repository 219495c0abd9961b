"""A server whose models have context for conversations."""

import pytest

from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.server.conftest import WITHOUT_TOOLS, running, served
from tests.server.responses.paced import client_of


@pytest.fixture(scope="module")
def url():
    models = [
        served("talker", template=DEFAULT_CHAT_TEMPLATE, context=512, num_blocks=256),
        served("long", template=WITHOUT_TOOLS, context=256),
    ]
    with running(models) as url:
        yield url
    for model in models:
        assert model.engine.stats().free_blocks == model.engine.stats().num_blocks


@pytest.fixture(scope="module")
def client(url):
    with client_of(url) as client:
        yield client
