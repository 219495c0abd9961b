"""From a head's logits to a tag a word, and to the entities those make."""

from __future__ import annotations

from collections.abc import Sequence

from lavra.base.arrays import Float32s
from lavra.base.errors import InputError
from lavra.base.predictions import Entity, Prediction, Tagging, TagRequest
from lavra.data.labelled.samples import Place, TagSample
from lavra.data.labelled.word_cutting import cut_words
from lavra.data.rows.words import TagConfig, TagRows, inside, unlabelled_tag_rows
from lavra.metrics.probabilities import softmax
from lavra.metrics.tag_schemes import spans
from lavra.tasks.predicting.headed import HeadedModel
from lavra.tasks.tag import TAG

OUTSIDE = "O"
"""Tag of a word that is not part of an entity, and of one the tokenizer has no tokens for."""


def tag(model: HeadedModel, texts: Sequence[str | Sequence[str]]) -> list[Tagging]:
    """The words of each text, their tags and the entities; long texts are read in windows, nothing is cut.

    Args:
        model: finetuned for named entities.
        texts: each a text, cut into words here, or its words.

    Raises:
        InputError: the model has another head, or a text has no words.
    """
    requests = [TagRequest(text=text if isinstance(text, str) else tuple(text)) for text in texts]
    return [one.value for one in predict_tags(model, requests)]


def predict_tags(model: HeadedModel, requests: Sequence[TagRequest]) -> list[Prediction[Tagging]]:
    """The tags as `tag` gives them, with the number of tokens read and warnings."""
    model.require(TAG)
    samples = [_sample(one.text, number) for number, one in enumerate(requests)]
    rows = unlabelled_tag_rows(samples, model.form(truncate=True), config=TagConfig())
    num_tokens, warnings = [0] * len(samples), [list[str]() for _ in samples]
    for number, ids in zip(rows.sources, rows.encoded.ids, strict=True):
        num_tokens[number] += len(ids)
    for issue in rows.issues:
        says = f"{issue.what}: every word is tagged {OUTSIDE}" if issue.dropped else issue.what
        warnings[issue.place.line].append(says)
    return [
        Prediction(value=_tagging(sample, tags), num_tokens=num_tokens[number], warnings=tuple(warnings[number]))
        for number, (sample, tags) in enumerate(zip(samples, _tags(model, rows, samples), strict=True))
    ]


def tag_samples(model: HeadedModel, samples: Sequence[TagSample]) -> list[list[tuple[str, float]]]:
    """The tag of each word of each sentence, and its probability."""
    return _tags(model, unlabelled_tag_rows(samples, model.form(truncate=True), config=TagConfig()), samples)


def _tags(model: HeadedModel, rows: TagRows, samples: Sequence[TagSample]) -> list[list[tuple[str, float]]]:
    labels = model.model.task.labels
    values = [[_best(row, labels) for row in logits] for logits in model.logits(rows)]
    by_word = rows.by_word(values)
    found = [
        [one or (OUTSIDE, 0.0) for one in by_word.get(number, [None] * len(sample.words))]
        for number, sample in enumerate(samples)
    ]
    for number, shared in rows.shared.items():
        for word, _ in shared:  # its token began with a word before it
            name, score = found[number][word]
            found[number][word] = inside(name), score
    return found


def _best(logits: Float32s, labels: Sequence[str]) -> tuple[str, float]:
    chances = softmax(logits)
    place = int(chances.argmax())
    return labels[place], float(chances[place])


def _tagging(sample: TagSample, tags: Sequence[tuple[str, float]]) -> Tagging:
    names = tuple(name for name, _ in tags)
    return Tagging(words=sample.words, tags=names, entities=tuple(entities_of(sample, tags)))


def entities_of(sample: TagSample, tags: Sequence[tuple[str, float]]) -> list[Entity]:
    """The entities that the tags of a sentence make, in order."""
    found = []
    for label, first, end in spans([name for name, _ in tags]):
        start, stop = sample.offsets[first][0], sample.offsets[end - 1][1]
        score = sum(score for _, score in tags[first:end]) / (end - first)
        found.append(Entity(label=label, text=sample.text[start:stop], start=start, end=stop, score=score))
    return found


def _sample(text: str | Sequence[str], number: int) -> TagSample:
    place = Place(line=number)
    if isinstance(text, str):
        offsets = cut_words(text)
        if not offsets:
            raise InputError(f"text {number} has no words; leave it out")
        words = tuple(text[start:end] for start, end in offsets)
        return TagSample(words=words, offsets=tuple(offsets), text=text, place=place)
    words = tuple(text)
    if not words or not all(words):
        raise InputError(f"text {number} is a list with {'an empty word' if words else 'no words'}; give words")
    ends: list[int] = []
    for word in words:
        ends.append((ends[-1] + 1 if ends else 0) + len(word))
    offsets = [(end - len(word), end) for word, end in zip(words, ends, strict=True)]
    return TagSample(words=words, offsets=tuple(offsets), text=" ".join(words), place=place)
