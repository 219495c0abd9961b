"""The stages from text to tokens: corpus, tokenizer and tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from lavra.base.config import to_mapping
from lavra.base.errors import InputError
from lavra.base.ports import Progress
from lavra.data.pretraining.dataset import TokenDataset, write_tokens
from lavra.model.families.table import family
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import AnyStage, Stage, StageContext
from lavra.text.config import CorpusConfig
from lavra.text.corpus import Corpus, SplitName, build_corpus
from lavra.text.sources.reading import ReadConfig
from lavra.text.summary import split_sentence
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.roundtrip import RoundTripReport, check_round_trip
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.train import train_tokenizer

SPLITS: Final[tuple[SplitName, ...]] = ("train", "heldout")
LEAST_BYTES: Final = 1024  # bytes of text; less does not fill a row, and leaves no held-out text
_NUM_TRIED = 100  # held-out documents taken through the tokenizer and back
_NAMED_FILES: Final = 12
_BYTES_AN_ENTRY: Final = 64  # bytes of text for each entry of the vocabulary
_ROOM: Final = 256  # entries beside those every tokenizer of a kind has


@dataclass(frozen=True, kw_only=True)
class SplitSize:
    """The size of one side of the split.

    Attributes:
        documents: number of documents.
        bytes: bytes of UTF-8 text.
    """

    documents: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class UsedFile:
    """A file whose text is in the corpus.

    Attributes:
        name: name in reports.
        documents: number of its documents in the corpus.
        bytes: bytes of these documents.
    """

    name: str
    documents: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class UnusedFile:
    """A file or folder that was not read, or not to its end.

    Attributes:
        name: name in reports.
        reason: kind of the problem.
        detail: details and the remedy; often empty.
    """

    name: str
    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class CorpusFiles:
    """The used and unused files, a few of each by name.

    Attributes:
        used: the largest used files.
        unused: some of the unused files.
        num_used: number of all used files.
        num_unused: number of all unused files.
        num_found: number of all files, each once; 0 in a result of a version that did not count them.
    """

    used: tuple[UsedFile, ...]
    unused: tuple[UnusedFile, ...]
    num_used: int
    num_unused: int
    num_found: int = 0


@dataclass(frozen=True, kw_only=True)
class CorpusResult:
    """The result of the corpus stage.

    Attributes:
        training: size of the training side.
        heldout: size of the held-out side.
        rows: steps of the preparation, label and value, in their order.
        split: the method of the split, as a clause.
        files: the used and unused files.
    """

    training: SplitSize
    heldout: SplitSize
    rows: tuple[tuple[str, str], ...]
    split: str
    files: CorpusFiles


@dataclass(frozen=True, kw_only=True)
class TokenizerFigures:
    """The tokenizer's figures in the card.

    Attributes:
        bytes_per_token: bytes a token of held-out text.
        texts_changed: held-out documents that decode to another text, without a known reason.
        unknown_tokens: number of unknown tokens in held-out documents.
    """

    bytes_per_token: float
    texts_changed: int
    unknown_tokens: int


@dataclass(frozen=True, kw_only=True)
class TokenizerResult(TokenizerFigures):
    """The result of the tokenizer stage.

    Attributes:
        vocab_size: number of entries.
        trial: round trip of held-out documents through the tokenizer.
        usual_size: number of entries where the text is large enough.
    """

    vocab_size: int
    trial: RoundTripReport
    usual_size: int = 0


@dataclass(frozen=True, kw_only=True)
class TokensResult:
    """The number of tokens of the text.

    Attributes:
        train_tokens: tokens of the training split.
        heldout_tokens: tokens of the held-out split.
    """

    train_tokens: int
    heldout_tokens: int


def corpus_stage(config: UpConfig, progress: Progress) -> Stage[CorpusResult]:
    """Read, clean, deduplicate and split the text."""
    source = config.source()
    settings = CorpusConfig(
        read=ReadConfig(text_field=config.text_field),
        heldout_fraction=config.heldout_fraction,
        seed=config.split_seed,
    )

    def run(context: StageContext) -> CorpusResult:
        corpus = build_corpus([source], context.folder, settings, progress)
        training, heldout = (
            SplitSize(documents=corpus.num_documents(split), bytes=corpus.num_bytes(split)) for split in SPLITS
        )
        _refuse_too_little(corpus, training.bytes + heldout.bytes)
        return CorpusResult(
            training=training,
            heldout=heldout,
            rows=tuple(corpus.summary_rows()),
            split=split_sentence(corpus.counts["split"]),
            files=_files(corpus),
        )

    return Stage(
        name="corpus",
        kind="corpus",
        folder="corpora",
        version=3,
        run=run,
        config=to_mapping(settings),
        inputs={"text": source.fingerprint()},
        result=CorpusResult,
        note=_note if config.text is not None else None,  # of the library, lavra itself left files out
    )


def _note(result: CorpusResult) -> str:
    """A clause on the files that were not used; empty where all were."""
    return unused_note(result.files)


def unused_note(files: CorpusFiles) -> str:
    """A clause with the number of files that were not used, and where their reasons stand; empty where all were used.

    Args:
        files: the used and unused files; a file that was read up to a damaged place is both.
    """
    if not files.num_unused:
        return ""
    number = f"{files.num_unused:,} of {files.num_found:,}" if files.num_found else f"{files.num_unused:,}"
    what = "file" if max(files.num_unused, files.num_found) == 1 else "files"
    how = " or only in part" if 0 < files.num_found < files.num_used + files.num_unused else ""
    were = "was" if files.num_unused == 1 else "were"
    listed = "each with its reason" if len(files.unused) == files.num_unused else f"{len(files.unused)}, with reasons"
    return f"{number} {what} {were} not used{how}: the report lists {listed}"


def _files(corpus: Corpus) -> CorpusFiles:
    """A few files by name, and the number of all."""
    table = corpus.file_table(_NAMED_FILES)
    num_both = corpus.counts["files"].get("in_part", 0)  # in the table as a used and as an unused file
    return CorpusFiles(
        used=tuple(UsedFile(name=one.source, documents=one.documents, bytes=one.bytes) for one in table.used),
        unused=tuple(UnusedFile(name=one.source, reason=one.reason, detail=one.detail) for one in table.unused),
        num_used=table.num_used,
        num_unused=table.num_unused,
        num_found=table.num_used + table.num_unused - num_both,
    )


def _refuse_too_little(corpus: Corpus, num_bytes: int) -> None:
    if num_bytes >= LEAST_BYTES:
        return
    reasons = corpus.counts["dropped"].items()
    dropped = "".join(f"; {reason}: {found['bytes']:,} bytes dropped" for reason, found in reasons)
    raise InputError(
        f"the text has {num_bytes:,} bytes after cleaning, of {corpus.counts['bytes']['read']:,} that were read"
        f"{dropped}; a model needs {LEAST_BYTES:,} or more: give more text with `text`"
    )


def fitting_vocabulary(most: int, num_bytes: int, least: int) -> int:
    """The number of entries that a text of this size can teach: a power of two, within bounds."""
    fitting = 1 << max(0, (num_bytes // _BYTES_AN_ENTRY).bit_length() - 1)
    return max(min(most, fitting), min(most, least))


def tokenizer_stage(config: UpConfig, progress: Progress) -> Stage[TokenizerResult]:
    """Train a tokenizer on the training documents."""
    kind = family(config.family).tokenizer
    settings = TokenizerConfig(kind=kind, vocab_size=config.tokenizer_size, fim=config.fim_rate > 0)

    def run(context: StageContext) -> TokenizerResult:
        corpus = Corpus.open(context.parents["corpus"])
        size = settings.vocab_size
        if config.vocab_size is None:
            size = fitting_vocabulary(size, corpus.num_bytes("train"), settings.min_vocab_size + _ROOM)
        tokenizer = train_tokenizer(_texts(corpus, progress), replace(settings, vocab_size=size))
        tokenizer.save(context.folder)
        return replace(try_out(tokenizer, corpus), usual_size=settings.vocab_size)

    return Stage(
        name="tokenizer",
        kind="tokenizer",
        folder="tokenizers",
        version=2,
        run=run,
        needs=("corpus",),
        config=to_mapping(settings),
        result=TokenizerResult,
        figures=TokenizerFigures,
    )


def _texts(corpus: Corpus, progress: Progress) -> Iterator[str]:
    total, done = corpus.num_bytes("train"), 0
    for document in corpus.documents("train"):
        yield document.text
        done += len(document.text.encode())
        progress("learn tokens", done, total)


def try_out(tokenizer: Tokenizer, corpus: Corpus) -> TokenizerResult:
    """Encode held-out documents with a tokenizer and decode them again."""
    texts = [document.text for document, _ in zip(corpus.documents("heldout"), range(_NUM_TRIED), strict=False)]
    trial = check_round_trip(tokenizer, texts)
    num_bytes = sum(len(text.encode()) for text in texts)
    return TokenizerResult(
        bytes_per_token=num_bytes / max(1, sum(map(len, tokenizer.encode_batch(texts, parse_special=False)))),
        texts_changed=trial.num_changed,
        unknown_tokens=trial.unknown_tokens,
        vocab_size=tokenizer.vocab_size,
        trial=trial,
    )


def tokens_stage(config: UpConfig, progress: Progress) -> Stage[TokensResult]:
    """Write both splits as token files."""

    def run(context: StageContext) -> TokensResult:
        corpus = Corpus.open(context.parents["corpus"])
        tokenizer = Tokenizer.load(context.parents["tokenizer"])
        train, heldout = (
            write_tokens(
                context.folder / split, corpus.documents(split), tokenizer, progress, num_bytes=corpus.num_bytes(split)
            )
            for split in SPLITS
        )
        return TokensResult(train_tokens=train.num_tokens, heldout_tokens=heldout.num_tokens)

    return Stage(
        name="tokens",
        kind="tokens",
        folder="corpora",
        version=1,
        run=run,
        needs=("corpus", "tokenizer"),
        result=TokensResult,
        figures=TokensResult,
    )


def prepare_stages(config: UpConfig, progress: Progress) -> list[AnyStage]:
    """The three stages, in order."""
    return [corpus_stage(config, progress), tokenizer_stage(config, progress), tokens_stage(config, progress)]


def open_tokens(folder: Path, split: str) -> TokenDataset:
    """A split of a tokens artifact."""
    return TokenDataset.open(folder / split)
