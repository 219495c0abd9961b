"""The arguments of `lavra rate`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lavra.base.errors import ConfigError
from lavra.cli.flags import add_json, add_settings
from lavra.evaluation.human.study import StudyConfig

HELP = """People judge what models wrote: fluency, coherence, factuality, and which of two answers is better.

`new` makes a study, one file, from files of answers (JSON lines with `prompt` and `completion`, as `lavra answers`
writes them) or from models that write them now; `serve` opens its page and prints a link for each annotator; `results`
prints the scores and the agreement; `export` and `import` move judgements out and in, as CSV or JSON lines;
`links` gives new links, and the old links stop working; `close` takes no more judgements, `reopen` takes them
again."""

EXAMPLES = """
lavra rate new essays.study --answers small.jsonl big.jsonl --pairwise --annotators 3
lavra rate new essays.study --answers gpt2=a.jsonl mine=b.jsonl --scales fluency,factuality --per-item 2
lavra rate new essays.study --prompts prompts.jsonl --models models/small big=http://127.0.0.1:8000/v1 --pairwise
lavra rate serve essays.study
lavra rate serve essays.study --host 0.0.0.0 --port 8080 --address http://my-machine.local:8080
lavra rate results essays.study --json
lavra rate export essays.study --what votes --out votes.jsonl
lavra rate export essays.study --what preferences --out pairs.jsonl
lavra rate import essays.study elsewhere.csv
"""

RESUME = "every judgement is kept; `lavra rate serve` again goes on with the same links"


class Exported(Enum):
    """A kind of data that `lavra rate export` writes."""

    RATINGS = "ratings"
    VOTES = "votes"
    PREFERENCES = "preferences"


@dataclass(frozen=True, kw_only=True)
class RateSettings(StudyConfig):
    """Settings of `lavra rate`; a setting that the action does not use is refused.

    Attributes:
        answers: JSON lines files of answers to be judged, each FILE or NAME=FILE.
        models: models that write the answers now, each [NAME=]MODEL, or NAME=URL of an OpenAI-compatible server.
        prompts: JSON lines or csv file of the prompts for these models.
        max_tokens: most tokens of an answer that is written now.
        host: address to listen on; this machine only by default.
        port: port to listen on; 0 takes any free one.
        address: beginning of the links, where annotators reach this machine by another name.
        what: data to export: ratings, votes (comparisons) or preferences (prompt, chosen, rejected).
        out: the file to export to, .jsonl or .csv.
        exclude_failed: leave out annotators who failed an attention check, and name them.
    """

    answers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    prompts: Path | None = None
    max_tokens: int = 256
    host: str = "127.0.0.1"
    port: int = 8010
    address: str = ""
    what: Exported = Exported.RATINGS
    out: Path | None = None
    exclude_failed: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_tokens < 1:
            raise ConfigError(f"max_tokens is {self.max_tokens}; give at least 1")
        if bool(self.models) != (self.prompts is not None):
            raise ConfigError(
                "`models` and `prompts` belong together: the models answer the prompts; give both, or neither"
            )
        if self.address and not self.address.startswith(("http://", "https://")):
            raise ConfigError(f"address is {self.address!r}; give a URL, as http://my-machine.local:8010")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action and the study by place, everything else by flag."""
    parser.add_argument("action", help="new, serve, links, results, export, import, close or reopen")
    parser.add_argument("study", type=Path, metavar="STUDY", help="file of the study")
    parser.add_argument("files", nargs="*", metavar="FILE", help="of import: judgements given elsewhere, csv or jsonl")
    add_json(parser)
    add_settings(parser, RateSettings)
