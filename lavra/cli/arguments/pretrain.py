"""The arguments of `lavra pretrain`: the settings of `lavra up`, whose stages it runs."""

from __future__ import annotations

from lavra.cli.arguments.up import RESUME, add_arguments

HELP = """Pretrain a model of any family: next token (llama, mistral, qwen2, gpt2, falcon), masked token (bert, roberta)
or span corruption (t5), on your text or on the Python standard library.

The same stages as `lavra up`: corpus, tokenizer and tokens are shared with it and reused."""

EXAMPLES = """
lavra pretrain --family bert --budget 10m
lavra pretrain --family t5 --text ~/texts
lavra pretrain --fim-rate 0.5
torchrun --nproc-per-node 2 -m lavra pretrain --parallel ddp
"""

__all__ = ["EXAMPLES", "HELP", "RESUME", "add_arguments"]
