"""A server whose model writes a given text, and OpenAI's client's answers joined together."""

from contextlib import contextmanager

import numpy as np
import openai

from lavra.engine.engine import Engine
from lavra.generate.prompt_encoding import PromptEncoding, special_frame
from lavra.server.served import ServedModel
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.engine.scripted import ScriptedRunner
from tests.generate.tiny import tiny_tokenizer
from tests.server.conftest import running


class Dictated(ScriptedRunner):
    """Writes the given text, then ends."""

    def __init__(self, tokenizer, **shape):
        super().__init__(tokenizer.vocab_size, **shape)
        self._tokenizer, self._ids = tokenizer, []

    def say(self, text):
        self._ids = [*self._tokenizer.encode(text), self._tokenizer.eos_id]

    def logits(self, tokens):
        ids, last = self._ids, tokens[-1]
        ends = (n for n in range(len(ids) - 1, 0, -1) if ids[n - 1] == last and tokens[-n:] == ids[:n])
        written = next(ends, 0)
        row = np.full(self.vocab_size, -9.0, dtype=np.float32)
        row[self._ids[written]] = 9.0
        return row


@contextmanager
def dictating(template=DEFAULT_CHAT_TEMPLATE):
    """A client of a server without a cache of answers, and the runner behind it."""
    tokenizer = tiny_tokenizer().with_chat_template(template)
    runner = Dictated(tokenizer, num_blocks=1024)
    encoding = PromptEncoding(
        tokenizer=tokenizer, frame=special_frame(tokenizer), context=1024, vocab_size=tokenizer.vocab_size
    )
    engine = Engine(runner, encoding, stop_ids=frozenset({tokenizer.eos_id}))
    with (
        running([ServedModel(name="long", tokenizer=tokenizer, engine=engine)], response_cache=0) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client,
    ):
        yield client, runner


def whole(answer):
    """(content, [(name, arguments)], reason) of each choice."""
    return [
        (
            choice.message.content or "",
            [(call.function.name, call.function.arguments) for call in choice.message.tool_calls or ()],
            choice.finish_reason,
        )
        for choice in answer.choices
    ]


def put_together(chunks, count):
    """The same of a stream: deltas joined by their choice's index, deltas of calls by the call's index."""
    content, reasons = [""] * count, [None] * count
    calls = [{} for _ in range(count)]
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        content[choice.index] += choice.delta.content or ""
        reasons[choice.index] = choice.finish_reason or reasons[choice.index]
        for call in choice.delta.tool_calls or ():
            known = calls[choice.index].setdefault(call.index, {"id": call.id, "name": "", "arguments": ""})
            assert call.id in (None, known["id"])
            known["name"] += call.function.name or ""
            known["arguments"] += call.function.arguments or ""
    parts = [[(call["name"], call["arguments"]) for _, call in sorted(found.items())] for found in calls]
    return list(zip(content, parts, reasons, strict=True))
