"""Models that write texts chosen by a test, behind the real engine and the real server.

    with serving({"talker": {"Hello": ["Hi!", "Hi again!"]}}) as (url, runners):
        runners["talker"].seconds = 0.05  # for each token

A repeated question gets the next of its replies; after the last reply, the last one again.
"""

from __future__ import annotations

import time
from contextlib import contextmanager

import numpy as np

from lavra.engine.engine import Engine
from lavra.generate.prompt_encoding import PromptEncoding, special_frame
from lavra.server.served import ServedModel
from tests.engine.scripted import ScriptedRunner
from tests.generate.tiny import tiny_tokenizer
from tests.server.conftest import running

TEMPLATE = """\
{%- for message in messages %}
    {{- '### ' + message['role'] + ':\\n' + (message['content'] or '') + '\\n' }}
{%- endfor %}
{%- if tools %}{{- '### tools:\\n' }}{%- endif %}
{{- '### answer:\\n' }}
"""
QUESTION, ANSWER = "### user:\n", "### answer:\n"
RESULT = "### tool:\n"
CONTEXT = 4096
GREEDY = {"temperature": 0.0}


class ReplyingRunner(ScriptedRunner):
    """Writes its reply to the last message of a person or a tool, then ends.

    Attributes:
        replies: replies to each question; `None` is any other question.
        seconds: seconds for each token.
        prompts: prompts that were read.
    """

    def __init__(self, tokenizer, replies):
        super().__init__(tokenizer.vocab_size, num_blocks=4096, block_size=16)
        self._tokenizer, self.replies, self.seconds = tokenizer, replies, 0.0
        self.prompts, self._asked, self._given, self._scores = [], {}, {}, False

    def after(self, row, end):
        self._scores = row.num_logits > 1  # scoring a given text, without writing
        return super().after(row, end)

    def logits(self, tokens):
        time.sleep(self.seconds)
        prompt, _, written = self._tokenizer.decode(tokens, skip_special_tokens=False).rpartition(ANSWER)
        if not self._scores and (not written or prompt not in self._given):
            self._begin(prompt)
        ids = self._given.get(prompt, [self._tokenizer.eos_id])
        ends = (n for n in range(len(ids) - 1, 0, -1) if tokens[-1] == ids[n - 1] and tokens[-n:] == ids[:n])
        place = next(ends, 0)
        row = np.full(self.vocab_size, -9.0, dtype=np.float32)
        row[ids[place]] = 3.0
        row[(ids[place] + 1) % self.vocab_size] = 2.0  # the likeliest alternative, at e**-1 of it
        return row

    def _begin(self, prompt):
        self.prompts.append(prompt)
        last = max((prompt.rpartition(mark) for mark in (QUESTION, RESULT)), key=lambda parts: len(parts[0]))
        question = (last[2] if last[1] else prompt).partition("### ")[0].strip()
        count = self._asked.get(question, 0)
        self._asked[question] = count + 1
        replies = self.replies.get(question, self.replies.get(None, ["Yes."]))
        self._given[prompt] = [*self._tokenizer.encode(replies[min(count, len(replies) - 1)]), self._tokenizer.eos_id]


def scripted_model(name, replies, *, chats=True, usual=GREEDY, **fields):
    """A model whose folder has `usual` settings, and the runner that writes for it."""
    tokenizer = tiny_tokenizer()
    if chats:
        tokenizer = tokenizer.with_chat_template(TEMPLATE)
    runner = ReplyingRunner(tokenizer, replies)
    encoding = PromptEncoding(
        tokenizer=tokenizer, frame=special_frame(tokenizer), context=CONTEXT, vocab_size=tokenizer.vocab_size
    )
    engine = Engine(runner, encoding, stop_ids=frozenset({tokenizer.eos_id}))
    return ServedModel(name=name, tokenizer=tokenizer, engine=engine, usual=usual, **fields), runner


@contextmanager
def serving(models, *, indexes=(), **settings):
    """A server of scripted models, given as `name: replies`: its URL and the runners by name."""
    made = {name: scripted_model(name, replies) for name, replies in models.items()}
    with running([model for model, _ in made.values()], indexes=indexes, response_cache=0, **settings) as url:
        yield url, {name: runner for name, (_, runner) in made.items()}
