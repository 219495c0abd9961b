"""The search page in use: by keyboard, on a phone, in the dark, by a screen reader; hostile documents."""

from __future__ import annotations

import httpx2
import pytest

from tests.browser.conftest import overflow, wait_until
from tests.server.conftest import running
from tests.server.search.toy_index import TEXTS, toy_index

QUESTION = "How long lives an oak tree, and how much rain fell?"
EMOJI = "🐝🐝 Two bees 𝒇𝒍𝒚 here. 🌳 The oak tree 🌳 has “many” leaves. 🌊 The end."
KEYS = {"crew-key": ("crew",), "plain-key": ()}
ALL = ("minor", "moderate", "serious", "critical")


@pytest.fixture(scope="module")
def url():
    texts = {**TEXTS, "garden/emoji.txt": EMOJI, "livros/paginas.txt": pages()}
    with running([], indexes=[toy_index(texts=texts)]) as url:
        yield url


def pages():
    """The text of a book with seven pages."""
    animals = ("antas", "bugios", "capivaras", "emas", "garças", "onças", "tucanos")
    return "".join(f"A página {number} fala de {one}. ".ljust(400) for number, one in enumerate(animals, start=1))


def asked(visit, url, question=QUESTION, **settings):
    page = visit(f"{url}/search", **settings)
    page.locator("#ask").wait_for()
    ask(page, question)
    return page


def ask(page, question):
    before = page.locator("article .how").count()
    page.locator("#question").fill(question)
    page.keyboard.press("Enter")
    wait_until(
        page, f"document.querySelectorAll('article .how').length > {before} && !document.querySelector('#send').hidden"
    )


def highlighted(page):
    page.locator("#viewer-text mark").first.wait_for()
    return "".join(page.locator("#viewer-text mark").all_text_contents())


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing_and_nothing_sticks_out(visit, violations, url, dark, width) -> None:
    page = visit(f"{url}/search", width=width, dark=dark)
    page.locator("#ask").wait_for()
    assert violations(page, impacts=ALL) == []
    ask(page, QUESTION)
    page.locator("#filters summary").click()
    page.locator("article details summary").first.click()
    assert violations(page, impacts=ALL) == []
    assert overflow(page) == 0
    page.locator(".cite").first.click()
    page.locator("#viewer-text mark").wait_for()
    assert violations(page, impacts=ALL) == []
    assert overflow(page) == 0


def test_a_mark_opens_its_passage_in_the_document(visit, url) -> None:
    page = asked(visit, url)
    assert page.locator(".badge").inner_text() == "Quoted from the documents"
    page.locator(".cite", has_text="2").click()
    assert highlighted(page) == page.locator(".source .quote").nth(1).inner_text()
    assert page.locator("#viewer-title").inner_text() == "weather/rain.txt"
    assert page.locator("#viewer-place").inner_text() == "line 4,001"
    inside = "const box = m => m.getBoundingClientRect(); const at = box(document.querySelector('#viewer-text mark'));"
    view = "const over = box(document.querySelector('#viewer-body'))"
    assert page.evaluate(f"(() => {{ {inside} {view}; return at.top >= over.top && at.bottom <= over.bottom }})()")
    assert page.locator(".cite[aria-pressed=true]").all_inner_texts() == ["2"]


def test_an_address_opens_the_passage_and_text_is_counted_in_characters(visit, url) -> None:
    found = httpx2.post(f"{url}/v1/search", json={"query": "oak tree leaves many"}).json()["data"][0]
    start, end = EMOJI.index("The oak"), EMOJI.index(" 🌊")
    assert found["document"] == "garden/emoji.txt"
    page = visit(f"{url}/search#model=docs&document={found['document_id']}&start={start}&end={end}")
    assert highlighted(page) == "The oak tree 🌳 has “many” leaves."
    assert "start=" in page.evaluate("location.hash")


def test_more_of_a_long_document_comes_when_asked_for(visit, url) -> None:
    page = asked(visit, url, "The heaviest rain ever measured fell on Foc-Foc")
    page.locator(".cite").first.click()
    assert page.locator("#later").is_hidden()
    before = page.locator("#viewer-text").inner_text()
    page.locator("#earlier").click()
    wait_until(page, f"document.querySelector('#viewer-text').textContent.length > {len(before) + 1000}")
    shown = page.locator("#viewer-text").evaluate("box => box.textContent")
    assert TEXTS["weather/rain.txt"].endswith(shown)
    assert "Foc-Foc" in highlighted(page)


def test_the_page_of_a_passage_is_named_and_shown(visit, url) -> None:
    page = asked(visit, url, "Onde estão as garças?")
    assert page.locator(".source .where").first.inner_text() == "livros/paginas.txt page 5, line 1"
    page.locator(".cite").first.click()
    assert "página 5" in highlighted(page)
    assert page.locator(".page-name").all_inner_texts() == [f"page {number}" for number in range(1, 8)]
    assert page.locator(".page-name.current").inner_text() == "page 5"
    assert page.locator("#viewer-place").inner_text() == "page 5, line 1"
    assert "página 5" in page.locator(".page-name.current + .sheet mark").inner_text()


def test_hostile_documents_are_text(visit, url) -> None:
    page = asked(visit, url, "What do bees make from nectar and pollen?")
    page.locator(".cite").first.click()
    assert "<b>pollen</b>" in highlighted(page)
    assert "<script>document.title" in page.locator("#viewer-text").inner_text()
    assert page.locator("main script, #viewer script, main img, #viewer img, main b, #viewer b").count() == 0
    assert page.title() == "Search · lavra"


def test_unsupported_sentences_are_marked_in_words(visit, url) -> None:
    page = asked(visit, url)
    assert page.locator(".unsupported").count() == 1
    assert page.locator(".flag").inner_text() == "not supported: toy"
    assert page.locator(".answer strong").all_inner_texts() == ["centuries"]


def test_abstaining_is_said(visit, url) -> None:
    page = asked(visit, url, "zebra quux")
    assert page.locator(".badge").inner_text() == "Not in the documents"
    assert page.locator(".cite").count() == 0


def test_by_keyboard_on_a_phone_and_back(visit, url) -> None:
    page = asked(visit, url, width=360, height=700)
    page.locator(".cite").first.focus()
    page.keyboard.press("Enter")
    assert highlighted(page)
    assert page.evaluate("document.activeElement.id") == "viewer-title"
    for _ in range(8):  # the document covers the rest, which the keyboard does not reach
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('#viewer')")
    page.keyboard.press("Escape")
    assert page.locator("#viewer").is_hidden()
    assert page.evaluate("document.activeElement.className") == "cite"
    assert page.evaluate("location.hash") == ""


def test_filters_hold_and_can_be_taken_back(visit, url) -> None:
    page = visit(f"{url}/search")
    page.locator("#filters summary").click()
    page.locator("#filter-language").select_option("pt")
    assert page.locator("#filter-language option").all_inner_texts() == ["any", "English", "Portuguese"]
    page.locator("#filter-document").fill("livros")
    page.locator("#documents option").first.wait_for(state="attached")
    page.locator("#filter-document").fill("livros/rios.txt")
    ask(page, "rio capivaras")
    assert page.locator(".source .where").all_inner_texts() == ["livros/rios.txt page 1, line 1"]
    page.locator("#filters summary").click()
    page.get_by_label("Remove filter: livros/rios.txt").click()
    page.get_by_label("Remove filter: pt").click()
    ask(page, "capivaras")
    assert "livros/paginas.txt" in page.locator("article").last.locator(".source .where").first.inner_text()


def test_passages_alone_with_the_scores_of_each_arm(visit, url) -> None:
    page = visit(f"{url}/search")
    page.locator("#question").fill("oak tree")
    page.locator("#find").click()
    first = page.locator(".passage").first
    first.wait_for()
    assert first.locator("dt").all_inner_texts() == ["score", "bm25", "dense"]
    first.get_by_role("button").click()
    assert "oak" in highlighted(page)


def test_follow_ups_bring_the_conversation(visit) -> None:
    index = toy_index()
    with running([], indexes=[index]) as url:
        page = asked(visit, url, "What of the oak tree?")
        ask(page, "And the willow?")
        assert [turn.question for turn in index.answerer.questions[-1].history] == ["What of the oak tree?"]
        page.locator("#fresh").click()
        assert page.locator("article").count() == 0
        ask(page, "And rain?")
        assert index.answerer.questions[-1].history == ()


def test_in_portuguese(visit, violations, url) -> None:
    page = asked(visit, url, "Onde nasce o rio Amazonas?")
    page.locator("#language").click()
    assert page.evaluate("document.documentElement.lang") == "pt"
    assert page.locator(".badge").inner_text() == "Citado dos documentos"
    assert page.locator("#send").inner_text() == "Perguntar"
    assert violations(page, impacts=ALL) == []
    page.reload()
    page.locator("#ask").wait_for()
    assert page.locator("#send").inner_text() == "Perguntar"
    labels = page.evaluate("[...document.querySelectorAll('[data-say]')].filter(one => !one.textContent.trim()).length")
    assert labels == 0


def test_a_key_is_asked_for_and_kept_for_the_tab(visit, violations) -> None:
    refused = ("Failed to load resource",)
    with running([], indexes=[toy_index()], api_keys=tuple(KEYS), key_groups=KEYS) as url:
        page = visit(f"{url}/search", expected=refused)
        page.locator("#key-form").wait_for()
        assert violations(page, impacts=ALL) == []
        page.locator("#key").fill("wrong")
        page.keyboard.press("Enter")
        wait_until(page, "document.querySelector('#key-text').textContent.includes('not valid')")
        page.locator("#key").fill("plain-key")
        page.keyboard.press("Enter")
        page.locator("#ask").wait_for()
        ask(page, "launch code swordfish")
        assert page.locator(".badge").inner_text() == "Not in the documents"
        page.reload()
        page.locator("#ask").wait_for()


def test_a_document_that_is_gone_is_said_to_be(visit, url) -> None:
    page = visit(f"{url}/search#model=docs&document={'0' * 24}&start=0&end=5", expected=("Failed to load resource",))
    page.locator(".gone").wait_for()
    assert "may have been deleted after it was indexed" in page.locator(".gone").inner_text()
    assert page.locator("#viewer-title").inner_text() == "This document cannot be shown."


def test_an_answer_can_be_stopped_and_an_error_is_shown(visit, url) -> None:
    page = asked(visit, url, "x" * 10, expected=("Failed to load resource",))
    ask_empty = page.locator("article").count()
    page.locator("#question").fill("   ")
    page.keyboard.press("Enter")
    assert page.locator("article").count() == ask_empty
    page.route("**/v1/chat/completions", lambda route: route.abort())
    page.locator("#question").fill("oak")
    page.keyboard.press("Enter")
    page.locator(".problem").wait_for()
    assert page.locator(".problem").inner_text() == "The server cannot be reached."


def test_without_javascript_the_page_says_so(visit, url) -> None:
    page = visit(f"{url}/search", javascript=False)
    assert "needs JavaScript" in page.locator("noscript").inner_text()
