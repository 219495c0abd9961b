"""Beam search over runners: equal to the search over torch's own cache, with shared blocks."""

import pytest

import lavra
from lavra.adapt.peft_write import save_adapter
from lavra.base.errors import ConfigError, InputError
from lavra.base.ports import Runner
from lavra.base.types import GenerateRequest, SamplingConfig
from lavra.engine.adapters import Variants
from lavra.engine.beams import BeamPrompt, BeamSearcher, RunnerBeams
from lavra.engine.runners.torch import TorchRunner
from lavra.generate.in_process import InProcessModel
from lavra.model.checkpoint import save_checkpoint
from tests.engine.adapted import adapted, engine_adapters
from tests.generate.tiny import tiny_in_process

LONG = "Once upon a time there was a little girl named Lily. She"


class Counted:
    """A runner that counts its calls."""

    def __init__(self, runner):
        self.runner, self.num_blocks, self.block_size = runner, runner.num_blocks, runner.block_size
        self.copies, self.blocks = 0, set()

    def forward(self, batch):
        self.copies += len(batch.copies)
        self.blocks |= {block for row in batch.rows for block in row.blocks}
        return self.runner.forward(batch)

    def close(self):
        self.runner.close()


def searcher(model, block_size, made, adapters=()):
    def make(tokens):
        runner = TorchRunner(model.model, model.config, num_blocks=-(-tokens // block_size), block_size=block_size)
        made.append(Counted(runner))
        return made[-1]

    variants = Variants(model.encoding, "", adapters)
    return BeamSearcher(make, model.tokenizer, variants, model.stop_ids, block_size)


@pytest.mark.parametrize("family", ["llama", "t5"])
@pytest.mark.parametrize("block_size", [1, 4, 16])
def test_blocks_of_any_size_say_what_torch_says(family, block_size):
    plain = tiny_in_process(family)
    model, made = InProcessModel(plain.model, plain.config, plain.tokenizer), []
    model.stop_ids = frozenset((*model.stop_ids, *range(7, 27)))  # so that beams end early
    search = searcher(model, block_size, made)
    for prompt in ("The", LONG):
        request = GenerateRequest(prompt=prompt, max_tokens=14, num_beams=4, n=4)
        found, expected = search.generate(request), model.generate([request])[0]
        assert [one.tokens for one in found] == [one.tokens for one in expected]
        assert [one.finish_reason for one in found] == [one.finish_reason for one in expected]
        for one, other in zip(found, expected, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
    assert (block_size == 1) == (made[-1].copies == 0), "a block of one token is never copied"


def test_the_prompts_blocks_are_shared():
    plain, made = tiny_in_process(), []
    prompt = tuple(plain.encoding.prompt_ids(LONG))
    searcher(plain, 4, made).generate(GenerateRequest(prompt=prompt, max_tokens=4, num_beams=8))
    assert len(made[0].blocks) <= made[0].num_blocks == len(prompt) // 4 + 8 * 3
    assert isinstance(made[0], Runner)


def test_rows_hold_their_blocks_until_the_last_is_released():
    plain = tiny_in_process()
    runner = TorchRunner(plain.model, plain.config, num_blocks=12, block_size=4)
    beams = RunnerBeams(runner, BeamPrompt(tokens=(1, 2, 3, 4, 5), source=None, adapter=None))
    beams.read()
    for rows in ([0, 0, 0], [2, 0], [1, 1, 0], [0]):
        beams.select(rows)
        assert len(beams.advance([7] * len(rows))) == len(rows)
    assert beams._pool.num_free == 12 - len(beams._tables[0])


def test_adapters_act_on_beams():
    model = adapted(names=("lora", "prompt"))
    search = searcher(model, 4, [], engine_adapters(model))
    texts = {name: search.generate(GenerateRequest(prompt="The", max_tokens=6, num_beams=3, adapter=name))[0].tokens
             for name in (None, "lora", "prompt")}  # fmt: skip
    assert len(set(texts.values())) == 3
    with pytest.raises(InputError, match="there is no adapter 'lore'"):
        search.generate(GenerateRequest(prompt="The", num_beams=3, adapter="lore"))


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_a_folder_opened_natively_or_not_is_searched_alike(tmp_path, family):
    plain = tiny_in_process(family)
    save_checkpoint(plain.model, tmp_path / "base")
    plain.tokenizer.save(tmp_path / "base")
    save_adapter(adapted(family, names=("prefix",)).model, "prefix", tmp_path / "prefix", base=str(tmp_path / "base"))
    for folder in (tmp_path / "base", tmp_path / "prefix"):
        opened, reference = lavra.load(folder), lavra.load(folder, runner="torch")
        found, expected = (one.n_best("The cat", 3, num_beams=3, max_tokens=9) for one in (opened, reference))
        assert [one.tokens for one in found] == [one.tokens for one in expected]
        assert [one.warnings for one in found] == [one.warnings for one in expected]
        streamed = list(opened.stream("The cat", num_beams=3, max_tokens=9))
        assert "".join(one.text for one in streamed) == found[0].text
        mixed = opened.port.generate([_asked(1), _asked(3), _asked(1)])
        assert mixed[1][0].tokens == found[0].tokens
        assert mixed[0][0].tokens == mixed[2][0].tokens == opened.generate("The cat", max_tokens=9).tokens


def _asked(num_beams):
    return GenerateRequest(prompt="The cat", max_tokens=9, num_beams=num_beams)


def test_unsupported_settings_of_a_search_are_refused_and_cancelling_ends_it():
    search = searcher(tiny_in_process(), 4, [])
    for settings in ({"min_tokens": 2}, {"top_logprobs": 1}):
        with pytest.raises(ConfigError, match=f"{next(iter(settings))} is set, and beam search has no such setting"):
            search.generate(GenerateRequest(prompt="The", num_beams=2, **settings))
    with pytest.raises(ConfigError, match="a stream is one completion"):
        search.submit(GenerateRequest(prompt="The", num_beams=2, n=2))
    drawn = GenerateRequest(prompt="The", max_tokens=2, num_beams=2, sampling=SamplingConfig(temperature=1.0))
    assert "sampling settings had no effect" in search.generate(drawn)[0].warnings[0]
    stream = search.submit(GenerateRequest(prompt="The", num_beams=2, max_tokens=20))
    stream.cancel()
    (piece,) = stream
    assert piece.completion.finish_reason.value == "cancelled"
