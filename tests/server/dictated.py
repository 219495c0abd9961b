"""A model that writes the text it is given."""

from lavra.engine import Engine
from lavra.generate.plan import PromptReading, special_frame
from lavra.server import ServedModel
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.generate.tiny import tiny_tokenizer
from tests.server.dictation import Dictated


def saying(text, name="said"):
    """A served model that answers every conversation with a text."""
    tokenizer = tiny_tokenizer().with_chat_template(DEFAULT_CHAT_TEMPLATE)
    runner = Dictated(tokenizer, num_blocks=1024)
    runner.say(text)
    reading = PromptReading(
        tokenizer=tokenizer, frame=special_frame(tokenizer), context=2048, vocab_size=tokenizer.vocab_size
    )
    engine = Engine(runner, reading, stop_ids=frozenset({tokenizer.eos_id}))
    return ServedModel(name=name, tokenizer=tokenizer, engine=engine)
