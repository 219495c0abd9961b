"""The evaluate stage of decoders: bits per byte beside the baselines, completions of held-out text, and a verdict.

The verdict uses only measurements: the baselines that the model beats, and the share of held-out lines that its greedy
completion finishes exactly.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from lavra.base.files import read_json, write_json
from lavra.base.ports import Progress
from lavra.base.types import GenerateRequest
from lavra.data.pretraining.dataset import TokenDataset
from lavra.evaluation.baselines.heldout import HeldoutResult, compare
from lavra.generate.in_process import InProcessModel
from lavra.model.checkpoint import load_checkpoint
from lavra.model.transformer import Decoder
from lavra.pipeline.heldout import HeldoutSample, affordable_tokens, score_documents, window_of
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import Stage, StageContext
from lavra.pipeline.stages.baselines import load_baselines
from lavra.pipeline.stages.prepare import open_tokens
from lavra.tokens.tokenizer import Tokenizer

EVALUATION_FILE = "evaluation.json"

_SCORING = 0.25  # share of the budget, added to it: a model that needs longer is measured on a sample
_SCORED_ALWAYS = 60.0  # seconds; so a small model reads all held-out text, however short the run and busy the machine
_NUM_LINES = 128  # lines completed for the verdict
_MOST_DRAWS = 20 * _NUM_LINES


@dataclass(frozen=True)
class Lengths:
    """The parts of a context of `context` tokens: prompt and completion."""

    context: int

    @property
    def prompt(self) -> int:
        """The number of tokens in the prompt."""
        return min(160, self.context // 2)

    @property
    def line(self) -> int:
        """The number of tokens to finish a line."""
        return min(32, self.context // 4)

    @property
    def sample(self) -> int:
        """The number of tokens of a shown completion."""
        return min(64, self.context // 4)


@dataclass(frozen=True, kw_only=True)
class LineScore:
    """The score of a model at finishing held-out lines.

    Attributes:
        num_lines: lines tried; each is cut at a random token before its end; the model reads the text before the cut.
        num_exact: greedy completions equal to the rest of the line.
        num_first: completions with a right first token.
    """

    num_lines: int
    num_exact: int
    num_first: int

    @property
    def share_exact(self) -> float:
        """The share of the lines tried; 0 where there were none."""
        return self.num_exact / max(1, self.num_lines)

    @property
    def share_first(self) -> float:
        """The share of the lines tried; 0 where there were none."""
        return self.num_first / max(1, self.num_lines)


@dataclass(frozen=True, kw_only=True)
class EvaluateFigures:
    """The model's held-out figures in the card.

    Attributes:
        bits_per_byte: bits per byte of held-out text.
        ratios: by baseline, the model's bits per byte over the baseline's; below 1 the model wins.
        baselines: bits per byte of each baseline.
        lines_exact: share of held-out lines finished exactly.
        first_tokens_right: share of held-out lines with a right first token.
    """

    bits_per_byte: float
    ratios: Mapping[str, float]
    baselines: Mapping[str, float]
    lines_exact: float
    first_tokens_right: float


@dataclass(frozen=True, kw_only=True)
class HeldoutCompletion:
    """The model's completion in the middle of a held-out document.

    Attributes:
        prompt: text of the document.
        completion: greedy completion of the model.
        reference: real continuation of the document.
        num_tokens: tokens written.
        document: id of the document.
    """

    prompt: str
    completion: str
    reference: str
    num_tokens: int
    document: str


@dataclass(frozen=True, kw_only=True)
class EvaluateResult(EvaluateFigures):
    """The result of the evaluate stage of a decoder.

    Attributes:
        verdict: the tasks that the model is good for.
        heldout: the model beside every baseline.
        lines: its score at finishing lines.
        completions: completions for the reader.
        error: standard error of the bits per byte, where they are estimated from a sample; 0 where all text was scored.
    """

    verdict: str
    heldout: HeldoutResult
    lines: LineScore
    completions: tuple[HeldoutCompletion, ...]
    error: float = 0.0


def evaluate_stage(config: UpConfig, progress: Progress) -> Stage[EvaluateResult]:
    """The stage that measures the model on held-out text and writes the verdict."""

    def run(context: StageContext) -> EvaluateResult:
        folder, tokens = context.parents["pretrain"], open_tokens(context.parents["tokens"], "heldout")
        model, model_config = load_checkpoint(folder)
        assert isinstance(model, Decoder)
        nll, error = _nll(model, tokens, max(_SCORED_ALWAYS, config.budget * _SCORING), progress)
        result = compare(
            nll, tokens.num_bytes, load_baselines(context.parents["baselines"]), num_unknown=tokens.num_unknown
        )
        writer = InProcessModel(model, model_config, Tokenizer.load(folder), batch_size=32)
        lines = finish_lines(writer, tokens, progress)
        sentence = verdict(result, lines)
        write_json(
            context.folder / EVALUATION_FILE,
            {"bits_per_byte": result.model_bits_per_byte, "verdict": sentence, **asdict(lines)},
        )
        return EvaluateResult(
            bits_per_byte=result.model_bits_per_byte,
            ratios={row.baseline.name: row.ratio for row in result.rows},
            baselines={row.baseline.name: row.baseline.bits_per_byte for row in result.rows},
            lines_exact=lines.share_exact,
            first_tokens_right=lines.share_first,
            verdict=sentence,
            heldout=result,
            lines=lines,
            completions=_completions(writer, tokens, config.num_samples),
            error=error,
        )

    return Stage(
        name="evaluate",
        kind="evaluation",
        folder="runs",
        version=2,
        run=run,
        needs=("tokens", "pretrain", "baselines"),
        config={"num_samples": config.num_samples},
        result=EvaluateResult,
        figures=EvaluateFigures,
    )


def _nll(model: Decoder, tokens: TokenDataset, seconds: float, progress: Progress) -> tuple[float, float]:
    """The nats of all held-out text, and the standard error of its bits per byte; estimates where time is too short."""
    sample = HeldoutSample(tokens, window_of(model), affordable_tokens(model, tokens, seconds))
    if sample.is_everything:
        return score_documents(model, tokens, range(tokens.num_documents), progress).nll, 0.0
    progress("score a sample of held-out text", 0, None)
    found = sample.score(model)
    return found.bits_per_byte * math.log(2) * tokens.num_bytes, found.error


def load_verdict(folder: Path) -> str:
    """Read the verdict of the evaluate stage, for any kind of model."""
    return str(read_json(folder / EVALUATION_FILE)["verdict"])


def finish_lines(writer: InProcessModel, dataset: TokenDataset, progress: Progress) -> LineScore:
    """Cut held-out lines at a random token and let the model finish them greedily."""
    lengths = Lengths(writer.config.max_positions)
    cuts = _cut_lines(writer.tokenizer, dataset, lengths)
    progress("finish held-out lines", 0, len(cuts))
    requests = [GenerateRequest(prompt=cut.prompt, max_tokens=lengths.line, stop=("\n",)) for cut in cuts]
    written = [completion for (completion,) in writer.generate(requests)]
    return LineScore(
        num_lines=len(cuts),
        num_exact=sum(one.text == cut.rest for one, cut in zip(written, cuts, strict=True)),
        num_first=sum(one.tokens[:1] == (cut.next_token,) for one, cut in zip(written, cuts, strict=True)),
    )


@dataclass(frozen=True, kw_only=True)
class _Cut:
    """A line cut in two: the prompt of the model, and the real rest of the line."""

    prompt: tuple[int, ...]
    next_token: int
    rest: str


def _cut_lines(tokenizer: Tokenizer, dataset: TokenDataset, lengths: Lengths) -> list[_Cut]:
    """Cuts before the end of a line, drawn at random with a fixed seed."""
    draw, cuts = random.Random(0), []
    for _ in range(_MOST_DRAWS):
        ids = dataset.document(draw.randrange(dataset.num_documents))
        place = draw.randrange(1, max(2, len(ids) - 1))
        after = ids[place : place + 4 * lengths.line].tolist()
        rest = tokenizer.decode(after, skip_special_tokens=True).split("\n")[0]
        if rest.strip() and after:
            prompt = tuple(ids[max(0, place - lengths.prompt) : place].tolist())
            cuts.append(_Cut(prompt=prompt, next_token=after[0], rest=rest))
        if len(cuts) == _NUM_LINES:
            break
    return cuts


def _completions(writer: InProcessModel, dataset: TokenDataset, number: int) -> tuple[HeldoutCompletion, ...]:
    """Greedy completions in the middle of held-out documents, with the real continuations."""
    draw, tokenizer, lengths = random.Random(1), writer.tokenizer, Lengths(writer.config.max_positions)
    long_enough = [index for index, length in enumerate(dataset.lengths) if length > lengths.prompt + lengths.sample]
    chosen = draw.sample(long_enough, min(number, len(long_enough)))
    written = []
    for index in chosen:
        ids = dataset.document(index)
        cut = draw.randrange(lengths.prompt, len(ids) - lengths.sample)
        prompt = tuple(ids[cut - lengths.prompt : cut].tolist())
        (completion,) = writer.generate([GenerateRequest(prompt=prompt, max_tokens=lengths.sample)])[0]
        written.append(
            HeldoutCompletion(
                prompt=tokenizer.decode(list(prompt), skip_special_tokens=True),
                completion=completion.text,
                reference=tokenizer.decode(ids[cut : cut + lengths.sample].tolist(), skip_special_tokens=True),
                num_tokens=len(completion.tokens),
                document=dataset.document_ids[index],
            )
        )
    return tuple(written)


def verdict(result: HeldoutResult, lines: LineScore) -> str:
    """The verdict on a model, from its measurements."""
    beaten = [row.baseline.name for row in result.rows if row.model_wins]
    exact = lines.share_exact
    use = (
        "finishing lines as one types, in text like this"
        if exact >= 0.25
        else "suggesting the next few tokens in text like this, not for writing whole lines"
        if exact >= 0.08
        else "trying out the pipeline; give it more time before it writes anything of use"
    )
    wins = f"better than {', '.join(beaten)}" if beaten else "no better than any baseline"
    losses = f"; {', '.join(result.lost_to)} still win" if result.lost_to else ""
    return (
        f"Held-out text costs {result.model_bits_per_byte:.3f} bits per byte, {wins}{losses}. "
        f"It finishes {exact:.0%} of held-out lines exactly. Good for {use}."
    )
