"""The terms of texts: pairs that must match, in many scripts and languages."""

import random
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
import Stemmer
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError
from lavra.rag.words import STEMMERS, Analyzer, fold, restore_portuguese, runs

PLAIN, ENGLISH, PORTUGUESE = Analyzer(), Analyzer(("en",)), Analyzer(("pt",))


def shares(analyzer, document, query):
    return bool(set(analyzer.words(document)) & set(analyzer.query_words(query)))


@pytest.mark.parametrize(
    ("document", "query"),
    [
        ("the ISO-9001 norm", "ISO 9001"),
        ("the ISO 9001 norm", "ISO-9001"),
        ("the ISO9001 norm", "iso-9001"),
        ("def parse_json_file(path)", "parse_json_file"),
        ("def parse_json_file(path)", "json"),
        ("getHTTPResponse()", "response"),
        ("getHTTPResponse()", "gethttpresponse"),
        ("a sum of 1,234,567 dollars", "1234567"),
        ("a soma de 1.234.567 reais", "1,234,567"),
        ("pi is 3,14", "3.14"),
        ("the U.S.A.", "usa"),
        ("Newton's law", "newton"),
        ("d'água", "água"),
        ("ＦＵＬＬ ｗｉｄｔｈ", "full width"),
        ("the ﬁrst ligature", "first"),
        ("Straße", "STRASSE"),
        ("東京都に行く", "京都"),
        ("東京都に行く", "東"),
        ("ประเทศไทย", "ไทย"),
        ("iPhone手机很贵", "手机"),
        ("iPhone手机很贵", "iphone"),
        ("हिन्दी भाषा", "हिन्दी"),
        ("Ελλάδα", "ελλαδα"),
        ("ёлка", "елка"),
        ("write to ana@example.com", "ana@example.com"),
        ("C++ and C#", "c++"),
        ("2024-05-01", "2024"),
        ("v1.2.3 came", "1.2.3 v1.2.3"),
    ],
)
def test_a_document_is_found_by(document, query):
    assert shares(PLAIN, document, query)


@pytest.mark.parametrize(("document", "query"), [("3.14", "314"), ("กข", "ขก"), ("हिन्दी", "हानद"), ("in", "i n")])
def test_a_document_is_not_found_by(document, query):
    assert not shares(PLAIN, document, query)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("educação", "educacoes"),
        ("eleição", "eleições"),
        ("ciência", "ciencias"),
        ("possível", "possivel"),
        ("história", "historia"),
        ("informação", "INFORMAÇÕES"),
        ("químico", "quimicas"),
    ],
)
def test_portuguese_forms_are_one_word_with_accents_or_without(first, second):
    assert PORTUGUESE.words(first) == PORTUGUESE.words(second)


@given(st.text(alphabet="abcdefghijlmnopqrstuvxzáâãàçéêíóôõú -", max_size=40))
def test_portuguese_without_accents_gives_the_same_words(text):
    bare = "".join(one for one in unicodedata.normalize("NFD", text) if not unicodedata.combining(one))
    assert PORTUGUESE.words(bare) == PORTUGUESE.words(text)


def test_english_words_are_snowballs():
    words = ["connections", "connected", "nationally", "generously", "relational", "dogs", "running", "happily"]
    assert ENGLISH.words(" ".join(words)) == Stemmer.Stemmer("english").stemWords(words)


def test_many_threads_may_ask():
    words = [f"{start}{end}" for start in ("nation", "connect", "gener") for end in ("al", "ed", "ing", "ally", "s")]
    expected = [Analyzer(("en",)).words(word) for word in words]
    analyzer = Analyzer(("en",))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(analyzer.words, words * 20)) == expected * 20


def test_documents_of_two_languages_are_found_by_one_question():
    both = Analyzer(("en", "pt"))
    assert set(both.words("as eleições nacionais", "pt")) & set(both.query_words("eleição"))
    assert set(both.words("national elections", "en")) & set(both.query_words("election"))
    # A language that the index does not stem is read as the first one.
    assert both.words("national elections", "xx") == both.words("national elections", "en")


def test_a_word_that_both_languages_stem_alike_counts_once():
    assert Analyzer(("en", "pt")).query_words("html 9001") == ["html", "9001"]


@pytest.mark.parametrize("language", sorted(STEMMERS))
def test_every_stemmer_is_there(language):
    assert Analyzer((language,)).words("abc") != []
    assert STEMMERS[language] in Stemmer.algorithms()


def test_an_unknown_language_names_the_nearest():
    with pytest.raises(ConfigError, match="'portuguese'"):
        Analyzer(("portuguese",))


@given(st.text(max_size=60))
def test_terms_depend_on_neither_form_nor_case_nor_accents(text):
    words = PLAIN.words(text)
    assert all(words)
    assert PLAIN.words(unicodedata.normalize("NFD", text)) == words
    assert all(fold(word) == word for word in words)
    assert PLAIN.query_words(text) == words


@given(st.text(max_size=60))
def test_every_letter_and_digit_is_in_a_run(text):
    plain = unicodedata.normalize("NFKC", text)
    joined = "".join(runs(text))
    assert [one for one in joined if one.isalnum()] == [one for one in plain if one.isalnum()]


def test_marks_stay_with_their_letters():
    assert runs("हिन्दी में") == ["हिन्दी", "में"]


def test_restored_endings():
    assert [restore_portuguese(word) for word in ("acao", "acoes", "maes", "caes", "infancia")] == [
        "ação",
        "ação",
        "maes",
        "caes",
        "infância",
    ]


def test_a_long_run_is_read_quickly():
    """No pattern may take quadratic time."""
    rng = random.Random(0)
    for character in ("a", "1", "-", "a-", "1,", "ação", "東", "a.", "_", "é'"):
        PLAIN.words(character * 20_000)
    PLAIN.words("".join(rng.choice("aB1-_.,'é東") for _ in range(50_000)))
