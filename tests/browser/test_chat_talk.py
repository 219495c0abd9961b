"""The chat page: sending, stopping, versions of an answer, and branches of a conversation."""

from __future__ import annotations

import pytest

from tests.browser.conftest import wait_until
from tests.browser.scripted_models import serving

REPLIES = {
    "Hello": ["Hi.", "Hi again.", "Hi a third time."],
    "one\ntwo": ["Two lines."],
    "And then?": ["Then nothing."],
    "Bye": ["See you."],
    "Count": ["one two three four five " * 40],
}


@pytest.fixture(scope="module")
def server():
    with serving({"talker": REPLIES}) as (url, runners):
        yield url, runners["talker"]


@pytest.fixture
def page(server, visit):
    server[1].seconds = 0.0
    return opened(visit, server[0])


def opened(visit, url, **settings):
    page = visit(url, **settings)
    page.locator("#send:enabled").wait_for()
    return page


def send(page, text):
    page.locator("#text").fill(text)
    page.keyboard.press("Enter")


def until_done(page):
    """Wait until every answer has ended and is drawn."""
    drawn = "new Promise(done => requestAnimationFrame(() => setTimeout(() => done(true))))"
    wait_until(page, f"import('/chat/state.js').then(({{state}}) => state.busy.size === 0 && {drawn})")


def said(page):
    """Texts of the shown messages, in order."""
    return page.locator("article .said, article .answer").all_inner_texts()


def test_enter_sends_and_shift_enter_starts_a_line(page) -> None:
    page.locator("#text").focus()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    assert page.locator("#text").input_value() == "one\ntwo"
    page.keyboard.press("Enter")
    until_done(page)
    assert said(page) == ["one\ntwo", "Two lines."]
    assert page.locator("#text").input_value() == ""
    assert page.evaluate("document.activeElement.id") == "text"


def test_neither_space_nor_enter_that_ends_a_composed_character_is_sent(page) -> None:
    page.locator("#text").fill("かな")
    for composing in ("isComposing: true", "keyCode: 229"):
        page.evaluate(
            f"document.querySelector('#text').dispatchEvent("
            f"new KeyboardEvent('keydown', {{key: 'Enter', {composing}, bubbles: true, cancelable: true}}))"
        )
        page.wait_for_timeout(100)
        assert page.locator("#text").input_value() == "かな"
        assert page.locator("article").count() == 0
    send(page, " \n ")
    page.wait_for_timeout(100)
    assert page.locator("article").count() == 0


@pytest.mark.parametrize("way", ["button", "Escape"])
def test_an_answer_is_stopped_and_what_came_is_kept(server, page, way) -> None:
    server[1].seconds = 0.01
    send(page, "Count")
    page.locator(".answer", has_text="three").wait_for()
    if way == "button":
        page.locator("#stop").click()
    else:
        page.keyboard.press("Escape")
    until_done(page)
    answer = said(page)[1]
    assert answer.startswith("one two three")
    assert len(answer) < len(REPLIES["Count"][0]) / 2
    assert "stopped by you" in page.locator("article.assistant .facts").inner_text()
    page.reload()
    page.locator("article.assistant").wait_for()
    assert said(page)[1] == answer


def test_an_answer_is_written_again_and_every_version_is_kept(server, visit) -> None:
    with serving({"talker": REPLIES}) as (url, _):
        page = opened(visit, url)
        send(page, "Hello")
        until_done(page)
        for _ in range(2):
            page.get_by_role("button", name="Write again").click()
            until_done(page)
        assert said(page) == ["Hello", "Hi a third time."]
        assert page.locator(".versions span").inner_text() == "3/3"
        page.get_by_role("button", name="Earlier version").click()
        page.locator(".versions span", has_text="2/3").wait_for()
        assert said(page) == ["Hello", "Hi again."]
        page.reload()
        page.locator(".versions span", has_text="2/3").wait_for()
        page.get_by_role("button", name="Earlier version").click()
        page.locator(".answer", has_text="Hi.").wait_for()
        assert page.get_by_role("button", name="Earlier version").is_disabled()


def test_a_message_is_edited_and_both_branches_stay(server, page) -> None:
    send(page, "Hello")
    until_done(page)
    first = said(page)[1]
    send(page, "And then?")
    until_done(page)
    page.get_by_role("button", name="Edit").first.click()
    wait_until(page, "document.activeElement.value === 'Hello'")
    page.keyboard.press("Escape")
    page.locator(".editor").wait_for(state="detached")
    assert said(page) == ["Hello", first, "And then?", "Then nothing."]
    page.get_by_role("button", name="Edit").first.click()
    page.locator(".editor textarea").fill("Bye")
    page.keyboard.press("Enter")
    until_done(page)
    assert said(page) == ["Bye", "See you."]
    assert "Hello" not in server[1].prompts[-1]
    page.get_by_role("button", name="Earlier version").click()
    page.locator("article", has_text="And then?").wait_for()
    assert said(page) == ["Hello", first, "And then?", "Then nothing."]


def test_the_model_reads_the_shown_branch(server, page) -> None:
    send(page, "Hello")
    until_done(page)
    first = said(page)[1]
    page.get_by_role("button", name="Write again").click()
    until_done(page)
    second = said(page)[1]
    assert second != first or first == REPLIES["Hello"][-1]
    send(page, "And then?")
    until_done(page)
    prompt = server[1].prompts[-1]
    assert prompt.count("### user:") == 2
    assert f"### assistant:\n{second}\n" in prompt


def test_one_conversation_is_answered_while_another_one_goes_on(server, page) -> None:
    server[1].seconds = 0.03
    send(page, "Count")
    page.locator(".answer", has_text="two").wait_for()
    page.locator("#new").click()
    page.locator("#send:enabled").wait_for()
    wait_until(page, "document.querySelectorAll('.entry .at-work').length === 1")
    send(page, "And then?")
    page.locator(".answer", has_text="Then nothing.").wait_for()
    page.locator("#send:enabled").wait_for()
    assert said(page) == ["And then?", "Then nothing."]
    send(page, "Count")
    page.locator(".answer", has_text="two").wait_for()
    page.keyboard.press("Escape")  # stops only this answer
    page.locator(".facts", has_text="stopped by you").wait_for()
    wait_until(page, "document.querySelectorAll('.entry .at-work').length === 1")
    page.locator(".entry").last.click()
    page.locator("#stop").wait_for()
    server[1].seconds = 0.0
    until_done(page)
    assert [one.strip() for one in said(page)] == ["Count", REPLIES["Count"][0].strip()]
    assert page.locator(".entry .at-work").count() == 0
