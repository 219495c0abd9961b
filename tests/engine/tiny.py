"""Engines over the tiny models of the generation tests, and over the scripted runner."""

from __future__ import annotations

from lavra.engine.config import EngineConfig
from lavra.engine.engine import Engine
from lavra.engine.runners.torch import TorchRunner
from lavra.generate.prompt_encoding import PromptEncoding, special_frame
from tests.engine.scripted import ScriptedRunner
from tests.generate.tiny import tiny_in_process, tiny_tokenizer


def torch_engine(family="llama", *, num_blocks=64, block_size=4, runner=TorchRunner, **settings):
    model = tiny_in_process(family)
    made = runner(model.model, model.config, num_blocks=num_blocks, block_size=block_size)
    return Engine(made, model.encoding, stop_ids=model.stop_ids, config=EngineConfig(**settings))


def scripted_engine(*, num_blocks=64, period=0, context=200, stop_ids=frozenset(), runner=None, draft=None, **settings):
    tokenizer = tiny_tokenizer()
    encoding = PromptEncoding(
        tokenizer=tokenizer, frame=special_frame(tokenizer), context=context, vocab_size=tokenizer.vocab_size
    )
    runner = runner or ScriptedRunner(tokenizer.vocab_size, num_blocks=num_blocks, period=period)
    return Engine(runner, encoding, stop_ids=stop_ids, config=EngineConfig(**settings), draft=draft), runner
