"""From text to tokens: the corpus, tokenizer and tokens stages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lavra.base.config import to_mapping
from lavra.base.ports import Progress
from lavra.base.units import format_size
from lavra.data.pretraining.dataset import TokenDataset, write_tokens
from lavra.model.families import family
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import Stage, StageContext
from lavra.report import Fact, Facts, Paragraph, Section, Table, Tone
from lavra.text import Corpus, CorpusConfig, SplitName, build_corpus
from lavra.tokens import Tokenizer, TokenizerConfig, check_round_trip, train_tokenizer

SPLITS: Final[tuple[SplitName, ...]] = ("train", "heldout")
_NUM_TRIED = 100  # held-out documents taken through the tokenizer and back


def corpus_stage(config: UpConfig, progress: Progress) -> Stage:
    """Read, clean, deduplicate and split the text."""
    source = config.source()
    settings = CorpusConfig(heldout_fraction=config.heldout_fraction, seed=config.split_seed)

    def run(context: StageContext) -> None:
        corpus = build_corpus([source], context.folder, settings, progress)
        context.section = _corpus_section(corpus)

    return Stage(
        name="corpus",
        kind="corpus",
        folder="corpora",
        version=1,
        run=run,
        config=to_mapping(settings),
        inputs={"text": source.fingerprint()},
    )


def _corpus_section(corpus: Corpus) -> Section:
    train, heldout = corpus.num_bytes("train"), corpus.num_bytes("heldout")
    documents = sum(corpus.num_documents(split) for split in SPLITS)
    return Section(
        title="Text",
        summary=(
            f"{format_size(train + heldout)} of clean text in {documents:,} documents; "
            f"{format_size(heldout)} of it held out and never trained on."
        ),
        blocks=(
            Facts(
                items=(
                    Fact(
                        label="Trained on",
                        value=format_size(train),
                        note=f"{corpus.num_documents('train'):,} documents",
                    ),
                    Fact(
                        label="Held out",
                        value=format_size(heldout),
                        note=f"{corpus.num_documents('heldout'):,} documents",
                    ),
                )
            ),
            Table(
                columns=("what happened to the text", ""),
                rows=tuple(corpus.summary_rows()),
                caption="From files to corpus",
            ),
        ),
    )


def tokenizer_stage(config: UpConfig, progress: Progress) -> Stage:
    """Train a tokenizer on the training documents."""
    kind = family(config.family).tokenizer
    settings = TokenizerConfig(kind=kind, vocab_size=config.tokenizer_size, fim=config.fim_rate > 0)

    def run(context: StageContext) -> None:
        corpus = Corpus.open(context.parents["corpus"])
        tokenizer = train_tokenizer(_texts(corpus, progress), settings)
        tokenizer.save(context.folder)
        context.section = _tokenizer_section(tokenizer, corpus, context)

    return Stage(
        name="tokenizer",
        kind="tokenizer",
        folder="tokenizers",
        version=1,
        run=run,
        needs=("corpus",),
        config=to_mapping(settings),
    )


def _texts(corpus: Corpus, progress: Progress) -> Iterator[str]:
    total, done = corpus.num_bytes("train"), 0
    for document in corpus.documents("train"):
        yield document.text
        done += len(document.text.encode())
        progress("learn tokens", done, total)


def _tokenizer_section(tokenizer: Tokenizer, corpus: Corpus, context: StageContext) -> Section:
    texts = [document.text for document, _ in zip(corpus.documents("heldout"), range(_NUM_TRIED), strict=False)]
    trial = check_round_trip(tokenizer, texts)
    num_bytes = sum(len(text.encode()) for text in texts)
    per_token = num_bytes / max(1, sum(map(len, tokenizer.encode_batch(texts, parse_special=False))))
    context.metrics.update(
        bytes_per_token=per_token, texts_changed=trial.num_changed, unknown_tokens=trial.unknown_tokens
    )
    exact = trial.num_exact == trial.num_texts
    return Section(
        title="Tokenizer",
        summary=f"{tokenizer.vocab_size:,} tokens; one carries {per_token:.2f} bytes of held-out text.",
        blocks=(
            Paragraph(
                text=f"{trial.num_exact} of {trial.num_texts} held-out documents come back byte for byte."
                + ("" if exact else f" {trial}"),
                tone=Tone.GOOD if exact else Tone.NOTE,
            ),
        ),
    )


def tokens_stage(config: UpConfig, progress: Progress) -> Stage:
    """Write both splits as token files."""

    def run(context: StageContext) -> None:
        corpus = Corpus.open(context.parents["corpus"])
        tokenizer = Tokenizer.load(context.parents["tokenizer"])
        for split in SPLITS:
            dataset = write_tokens(
                context.folder / split,
                corpus.documents(split),
                tokenizer,
                progress,
                num_bytes=corpus.num_bytes(split),
            )
            context.metrics[f"{split}_tokens"] = dataset.num_tokens

    return Stage(name="tokens", kind="tokens", folder="corpora", version=1, run=run, needs=("corpus", "tokenizer"))


def prepare_stages(config: UpConfig, progress: Progress) -> list[Stage]:
    """The three stages, in order."""
    return [corpus_stage(config, progress), tokenizer_stage(config, progress), tokens_stage(config, progress)]


def open_tokens(folder: Path, split: str) -> TokenDataset:
    """One split of a tokens artifact."""
    return TokenDataset.open(folder / split)
