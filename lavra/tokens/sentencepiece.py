"""SentencePiece's own file, `tokenizer.model` or `spiece.model`, as a tokenizer of the `tokenizers` library.

The file is a protocol buffer (https://github.com/google/sentencepiece, `src/sentencepiece_model.proto`) of pieces with
scores, training settings and the normaliser; the few fields that matter are read here, without a protobuf library.
Ids are those of SentencePiece (Kudo & Richardson 2018, arXiv:1808.06226).  BPE (Sennrich et al. 2016) there merges the
pair whose union has the best score, which is an order of merges here.

Deliberately absent: models of words and of characters, white space as a suffix.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from lavra.base.errors import CheckpointError
from lavra.tokens.definition import SPACE_MARK

_UNIGRAM, _BPE = 1, 2  # TrainerSpec.ModelType
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6  # SentencePiece.Type
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types of protocol buffers


@dataclass(frozen=True, kw_only=True)
class VocabularyPiece:
    """An entry of the vocabulary; its id is its place.

    Attributes:
        text: text of the piece, with a visible space.
        score: log-probability, or minus the rank of a merge.
        kind: `SentencePiece.Type`.
    """

    text: str
    score: float
    kind: int


@dataclass(frozen=True, kw_only=True)
class PieceModel:
    """The content of a file.

    Attributes:
        pieces: the vocabulary.
        kind: `TrainerSpec.ModelType`.
        byte_fallback: whether text without a piece is spelled by bytes.
        unk_id: id of the piece for text that cannot be spelled.
        bos: the piece that begins a text, None where there is none.
        eos: the piece that ends it.
        pad: the piece for padding.
        charsmap: the table of characters, empty where nothing changes.
        dummy_prefix: whether a space is put before a text.
        extra_spaces: whether white space at the ends and repeated spaces stay.
        suffix_spaces: whether spaces belong to the word before them.
    """

    pieces: tuple[VocabularyPiece, ...]
    kind: int
    byte_fallback: bool
    unk_id: int
    bos: str | None
    eos: str | None
    pad: str | None
    charsmap: bytes
    dummy_prefix: bool
    extra_spaces: bool
    suffix_spaces: bool

    @property
    def unk(self) -> str:
        """The piece for text that cannot be spelled."""
        return self.pieces[self.unk_id].text


def read_pieces(data: bytes, where: str) -> PieceModel:
    """Parse a file.

    Raises:
        CheckpointError: it is not a SentencePiece model, or of a kind that is not supported.
    """
    try:
        found = _fields(data)
        pieces = tuple(_piece(_fields(one)) for one in found.get(1, []))
        trainer, normalizer = (_fields(found.get(number, [b""])[-1]) for number in (2, 3))
        model = _model(pieces, trainer, normalizer)
    except (ValueError, IndexError, TypeError, struct.error) as error:
        raise CheckpointError(
            f"{where} ({len(data)} bytes) is not a SentencePiece model ({error}); fetch the file again, or add the "
            "tokenizer.json of this model"
        ) from error
    if model.kind not in (_UNIGRAM, _BPE) or model.suffix_spaces:
        raise CheckpointError(
            f"{where} is a SentencePiece model of words or characters, or with spaces behind words; lavra reads "
            "Unigram and BPE with spaces before them"
        )
    return model


def _piece(found: dict[int, list[Any]]) -> VocabularyPiece:
    return VocabularyPiece(
        text=_last(found, 1, b"").decode("utf-8"),
        score=struct.unpack("<f", _last(found, 2, b"\0\0\0\0"))[0],
        kind=_last(found, 3, _NORMAL),
    )


def _model(
    pieces: tuple[VocabularyPiece, ...], trainer: dict[int, list[Any]], normalizer: dict[int, list[Any]]
) -> PieceModel:
    if not pieces:
        raise ValueError("it has no pieces")
    unk = [index for index, piece in enumerate(pieces) if piece.kind == _UNKNOWN]
    if len(unk) != 1:
        raise ValueError(f"it has {len(unk)} pieces for what cannot be spelled")
    controls = {piece.text for piece in pieces if piece.kind == _CONTROL}

    def role(number: int, usual: bytes) -> str | None:
        text = _last(trainer, number, usual).decode("utf-8")
        return text if text in controls else None

    return PieceModel(
        pieces=pieces,
        kind=_last(trainer, 3, _UNIGRAM),
        byte_fallback=bool(_last(trainer, 35, 0)),
        unk_id=unk[0],
        bos=role(46, b"<s>"),
        eos=role(47, b"</s>"),
        pad=role(48, b"<pad>"),
        charsmap=_last(normalizer, 2, b""),
        dummy_prefix=bool(_last(normalizer, 3, 1)),
        extra_spaces=not _last(normalizer, 4, 1),
        suffix_spaces=bool(_last(trainer, 24, 0)),
    )


def _fields(data: bytes) -> dict[int, list[Any]]:
    """Field number -> its values: whole numbers, four or eight bytes as they are, or bytes of any length."""
    found: dict[int, list[Any]] = {}
    for number, value in _pairs(data):
        found.setdefault(number, []).append(value)
    return found


def _pairs(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if wire not in (_FIXED64, _BYTES, _FIXED32):
            raise ValueError(f"byte {at} has the wire type {wire}")
        length = 8 if wire == _FIXED64 else 4
        if wire == _BYTES:
            length, at = _varint(data, at)
        if at + length > len(data):
            raise ValueError(f"it ends at byte {len(data)} within a field")
        yield key >> 3, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and where the next field begins."""
    value, shift = 0, 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError(f"byte {at} is within a number of more than 64 bits")


def _last(found: dict[int, list[Any]], number: int, usual: Any) -> Any:
    """A field's value; if it is written twice, the last counts."""
    return found.get(number, [usual])[-1]


# ---- as a tokenizer -----------------------------------------------------------------------------------------


def piece_backend(model: PieceModel, extra: tuple[str, ...] = (), *, first_only: bool = False) -> tokenizers.Tokenizer:
    """The tokenizer with SentencePiece's ids, without anything around a text.

    Args:
        model: the content of a file.
        extra: further special tokens, with the ids behind the vocabulary.
        first_only: put a space before the beginning of a text only, and not before text behind a special token in
            it (`legacy: false` of transformers; SentencePiece itself knows no special tokens in a text).
    """
    backend = tokenizers.Tokenizer(_unigram(model, extra) if model.kind == _UNIGRAM else _bpe(model))
    marks = first_only and model.dummy_prefix
    backend.normalizer = _normalizer(model, marks=not marks)
    if marks:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(SPACE_MARK, prepend_scheme="first", split=False)
    backend.decoder = _decoder(model)
    own = [
        tokenizers.AddedToken(piece.text, normalized=False, special=piece.kind != _USER_DEFINED)
        for piece in model.pieces
        if piece.kind in (_CONTROL, _USER_DEFINED, _UNKNOWN)
    ]
    backend.add_tokens([*own, *(tokenizers.AddedToken(token, normalized=False, special=True) for token in extra)])
    return backend


def _unigram(model: PieceModel, extra: tuple[str, ...]) -> models.Unigram:
    vocab = [(piece.text, piece.score) for piece in model.pieces]
    return models.Unigram([*vocab, *((token, 0.0) for token in extra)], model.unk_id, model.byte_fallback)


def _bpe(model: PieceModel) -> models.BPE:
    ids = {piece.text: index for index, piece in enumerate(model.pieces)}
    whole = {piece.text: piece.score for piece in model.pieces if piece.kind in (_NORMAL, _USER_DEFINED, _UNUSED)}
    merges = [
        (-score, index, text[:cut], text[cut:])
        for index, (text, score) in enumerate(whole.items())
        for cut in range(1, len(text))
        if text[:cut] in whole and text[cut:] in whole
    ]
    return models.BPE(
        vocab=ids,
        merges=[(left, right) for _, _, left, right in sorted(merges)],
        unk_token=model.unk,
        fuse_unk=True,
        byte_fallback=model.byte_fallback,
    )


def _normalizer(model: PieceModel, *, marks: bool) -> normalizers.Normalizer:
    parts: list[normalizers.Normalizer] = [normalizers.Precompiled(model.charsmap)] if model.charsmap else []
    if not model.extra_spaces:
        space = tokenizers.Regex(" {2,}")
        parts += [normalizers.Replace(tokenizers.Regex("^ +| +$"), ""), normalizers.Replace(space, " ")]
    if marks and model.dummy_prefix:
        parts.append(normalizers.Prepend(SPACE_MARK))
    return normalizers.Sequence([*parts, *([normalizers.Replace(" ", SPACE_MARK)] if marks else [])])


def _decoder(model: PieceModel) -> decoders.Decoder:
    parts: list[decoders.Decoder] = [decoders.Replace(SPACE_MARK, " ")]
    if model.byte_fallback:
        parts.append(decoders.ByteFallback())
    parts.append(decoders.Fuse())
    return decoders.Sequence([*parts, *([decoders.Strip(" ", 1, 0)] if model.dummy_prefix else [])])
