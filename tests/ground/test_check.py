"""A sentence and its evidence: supported or not, and the reason."""

from __future__ import annotations

import pytest

from lavra.base.errors import ConfigError
from lavra.base.ports import Predictor
from lavra.base.predictions import Classification, Prediction
from lavra.ground.check import NOTHING_TO_CHECK, best_evidence, check_sentence
from lavra.ground.config import GroundConfig
from lavra.ground.words import Language

ENGLISH = (
    "The World Health Organization was founded in 1948. It did not close its office in Geneva. "
    "Ana Silva sued Rui Costa in 1999, and prices rose by 12% over 10 km of road.",
    "Lisbon lies on the Tagus.",
)
PORTUGUESE = (
    "A Universidade Federal foi criada em 1962 e tem 12 mil alunos. O reitor não aprovou o orçamento. "
    "Maria Souza derrotou João Lima na eleição, e o preço caiu 5%.",
)


@pytest.mark.parametrize(
    ("sentence", "evidence"),
    [
        (ENGLISH[0].split(". ")[0] + ".", ENGLISH),
        ("According to the text, the WHO was founded in 1948.", ENGLISH),
        ("The answer is that the WHO was founded in 1948.", ENGLISH),
        ("A resposta é: 12.000 alunos.", PORTUGUESE),
        ("In 1999, Ana Silva sued Rui Costa.", ENGLISH),
        ("Rui Costa was sued by Ana Silva.", ENGLISH),
        ("Prices rose by twelve percent over 10,000 meters of road.", ENGLISH),
        ("The organization didn't close the Geneva office.", ENGLISH),
        ("Lisbon lies on the Tagus.", ENGLISH),
        ("A Universidade Federal tem 12.000 alunos.", PORTUGUESE),
        ("De acordo com o texto, o preço caiu cinco por cento.", PORTUGUESE),
        ("João Lima foi derrotado por Maria Souza na eleição.", PORTUGUESE),
    ],
)
def test_claims_of_the_evidence_are_supported(sentence: str, evidence: tuple[str, ...]) -> None:
    found = check_sentence(sentence, evidence)
    assert found.supported, found.reason
    assert found.reason == ""
    assert found.score >= 0.7


@pytest.mark.parametrize(
    ("sentence", "evidence", "reason"),
    [
        ("The World Health Organization was founded in 1949.", ENGLISH, "number 1949"),
        ("The World Bank was founded in 1948.", ENGLISH, "name Bank"),
        ("The organization closed its office in Geneva.", ENGLISH, "contrary"),
        ("The World Health Organization was never founded in 1948.", ENGLISH, "contrary"),
        ("Rui Costa sued Ana Silva in 1999.", ENGLISH, "exchanges"),
        ("Prices fell by 12% over 10 km of road.", ENGLISH, "'fell' where the evidence says 'rose'"),
        ("Prices rose by 10% over 12 km of road.", ENGLISH, "number 10%"),
        ("Prices rose by 1999% over 10 km of road.", ENGLISH, "where the evidence says"),
        ("Ana Silva sued Geneva in 1999.", ENGLISH, "where the evidence says 'Rui'"),
        ("Elephants drink milk at night.", ENGLISH, "no word"),
        ("Prices of elephants drinking milk at night stayed.", ENGLISH, "% of its words"),
        ("O reitor aprovou o orçamento.", PORTUGUESE, "contrary"),
        ("O preço subiu 5%.", PORTUGUESE, "'subiu' where the evidence says 'caiu'"),
        ("João Lima derrotou Maria Souza na eleição.", PORTUGUESE, "exchanges"),
        ("A Universidade Estadual foi criada em 1962.", PORTUGUESE, "name Estadual"),
    ],
)
def test_claims_beyond_the_evidence_are_unsupported_with_a_reason(
    sentence: str, evidence: tuple[str, ...], reason: str
) -> None:
    found = check_sentence(sentence, evidence)
    assert not found.supported
    assert reason in found.reason


def test_the_piece_of_evidence_is_named() -> None:
    assert check_sentence("Lisbon lies on the Tagus.", ENGLISH).evidence == 1
    assert check_sentence("Elephants drink milk.", ENGLISH).evidence is None
    assert best_evidence("Where does Lisbon lie?", ENGLISH) == (1, 1.0)
    assert best_evidence("Elephants drink milk.", ENGLISH) is None
    assert best_evidence("Lisbon", ()) is None


def test_an_opening_of_the_model_asks_for_no_evidence() -> None:
    spans = ["Best Answer: nobody knows what the answer is.", "Every employee has 25 days of paid leave."]
    assert best_evidence("The answer is: 25 days.", spans) == (1, 1.0)
    assert best_evidence("The answer is clear to employees.", spans) is not None


def test_two_sentences_may_support_a_claim_together() -> None:
    pieces = ("Ana was born in Lisbon.", "Ana works in Porto.")
    assert check_sentence("Ana was born in Lisbon and works in Porto.", pieces).supported
    assert not check_sentence(
        "Ana was born in Lisbon and works in Porto.", pieces, config=GroundConfig(sentences=1)
    ).supported


@pytest.mark.parametrize("sentence", ["", "It is.", "..."])
def test_nothing_to_check_is_said(sentence: str) -> None:
    assert check_sentence(sentence, ENGLISH).reason == NOTHING_TO_CHECK


def test_without_evidence_nothing_is_supported() -> None:
    assert not check_sentence("Lisbon lies on the Tagus.", ()).supported
    assert not check_sentence("Lisbon lies on the Tagus.", ("",)).supported


def test_rare_words_can_count_more() -> None:
    weights = {"tagus": 10.0}
    plain = check_sentence("Lisbon lies on the Douro tagus river.", ENGLISH).score
    found = best_evidence("Lisbon shines over the Tagus", ENGLISH, weights=lambda word: weights.get(word, 1.0))
    assert found == (1, pytest.approx(11 / 12))
    assert plain == 0.0  # the evidence has no Douro


class ToyHead:
    """An entailment head that returns what the test sets."""

    task = "classify"
    labels = ("entailment", "not_entailment")

    def __init__(self, probability: float) -> None:
        self.probability = probability
        self.asked: list[tuple[str, str]] = []

    def predict(self, requests):
        self.asked += [request.text for request in requests]
        scores = {"entailment": self.probability, "not_entailment": 1 - self.probability}
        return [Prediction(value=Classification(scores=scores), num_tokens=1) for _ in requests]


def test_a_head_judges_what_the_rules_leave_open() -> None:
    open_claim = "The organization started work in Geneva."
    assert isinstance(ToyHead(0.5), Predictor)
    assert not check_sentence(open_claim, ENGLISH).supported
    assert check_sentence(open_claim, ENGLISH, entailment=ToyHead(0.95)).supported
    other_verb = "The World Health Organization was dissolved in 1948."
    assert check_sentence(other_verb, ENGLISH).supported  # the rules alone cannot see it
    assert not check_sentence(other_verb, ENGLISH, entailment=ToyHead(0.02)).supported
    assert check_sentence("Lisbon lies on the Tagus.", ENGLISH, entailment=ToyHead(0.02)).supported  # word for word
    head = ToyHead(0.99)
    assert not check_sentence("Ana Silva sued Rui Costa in 2001.", ENGLISH, entailment=head).supported
    assert head.asked == []  # a number that is not there is no matter of opinion


def test_a_head_is_asked_in_its_languages_alone() -> None:
    head = ToyHead(0.99)
    config = GroundConfig(head_languages=(Language.PORTUGUESE,))
    assert not check_sentence(
        "The organization started work in Geneva.", ENGLISH, entailment=head, config=config
    ).supported
    assert head.asked == []


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"coverage is 1\.5; give a share"):
        GroundConfig(coverage=1.5)
    with pytest.raises(ConfigError, match="sentences is 0"):
        GroundConfig(sentences=0)
