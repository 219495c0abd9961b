"""The chat page's look: light and dark, narrow, by keyboard, in Portuguese, and with every kind of served model."""

from __future__ import annotations

import pytest

from lavra.base.introduction import Introduction
from tests.browser.conftest import overflow, wait_until
from tests.browser.scripted_models import scripted_model, serving
from tests.browser.test_chat_markdown import RICH
from tests.browser.test_chat_models import close_settings, open_settings
from tests.browser.test_chat_talk import opened, said, send, until_done
from tests.server.conftest import running, served
from tests.server.search.toy_index import toy_index

REPLIES = {"Rich": [RICH], None: ["Yes."]}


@pytest.fixture(scope="module")
def server():
    with serving({"talker": REPLIES, "second": REPLIES}, indexes=[toy_index()]) as (url, runners):
        yield url, runners


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(server, visit, violations, dark, width) -> None:
    every = ("minor", "moderate", "serious", "critical")
    page = opened(visit, server[0], width=width, dark=dark)
    assert violations(page, impacts=every) == []
    open_settings(page)
    page.locator("#schema").fill("{")
    page.locator("input[value=second]").check()
    assert violations(page, impacts=every) == []
    assert overflow(page) == 0
    close_settings(page)
    send(page, "Rich")
    until_done(page)
    page.locator(".hl-keyword").first.wait_for()
    page.get_by_role("button", name="Probabilities").first.click()
    page.locator(".token").nth(3).click()
    page.get_by_role("button", name="Write again").first.click()
    until_done(page)
    page.get_by_role("button", name="Earlier version").first.click()
    assert violations(page, impacts=every) == []
    assert overflow(page) == 0
    if width < 500:
        page.locator("#menu").click()
    page.locator(".menu summary").click()
    page.get_by_role("button", name="Delete").click()
    page.locator("#undo").wait_for()
    assert violations(page, impacts=every) == []
    assert overflow(page) == 0


def test_a_conversation_by_keyboard_alone(server, visit) -> None:
    page = opened(visit, server[0])
    assert page.evaluate("document.activeElement.id") == "text"
    page.keyboard.type("Hello")
    page.keyboard.press("Enter")
    until_done(page)
    tab_to(page, "Edit", back=True)
    page.keyboard.press("Enter")
    wait_until(page, "document.activeElement.value === 'Hello'")
    page.keyboard.type(" there")
    page.keyboard.press("Enter")
    until_done(page)
    assert said(page)[0] == "Hello there"
    page.locator("#text").focus()
    tab_to(page, "Earlier version", back=True)
    page.keyboard.press("Enter")
    page.locator(".said", has_text="Hello").wait_for()
    tab_to(page, "Settings", back=True)
    page.keyboard.press("Enter")
    page.locator("#system").wait_for()
    page.keyboard.press("Escape")
    page.locator("#system").wait_for(state="detached")
    assert page.evaluate("document.activeElement.id") == "settings"
    tab_to(page, "Settings: Hello", back=True)
    page.keyboard.press("Enter")
    tab_to(page, "Delete")
    page.keyboard.press("Enter")
    page.locator("#undo").wait_for()
    tab_to(page, "Undo")
    page.keyboard.press("Enter")
    page.locator(".entry", has_text="Hello").wait_for()


def tab_to(page, name, *, back=False):
    """Press Tab until an element with a name has the focus; each stop on the way is visible."""
    for _ in range(60):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        at = page.evaluate(
            """() => { const one = document.activeElement, box = one.getBoundingClientRect();
                       const name = one.getAttribute("aria-label") || one.textContent.trim();
                       return [name, box.width * box.height > 0]; }"""
        )
        assert at[1], at
        if at[0] == name:
            return
    raise AssertionError(f"Tab does not lead to {name}")


def test_a_phone_has_a_drawer_of_conversations(server, visit) -> None:
    page = opened(visit, server[0], width=400, height=800, touch=True)
    send(page, "Hello")
    until_done(page)
    assert not page.locator("#sidebar").is_visible()
    page.locator("#menu").tap()
    page.locator("#sidebar").wait_for()
    assert page.locator("#menu").get_attribute("aria-expanded") == "true"
    page.locator("#new").tap()
    page.locator("#sidebar").wait_for(state="hidden")
    page.locator(".welcome").wait_for()
    page.locator("#menu").tap()
    page.keyboard.press("Escape")
    page.locator("#sidebar").wait_for(state="hidden")


def test_portuguese_by_the_browsers_language_and_by_hand(server, visit, chromium) -> None:
    context = chromium.new_context(locale="pt-BR")
    page = context.new_page()
    page.goto(server[0])
    page.locator("#send:enabled").wait_for()
    assert page.locator("#send").inner_text() == "Enviar"
    assert page.evaluate("document.documentElement.lang") == "pt-BR"
    page.locator("#language").click()
    wait_until(page, "document.querySelector('#send').textContent === 'Send'")
    page.reload()
    page.locator("#send:enabled").wait_for()
    assert page.locator("#send").inner_text() == "Send"
    context.close()


def test_both_languages_have_every_word(server, visit) -> None:
    page = opened(visit, server[0])
    source = page.evaluate("fetch('/chat/words.js').then(answer => answer.text())")
    english, _, portuguese = source.partition("\n  pt: {")
    keys = [
        [line.strip().split(":")[0] for line in part.splitlines() if line.startswith("    ")]
        for part in (english, portuguese.partition("\n  },")[0])
    ]
    assert sorted(keys[0]) == sorted(keys[1])
    assert len(set(keys[0])) == len(keys[0]) > 80


def test_the_taught_model_is_chosen_first(visit) -> None:
    base, _ = scripted_model("base", {None: ["Base."]})
    taught, _ = scripted_model("taught", {None: ["Taught."]}, parent="base")
    with running([base, taught]) as url:
        page = opened(visit, url)
        assert page.locator("#model option").all_inner_texts() == ["base", "taught"]
        assert page.locator("#model").input_value() == "taught"
        send(page, "Hello")
        until_done(page)
        assert said(page)[1] == "Taught."
        page.locator("#model").select_option("base")
        send(page, "Hello")
        until_done(page)
        assert said(page)[3] == "Base."
    taught.engine.close()


def test_an_empty_page_says_what_the_model_is_good_for_and_offers_its_beginnings(visit) -> None:
    own = Introduction(good_for="It finishes 31% of lines.", beginnings=("Ask me a riddle", "<b>Two</b>", "Three"))
    introduced, _ = scripted_model("introduced", {None: ["Yes."]}, introduction=own)
    stranger, _ = scripted_model("stranger", {None: ["Yes."]})
    with running([introduced, stranger]) as url:
        page = opened(visit, url)
        assert page.locator(".good-for").inner_text() == "introduced, measured: It finishes 31% of lines."
        assert page.locator(".beginnings button").all_inner_texts() == list(own.beginnings)
        page.get_by_role("button", name="Ask me a riddle").click()
        wait_until(page, "document.activeElement.value === 'Ask me a riddle'")
        page.keyboard.type("!")
        page.keyboard.press("Enter")
        until_done(page)
        assert said(page)[0] == "Ask me a riddle!"
        page.locator("#new").click()
        page.locator("#model").select_option("stranger")
        page.locator(".good-for").wait_for(state="detached")
        assert page.locator(".beginnings button").count() == 3


def test_a_model_that_completes_goes_on_with_a_text(visit) -> None:
    writer, runner = scripted_model("writer", {}, chats=False)
    runner.replies[None] = [" there was a girl named Lily."]
    with running([writer]) as url:
        page = opened(visit, url)
        assert "completes text" in page.locator(".welcome").inner_text()
        assert page.locator("#text").get_attribute("placeholder") == "Write the beginning of a text"
        send(page, "Once upon a time")
        until_done(page)
        assert said(page)[1].strip() == "there was a girl named Lily."
        page.get_by_role("button", name="Probabilities").click()
        page.locator(".token").first.wait_for()


def test_an_index_answers_with_places_that_open(visit) -> None:
    with serving({"talker": REPLIES}, indexes=[toy_index()]) as (url, _):
        page = opened(visit, url)
        page.locator("#model").select_option(label=page.locator("#model option").last.inner_text())
        send(page, "What does the shop sell?")
        until_done(page)
        page.locator(".citations a, .answer .markdown").first.wait_for()
        page.get_by_role("link", name="Search documents").click()
        page.locator("#ask").wait_for()


def test_where_nothing_writes_the_page_says_what_answers(visit) -> None:
    with running([served("embedder", "bert")]) as url:
        page = visit(url)
        page.locator(".welcome p").wait_for()
        assert "embedder turns texts into vectors: ask /v1/embeddings." in page.locator(".welcome").inner_text()
        assert page.locator("#send").is_disabled()


def test_a_key_is_asked_for_and_kept_for_the_tab_alone(visit) -> None:
    with serving({"talker": REPLIES}, api_keys=("secret",)) as (url, _):
        page = visit(url, expected=("401",))
        page.locator("#key").fill("wrong")
        page.keyboard.press("Enter")
        page.locator("#keyform", has_text="does not know").wait_for()
        page.locator("#key").fill("secret")
        page.keyboard.press("Enter")
        page.locator("#keyform").wait_for(state="detached")
        send(page, "Hello")
        until_done(page)
        assert said(page)[1] == "Yes."
        page.reload()
        page.locator("#send:enabled").wait_for()
        stored = page.evaluate("JSON.stringify({...localStorage})")
        assert "secret" not in stored
        other = page.context.new_page()
        other.goto(url)
        other.locator("#keyform").wait_for()
        other.close()
