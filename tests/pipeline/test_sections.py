"""Each section of the report, from a result written by hand: its content and its warnings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lavra.compression.card import BARS, QualityCard
from lavra.compression.measure import Comparison
from lavra.evaluation.baselines.heldout import Baseline, compare
from lavra.pipeline.index_encoders import EncoderTrial
from lavra.pipeline.instructions import Account
from lavra.pipeline.plan import Plan
from lavra.pipeline.results import Skipped
from lavra.pipeline.sections.adapt import adapt_section
from lavra.pipeline.sections.benchmarks import up_benchmarks_section
from lavra.pipeline.sections.compress import compress_section
from lavra.pipeline.sections.corpus import corpus_section
from lavra.pipeline.sections.encoder import encoder_section
from lavra.pipeline.sections.evaluate import bits_fact, evaluate_section
from lavra.pipeline.sections.evaluate_holes import evaluate_holes_section, nats_fact
from lavra.pipeline.sections.index import index_section
from lavra.pipeline.sections.instructions import instructions_section
from lavra.pipeline.sections.plan import plan_section
from lavra.pipeline.sections.pretrain import pretrain_section
from lavra.pipeline.sections.tokenizer import tokenizer_section
from lavra.pipeline.stages.adapt import AdaptResult, BeforeAndAfter
from lavra.pipeline.stages.benchmarks import BenchmarksResult
from lavra.pipeline.stages.compress import CompressResult
from lavra.pipeline.stages.encoder import EncoderResult
from lavra.pipeline.stages.evaluate import EvaluateResult, HeldoutCompletion, LineScore
from lavra.pipeline.stages.evaluate_holes import EvaluateHolesResult
from lavra.pipeline.stages.index import IndexResult, ShownAnswer
from lavra.pipeline.stages.instructions import InstructionsResult
from lavra.pipeline.stages.planning import PlanResult
from lavra.pipeline.stages.prepare import (
    CorpusFiles,
    CorpusResult,
    SplitSize,
    TokenizerResult,
    UnusedFile,
    UsedFile,
)
from lavra.pipeline.stages.pretrain import HeldoutGlance, LossPoint, PretrainResult
from lavra.pipeline.student_model import ExamScores
from lavra.report.page import Report
from lavra.report.section import BarChart, Facts, LineChart, Paragraph, SampleBlock, Section, Table, Tone
from lavra.tokens.roundtrip import RoundTripReport
from lavra.train.config import TrainConfig
from tests.evaluation.results_made import made_result

PLAN = Plan(
    family="bert",
    hidden_size=64,
    num_layers=2,
    num_heads=2,
    sequence_length=128,
    batch_size=8,
    train=TrainConfig(num_steps=1000, accumulation=2, compile="off"),
    seed=0,
    seconds_per_step=0.25,
    peak_flops=80e9,
    num_parameters=1_200_000,
    seconds=192.0,
)
CORPUS = CorpusResult(
    training=SplitSize(documents=1200, bytes=3_000_000),
    heldout=SplitSize(documents=30, bytes=80_000),
    rows=(("read", "1,240 files"), ("kept", "1,230 documents")),
    split="2.6% of the bytes held out (2.5% was asked for): whole documents",
    files=CorpusFiles(
        used=(UsedFile(name="t/book.txt", documents=1200, bytes=3_000_000),),
        unused=(UnusedFile(name="t/scan.pdf", reason="no text in it", detail="a scan"),),
        num_used=5,
        num_unused=1,
    ),
)
TRIAL = RoundTripReport(
    normalizer="",
    num_texts=30,
    num_exact=30,
    num_normalised=0,
    num_unknown=0,
    num_changed=0,
    num_characters=900,
    unknown_tokens=0,
    unknown_characters=0,
    examples=(),
)
TOKENIZER = TokenizerResult(bytes_per_token=3.456, texts_changed=0, unknown_tokens=0, vocab_size=4096, trial=TRIAL)
PLANNED = PlanResult(
    parameters=1_200_000,
    num_steps=1000,
    plan=PLAN,
    num_processes=2,
    mask_share=0.4,
    budget=240.0,
    shares={"pretrain": 0.8, "adapt": 0.2},
)
TRAINED = PretrainResult(
    steps=2,
    tokens=2_000_000,
    compile_seconds=0.0,
    num_parameters=1_200_000,
    precision="bf16",
    peak_flops=80e9,
    planned_compile_seconds=0.0,
    compiled=False,
    seconds_of_steps=100.0,
    share_of_peak=0.42,
    curve=(LossPoint(tokens=1e6, loss=8.5), LossPoint(tokens=2e6, loss=3.25)),
    glances=(HeldoutGlance(step=1, scores={"bits_per_byte": 2.123456}),),
)
EVALUATED = EvaluateResult(
    bits_per_byte=2.0,
    ratios={"gzip -9": 0.8, "5-gram": 1.25},
    baselines={"gzip -9": 2.5, "5-gram": 1.6},
    lines_exact=0.25,
    first_tokens_right=0.5,
    verdict="Good for something.",
    heldout=compare(
        2.0 * 1000 * math.log(2),
        1000,
        (
            Baseline(name="gzip -9", bits_per_byte=2.5, seconds=0.1),
            Baseline(name="5-gram", bits_per_byte=1.6, seconds=3),
        ),
    ),
    lines=LineScore(num_lines=128, num_exact=32, num_first=64),
    completions=(HeldoutCompletion(prompt="def f(", completion="x):", reference="y):", num_tokens=3, document="a.py"),),
)
FILLED = EvaluateHolesResult(
    nats_per_hole={"this model": 3.0, "5-gram, both-side back-off": 4.0, "5-grams combined, tuned": 2.5},
    gain_over_backoff=0.25,
    gain_over_combined=-0.2,
    num_holes=12_345,
    verdict="A hidden held-out token costs 3.000 nats.",
)
MADE = InstructionsResult(
    instructions={"describe": 1500, "choose": 20},
    pairs={"signature": 700},
    heldout_instructions={"describe": 90},
    heldout_pairs={},
    training=Account(documents=50, definitions=1600, undocumented=7),
    heldout=Account(documents=5, definitions=95, in_training=4),
)
TAUGHT = AdaptResult(
    nats_before={"describe": 6.0, "choose": 4.0},
    nats_after={"describe": 5.0, "choose": 4.0},
    chosen_before=0.25,
    chosen_after=0.5,
    measured={"describe": 90, "choose": 20},
    steps=40,
    left_out=3,
    before=ExamScores(
        nats={"describe": 6.0, "choose": 4.0}, measured={"describe": 90, "choose": 20}, chosen=5, asked=20
    ),
    after=ExamScores(
        nats={"describe": 5.0, "choose": 4.0}, measured={"describe": 90, "choose": 20}, chosen=10, asked=20
    ),
    room=128,
    answer_tokens=32,
    answers=(BeforeAndAfter(instruction="What?", output="This.", source="a.py:7", before="  ", after="That."),),
    seconds=12.0,
)
ENCODED = EncoderResult(
    recall_before={"signature": 0.1, "question": 0.2},
    recall_after={"signature": 0.5, "question": 0.9},
    recall_bm25={"signature": 0.75, "question": 0.6},
    pairs={"signature": 40, "question": 30},
    cutoff=5,
    steps=60,
    texts_cut=1234,
    passages={"signature": 39, "question": 4},
    ahead={"signature": (-0.4, -0.1), "question": (0.05, 0.55)},
    trivial=("question",),
    parameters=340_000,
    batch_size=64,
    max_tokens=48,
    seconds=9.0,
)
COMPARISON = Comparison(
    unit="byte",
    num_tokens=5000,
    num_bytes=15_000,
    source_bits=2.0,
    bits=2.002,
    mean_kl=0.0005,
    p99_kl=0.01,
    top1_agreement=0.99,
    source_read_per_second=1000.0,
    read_per_second=2000.0,
)
QUALITY = QualityCard(
    target="int8",
    layout="native",
    family="llama",
    calibration="none",
    text="heldout text",
    source_bytes=1000,
    bytes=300,
    matrix_ratio=0.26,
    comparison=COMPARISON,
    bars=BARS["int8"],
)
SMALLER = CompressResult(holds=True, bytes=300, mean_kl=0.0005, quality=QUALITY)

ASKED = BenchmarksResult(
    scores={"arc_easy": 0.58}, items={"arc_easy": 200}, verdict="above guessing at arc_easy", evaluation=made_result()
)

INDEXED = IndexResult(
    documents=12,
    chunks=340,
    encoder="encoder",
    asked=3,
    answered=2,
    right_document=1,
    skipped={"binary": 2},
    words_found=0.5,
    pairs=40,
    trials=(
        EncoderTrial(name="encoder", found=0.625, texts_per_second=200.0, seconds=1.7),
        EncoderTrial(name="other", issue="no time"),
    ),
    why="words and meaning together find more",
    examples=(ShownAnswer(question="When?", answer="In May. [1]", sources=("[1] t/book.txt, line 3",)),),
    seconds=2.5,
)

RENDERED: dict[str, tuple[Callable[[Any], Section], object]] = {
    "corpus": (corpus_section, CORPUS),
    "tokenizer": (tokenizer_section, TOKENIZER),
    "plan": (plan_section, PLANNED),
    "pretrain": (pretrain_section, TRAINED),
    "evaluate": (evaluate_section, EVALUATED),
    "evaluate_holes": (evaluate_holes_section, FILLED),
    "instructions": (instructions_section, MADE),
    "benchmarks": (up_benchmarks_section, ASKED),
    "adapt": (adapt_section, TAUGHT),
    "encoder": (encoder_section, ENCODED),
    "index": (index_section, INDEXED),
    "compress": (compress_section, SMALLER),
}


def blocks(section: Section, kind: type) -> list[Any]:
    return [block for block in section.blocks if isinstance(block, kind)]


def facts(section: Section) -> dict[str, str]:
    return {fact.label: fact.value for block in blocks(section, Facts) for fact in block.items}


@pytest.mark.parametrize("name", RENDERED)
def test_every_section_is_drawn_and_its_summary_stands_alone(name: str) -> None:
    section, result = RENDERED[name]
    shown = section(result)
    page = Report(title="t", summary="s", sections=(shown,)).render()
    assert shown.title in page
    assert shown.summary.endswith(".")


def test_text_says_what_is_held_out() -> None:
    section = corpus_section(CORPUS)
    assert section.summary == "3.08 MB of clean text in 1,230 documents; 80 kB of it held out and never trained on."
    assert facts(section) == {"Trained on": "3 MB", "Held out": "80 kB"}
    used, unused, account = blocks(section, Table)
    assert used.rows == (("t/book.txt", 1200, "3 MB"), ("and 4 more", "", ""))  # a long list is cut with a count
    assert unused.rows == (("t/scan.pdf", "no text in it", "a scan"),)
    assert account.rows == CORPUS.rows
    (said,) = blocks(section, Paragraph)
    assert said.text == f"The split: {CORPUS.split}."


def test_a_tokenizer_that_changes_text_is_no_good_news() -> None:
    section = tokenizer_section(TOKENIZER)
    assert section.summary == "4,096 tokens; one carries 3.46 bytes of held-out text."
    good = Paragraph(text="30 of 30 held-out documents come back byte for byte.", tone=Tone.GOOD)
    assert section.blocks == (good,)
    changed = replace(TOKENIZER, trial=replace(TRIAL, num_exact=28, num_changed=2))
    (said,) = tokenizer_section(changed).blocks
    assert said.tone is Tone.NOTE
    assert said.text.startswith("28 of 30 held-out documents come back byte for byte. 30 texts: 28 exact")


def test_a_vocabulary_that_shrank_with_the_text_is_said() -> None:
    said, _ = tokenizer_section(replace(TOKENIZER, vocab_size=512, usual_size=4096)).blocks
    assert said.text.startswith("There would be 4,096 tokens if there were more text")
    assert len(tokenizer_section(replace(TOKENIZER, usual_size=4096)).blocks) == 1


def test_changes_for_little_text_are_beside_the_plan() -> None:
    assert blocks(plan_section(PLANNED), Paragraph) == []
    (said,) = blocks(plan_section(replace(PLANNED, notes=("Rows have 64 tokens.",))), Paragraph)
    assert said == Paragraph(text="Rows have 64 tokens.", tone=Tone.NOTE)


def test_the_plan_counts_rows_of_all_processes_and_parts() -> None:
    section = plan_section(PLANNED)
    step_tokens = 8 * 2 * 2 * 128  # rows, parts, processes, tokens a row
    assert section.summary == f"1.2M parameters for 1,000 steps of {step_tokens:,} tokens: what 3m 12s buy here."
    assert facts(section)["Tokens to read"] == f"{1000 * step_tokens / 1e6:.1f}M"
    settings, shares = blocks(section, Table)
    assert ("rows in a step", 32) in settings.rows
    assert ("tokens hidden in training", "40%") in settings.rows
    assert shares.rows == (("pretrain", "80%", "3m 12s"), ("adapt", "20%", "48s"))
    (all_seen, _) = blocks(plan_section(replace(PLANNED, mask_share=None)), Table)
    assert "tokens hidden in training" not in dict(all_seen.rows)


def test_training_shows_speed_and_the_loss_over_million_tokens() -> None:
    section = pretrain_section(TRAINED)
    assert "read 2.00M tokens in 1m 40s; the loss fell from 8.50 to 3.25 nats a token." in section.summary
    assert facts(section) == {"Speed": "20,000", "Share of matrix peak": "42%", "Compile time": "not compiled"}
    (chart,) = blocks(section, LineChart)
    assert (chart.series[0].x, chart.series[0].y) == ((1.0, 2.0), (8.5, 3.25))
    (table,) = blocks(section, Table)
    assert (table.columns, table.rows) == (("step", "bits per byte"), ((1, 2.1235),))
    assert blocks(pretrain_section(replace(TRAINED, glances=())), Table) == []


def test_held_out_text_has_a_curve_over_the_same_course() -> None:
    looks = tuple(HeldoutGlance(step=step, scores={"bits_per_byte": 3.0 - step}) for step in (1, 2))
    _, heldout = blocks(pretrain_section(replace(TRAINED, glances=looks)), LineChart)
    assert "Held-out text" in heldout.title
    assert (heldout.series[0].x, heldout.series[0].y, heldout.y_label) == ((1.0, 2.0), (2.0, 1.0), "bits per byte")


def test_the_plan_says_why_nothing_is_compiled() -> None:
    notes = {30.0: "it pays from 2m of training on", 192.0: "turned off"}
    for seconds, note in notes.items():
        section = plan_section(replace(PLANNED, plan=replace(PLAN, seconds=seconds)))
        (compiling,) = (one for block in blocks(section, Facts) for one in block.items if one.label == "Compile time")
        assert (compiling.value, compiling.note) == ("none", note)


def test_the_evaluation_names_the_winner_of_each_comparison() -> None:
    section = evaluate_section(EVALUATED)
    assert facts(section) == {"Held-out text": "2.000", "Lines finished exactly": "25%", "First token right": "50%"}
    (table,) = blocks(section, Table)
    assert [(row[0], row[2], row[3]) for row in table.rows] == [("gzip -9", 0.8, "model"), ("5-gram", 1.25, "baseline")]
    (chart,) = blocks(section, BarChart)
    assert [(bar.label, bar.value, bar.ours) for bar in chart.bars] == [
        ("this model", 2.0, True),
        ("gzip -9", 2.5, False),
        ("5-gram", 1.6, False),
    ]
    assert blocks(section, Paragraph) == [Paragraph(text="Not beaten: 5-gram.", tone=Tone.NOTE)]
    assert blocks(section, SampleBlock)[0].note == "greedy, 3 tokens, from a.py"
    assert bits_fact(EVALUATED).value == "2.000"


def test_an_unfair_comparison_is_warned_of_and_a_clean_win_is_not() -> None:
    unfair = replace(EVALUATED, heldout=replace(EVALUATED.heldout, warnings=("too few bits",), rows=()))
    said = blocks(evaluate_section(unfair), Paragraph)
    assert said == [Paragraph(text="too few bits", tone=Tone.WARNING)]


def test_holes_show_the_model_first_and_in_its_own_colour() -> None:
    section = evaluate_holes_section(FILLED)
    (chart,) = blocks(section, BarChart)
    assert [(bar.value, bar.ours) for bar in chart.bars] == [(3.0, True), (4.0, False), (2.5, False)]
    assert facts(section) == {"Hidden tokens": "12,345"}
    assert nats_fact(FILLED).value == "3.000"


def test_instructions_count_the_kinds_that_either_side_has() -> None:
    section = instructions_section(MADE)
    assert "1,600 documented functions and classes gave 1,520 instructions and 700 pairs" in section.summary
    (table,) = blocks(section, Table)
    assert {row[0]: row[1:] for row in table.rows} == {
        "instruction: describe": (1500, 90),
        "instruction: choose": (20, 0),
        "pair: signature": (700, 0),
    }
    mixed = replace(MADE, training=Account(documents=9, definitions=7, passages=2))
    assert instructions_section(mixed).summary.startswith(
        "7 documented functions and classes and the passages of 2 documents gave "
    )


def test_answers_say_what_did_not_become_better() -> None:
    section = adapt_section(TAUGHT)
    assert section.summary == (
        "40 steps of LoRA brought held-out answers from 5.000 to 4.500 nats a token (mean of 2 kinds). "
        "The taught model scores better on held-out answers than the untaught one."
    )
    assert facts(section) == {"Held-out answers": "4.500", "Chosen rightly": "50%"}
    (said,) = blocks(section, Paragraph)
    assert "3 samples over 128 tokens were left out of training." in said.text
    assert said.text.endswith("Not better: which of 3 is described.")
    assert "a guess" not in said.text  # half of them, and a guess is right in a third
    guessing = replace(TAUGHT, after=replace(TAUGHT.after, chosen=6))
    (guessed,) = blocks(adapt_section(guessing), Paragraph)
    assert "It does not choose among 3 better than a guess would." in guessed.text
    (sample,) = blocks(section, SampleBlock)
    assert (sample.completion, sample.reference) == ("That.", "This.")
    assert sample.note == "greedy, at most 32 tokens, from a.py:7; before: (nothing)"


def test_answers_that_became_worse_are_a_warning_and_names_not_asked_for_are_not_shown() -> None:
    worse = replace(TAUGHT, before=TAUGHT.after, after=replace(TAUGHT.before, asked=0))
    section = adapt_section(worse)
    (block,) = blocks(section, Facts)
    assert [fact.tone for fact in block.items] == [Tone.WARNING]
    assert "from 4.500 to 5.000 nats" in section.summary
    assert "The taught model does not score better on held-out answers than the untaught one" in section.summary


def test_the_encoder_names_the_winner_of_each_kind() -> None:
    section = encoder_section(ENCODED)
    assert "50% (10% before training, BM25 75%) by signature, 90% (20% before training, BM25 60%) by question" in (
        section.summary
    )
    (said,) = blocks(section, Paragraph)
    assert said.tone is Tone.NOTE
    # 0.5 of 40 and 0.9 of 30 pairs; 0.1 and 0.2 of them before
    helped = "Training helped: it finds 67.1% of all held-out passages, and found 14.3% before."
    assert said.text.startswith(f"{helped} BM25 wins for signature:")
    assert "1,234 texts were cut to 48 tokens in training." in said.text
    assert said.text.endswith("Too few passages to judge: question.")
    (table,) = blocks(section, Table)
    assert table.rows[0] == ("signature → docstring", 40, 39, 0.1, 0.5, 0.75, "-0.400 to -0.100")
    won = replace(ENCODED, recall_bm25=ENCODED.recall_before, texts_cut=0, trivial=())
    assert blocks(encoder_section(won), Paragraph) == [
        Paragraph(text=f"{helped} It finds at least as many as BM25.", tone=Tone.GOOD)
    ]
    (said,) = blocks(encoder_section(replace(ENCODED, recall_before={"signature": 0.5, "question": 0.2})), Paragraph)
    assert said.tone is Tone.NOTE
    assert "and found 37.1% before. Not more than before for signature." in said.text
    (said,) = blocks(encoder_section(replace(ENCODED, recall_before={"signature": 0.8, "question": 0.8})), Paragraph)
    assert said.tone is Tone.WARNING
    assert said.text.startswith(
        "Training did not help: it finds 67.1% of all held-out passages, and found 80.0% before."
    )


@pytest.mark.parametrize("section", [adapt_section, encoder_section, compress_section, evaluate_holes_section])
def test_a_skipped_stage_says_why(section: Callable[[Any], Section]) -> None:
    assert section(Skipped(why="there is no text")).summary == "Skipped: there is no text."
    slow = section(Skipped(why="there is no time", again=True)).summary
    assert slow.startswith("Skipped: there is no time. The next run tries again")


def test_eight_bits_say_what_they_cost_and_a_missed_bar_is_a_warning() -> None:
    section = compress_section(SMALLER)
    assert section.summary == "The model's folder in 0.30 of its size for +0.10% bits per byte: within its bars."
    missed = replace(SMALLER, quality=replace(QUALITY, comparison=replace(COMPARISON, mean_kl=0.5)))
    section = compress_section(missed)
    assert "it misses its bars: mean KL is 0.50000 nats" in section.summary
    assert [fact.tone for block in blocks(section, Facts) for fact in block.items] == [Tone.WARNING]
