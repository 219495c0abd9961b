"""A server whose model writes a given text token by token, as the test releases it."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import openai

from lavra.engine.engine import Engine
from lavra.generate.prompt_encoding import PromptEncoding, special_frame
from lavra.server.served import ServedModel
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.generate.tiny import tiny_tokenizer
from tests.server.conftest import running
from tests.server.dictation import Dictated


class Paced(Dictated):
    """Writes at once, or token by token as `step` releases it."""

    def __init__(self, tokenizer, **shape):
        super().__init__(tokenizer, **shape)
        self._changed, self._steps, self._held = threading.Condition(), 0, False

    def forward(self, batch):
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._steps > 0)
            self._steps -= 1
        return super().forward(batch)

    def hold(self):
        self._held, self._steps = True, 0

    def step(self, count=1):
        with self._changed:
            self._steps += count
            self._changed.notify_all()

    def go(self):
        with self._changed:
            self._held = False
            self._changed.notify_all()


@contextmanager
def paced_server(context=1024, **settings):
    """A server's URL and its runner."""
    tokenizer = tiny_tokenizer().with_chat_template(DEFAULT_CHAT_TEMPLATE)
    runner = Paced(tokenizer, num_blocks=1024)
    encoding = PromptEncoding(
        tokenizer=tokenizer, frame=special_frame(tokenizer), context=context, vocab_size=tokenizer.vocab_size
    )
    engine = Engine(runner, encoding, stop_ids=frozenset({tokenizer.eos_id}))
    model = ServedModel(name="paced", tokenizer=tokenizer, engine=engine)
    with running([model], **{"response_cache": 0, **settings}) as url:
        try:
            yield url, runner
        finally:
            runner.go()


def client_of(url, key="unused"):
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=20)
