"""Floor 2: tokenizers trained and used, chat templates, text as it streams. No torch."""

from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE, plain_value, render_chat, sandbox
from lavra.tokens.config import END_OF_TEXT, FIM_TOKENS, TokenizerConfig
from lavra.tokens.parts import Parts, SpecialTokens
from lavra.tokens.roundtrip import RoundTripReport, check_round_trip
from lavra.tokens.stream import TextStream
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.train import train_tokenizer

__all__ = [
    "DEFAULT_CHAT_TEMPLATE",
    "END_OF_TEXT",
    "FIM_TOKENS",
    "Parts",
    "RoundTripReport",
    "SpecialTokens",
    "TextStream",
    "Tokenizer",
    "TokenizerConfig",
    "check_round_trip",
    "plain_value",
    "render_chat",
    "sandbox",
    "train_tokenizer",
]
