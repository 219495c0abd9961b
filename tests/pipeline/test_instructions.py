"""Instructions made from documents: their counts, their order, and no held-out text among them."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.types import Document
from lavra.pipeline.instructions import count_kinds, make_samples
from lavra.pipeline.samples.sample import CODE_KINDS, NUM_CHOICES

VERBS = ("open", "close", "count", "paint", "weigh", "fold")


def document(number: int, things: tuple[str, ...] = ("box", "door")) -> Document:
    """A module with one function for each verb and thing."""
    functions = [
        f'def {verb}_{thing}_{number}(a):\n    """{verb.title()} the {thing} number {number}. Then stop."""\n'
        f"    return a.{verb}({number})\n"
        for verb in VERBS
        for thing in things
    ]
    return Document(id=f"d{number}", text="\n".join(functions), source=f"m{number}.py")


def test_each_definition_gives_one_sample_of_each_kind_and_its_pairs():
    made = make_samples([document(1), Document(id="t", text="No code here.")], seed=0)
    assert count_kinds(made.instructions) == dict.fromkeys(CODE_KINDS, 12)
    assert count_kinds(made.pairs) == {"signature": 12, "question": 12}
    assert (made.account.documents, made.account.not_python, made.account.definitions) == (2, 1, 12)
    by_kind = {one.kind: one for one in made.instructions if one.source == "m1.py:1"}
    assert by_kind["describe"].instruction == "What does this do?\n\ndef open_box_1(a)"
    assert by_kind["describe"].output == "Open the box number 1. Then stop."
    assert by_kind["signature"].output == "def open_box_1(a)"
    assert by_kind["complete"].output == "return a.open(1)"
    assert by_kind["choose"].output == "open_box_1"
    (question,) = [one for one in made.pairs if one.source == "m1.py:1" and one.kind == "question"]
    assert (question.anchor, question.positive) == ("Open the box number 1.", "def open_box_1(a) Then stop.")


def test_the_right_name_is_among_those_offered_and_anywhere():
    made = make_samples([document(number) for number in range(20)], seed=0)
    places: Counter[int] = Counter()
    for one in made.instructions:
        if one.kind == "choose":
            lines = one.instruction.split("\n\n")[1].splitlines()
            named = [place for place, line in enumerate(lines) if line.startswith(f"- def {one.output}(")]
            assert len(lines) == len(set(lines)) == NUM_CHOICES
            assert len(named) == 1
            places.update(named)
    # 240 draws of three places: 80 each, give or take five standard deviations
    assert all(abs(places[place] - 80) < 5 * (240 * 2 / 9) ** 0.5 for place in range(NUM_CHOICES))


def test_documents_with_too_few_names_offer_no_choice():
    few = Document(id="f", text='def a():\n    """Do one thing."""\ndef b():\n    """Do another thing."""\n')
    assert "choose" not in count_kinds(make_samples([few], seed=0).instructions)


def test_samples_asked_before_are_counted_and_left_out():
    twice = make_samples([document(1), Document(id="copy", text=document(1).text)], seed=0)
    once = make_samples([document(1)], seed=0)
    without = {(one.kind, one.instruction) for one in twice.instructions if one.kind != "choose"}
    assert without == {(one.kind, one.instruction) for one in once.instructions if one.kind != "choose"}
    assert len(twice.instructions) + len(twice.pairs) + twice.account.repeated == 2 * (4 * 12 + 2 * 12)


@settings(max_examples=40)  # every document is like every other
@given(seed=st.integers(0, 5), shared=st.sets(st.integers(0, 7), max_size=8))
def test_nothing_held_out_is_learnt(seed: int, shared: set[int]):
    train = make_samples([document(number) for number in range(8)], seed)
    heldout = make_samples([document(number) for number in (*sorted(shared), 8, 9)], seed, training=train)
    questions = {one.instruction for one in train.instructions}
    answers = {one.output for one in train.instructions}
    for one in heldout.instructions:
        assert one.instruction not in questions
        assert one.output not in answers
    known = {text for pair in train.pairs for text in (pair.anchor, pair.positive)}
    assert all(known.isdisjoint((pair.anchor, pair.positive)) for pair in heldout.pairs)
    assert count_kinds(heldout.instructions) == dict.fromkeys(CODE_KINDS, 24)  # of documents 8 and 9, whole
    assert heldout.account.in_training == len(shared) * 12 * 6


def test_the_order_is_the_seeds():
    documents = [document(number) for number in range(3)]
    first, again, other = (make_samples(documents, seed) for seed in (0, 0, 1))
    assert (first.instructions, first.pairs) == (again.instructions, again.pairs)
    assert [one.source for one in first.instructions] != [one.source for one in other.instructions]
    assert {one.kind for one in first.instructions[:30]} == set(CODE_KINDS)  # the first ones stand for all
