"""The chat page: conversations are kept in the browser, found, renamed, deleted, exported and imported."""

from __future__ import annotations

import json
import time

import pytest

from tests.browser.conftest import wait_until
from tests.browser.scripted_models import serving
from tests.browser.test_chat_talk import opened, said, send, until_done

OFFLINE = ("Failed to load resource", "net::ERR")
REPLIES = {
    "What is a comet?": ["A ball of **ice** and dust."],
    "Onde fica Recife?": ["No Nordeste; há corações."],
    "Hello": ["Hi.", "Hi again."],
    None: ["Yes."],
}


@pytest.fixture(scope="module")
def server():
    with serving({"talker": REPLIES}) as (url, runners):
        yield url, runners["talker"]


@pytest.fixture
def page(server, visit):
    return opened(visit, server[0])


def ask(page, text):
    page.locator("#new").click()
    send(page, text)
    until_done(page)


def titles(page):
    return page.locator(".entry .title").all_inner_texts()


def act(page, title, name):
    """Choose an action from the menu of a conversation."""
    entry = page.locator(".conversations li", has_text=title)
    entry.locator("summary").click()
    entry.get_by_role("button", name=name, exact=True).click()


def test_conversations_are_listed_by_their_first_words_and_opened_again(page) -> None:
    ask(page, "What is a comet?")
    ask(page, "Onde fica Recife? " + "Uma pergunta bem longa " * 5)
    wait_until(page, "document.querySelectorAll('.entry').length === 2")
    assert titles(page) == ["Onde fica Recife? Uma pergunta bem longa Uma …", "What is a comet?"]
    page.get_by_role("button", name="What is a comet?", exact=True).click()
    page.locator(".answer", has_text="A ball of ice and dust.").wait_for()
    assert page.title() == "What is a comet? · lavra"
    page.reload()
    page.locator(".answer", has_text="A ball of ice and dust.").wait_for()
    page.go_back()
    page.locator(".said", has_text="Onde fica Recife?").wait_for()


def test_a_conversation_is_renamed(page) -> None:
    ask(page, "What is a comet?")
    act(page, "What is a comet?", "Rename")
    wait_until(page, "document.activeElement.value === 'What is a comet?'")
    page.keyboard.type("Sky")
    page.keyboard.press("Enter")
    page.locator(".entry", has_text="Sky").wait_for()
    send(page, "Hello")
    until_done(page)
    page.reload()
    page.locator(".entry", has_text="Sky").wait_for()
    assert titles(page) == ["Sky"]
    assert len(said(page)) == 4


def test_texts_of_conversations_are_found(page) -> None:
    comet, recife = "What is a comet?", "Onde fica Recife?"
    ask(page, comet)
    ask(page, recife)
    for query, found in [
        ("comet", [comet]),
        ("zebra", []),
        ("coracoes", [recife]),
        ("ICE dust", [comet]),
        ("recife nordeste", [recife]),
        ("  ", [recife, comet]),
    ]:
        page.locator("#find").fill(query)
        shown = "[...document.querySelectorAll('.entry .title')].map(one => one.textContent)"
        wait_until(page, f"JSON.stringify({shown}) === '{json.dumps(found, separators=(',', ':'))}'")
        if query == "coracoes":
            assert page.locator(".entry small").inner_text() == "No Nordeste; há corações."
        if not found:
            assert page.locator("#sidebar .empty").inner_text() == "Nothing found."


def test_a_deleted_conversation_can_be_had_back_and_else_is_gone(page) -> None:
    ask(page, "What is a comet?")
    ask(page, "Hello")
    act(page, "What is a comet?", "Delete")
    wait_until(page, "document.querySelectorAll('.entry').length === 1")
    page.locator("#undo").click()
    page.locator(".answer", has_text="A ball of ice").wait_for()
    assert sorted(titles(page)) == ["Hello", "What is a comet?"]
    act(page, "Hello", "Delete")
    page.get_by_role("button", name="Dismiss").click()
    wait_until(page, stored("conversations", "length === 1"))
    wait_until(page, stored("nodes", "every(one => one.text !== 'Hello')"))


def stored(name, condition):
    """A JavaScript expression over the records of a browser store."""
    return f"""new Promise(done => {{
        indexedDB.open("lavra-chat").onsuccess = ({{target: {{result}}}}) => {{
            result.transaction("{name}").objectStore("{name}").getAll().onsuccess = event => {{
                result.close();
                done(event.target.result.{condition});
            }};
        }};
    }})"""


def test_a_conversation_goes_out_as_json_and_comes_back_with_every_version(page, visit, server, tmp_path) -> None:
    ask(page, "Hello")
    page.get_by_role("button", name="Write again").click()
    until_done(page)
    shown = said(page)
    with page.expect_download() as download:
        act(page, "Hello", "Export as JSON")
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name == "Hello.json"
    (whole,) = json.loads(file.read_text())["conversations"]
    assert sorted(one["role"] for one in whole["nodes"]) == ["assistant", "assistant", "user"]
    other = opened(visit, server[0])
    for _ in range(2):  # a second time makes a second conversation, and overwrites nothing
        other.locator("#import").set_input_files(file)
        other.locator(".toast", has_text="1 conversations imported").wait_for()
        other.get_by_role("button", name="Dismiss").click()
    wait_until(other, "document.querySelectorAll('.entry').length === 2")
    assert said(other) == shown
    assert other.locator(".versions span").inner_text() == "2/2"
    with other.expect_download() as everything:
        other.locator("#export-all").click()
    everything.value.save_as(tmp_path / "all.json")
    assert len(json.loads((tmp_path / "all.json").read_text())["conversations"]) == 2


def test_a_conversation_goes_out_as_markdown(page, tmp_path) -> None:
    ask(page, "What is a comet?")
    with page.expect_download() as download:
        act(page, "What is a comet?", "Export as Markdown")
    download.value.save_as(tmp_path / "a.md")
    assert (tmp_path / "a.md").read_text() == (
        "# What is a comet?\n\n## You\n\nWhat is a comet?\n\n## talker\n\nA ball of **ice** and dust.\n"
    )


def test_another_file_is_not_imported(page, tmp_path) -> None:
    for text in ("not JSON", '{"format": "other"}', '{"format": "lavra-conversations", "conversations": [3]}'):
        (tmp_path / "a.json").write_text(text)
        page.locator("#import").set_input_files(tmp_path / "a.json")
        page.locator(".toast", has_text="holds no conversations").wait_for()
        assert titles(page) == []
        page.get_by_role("button", name="Dismiss").click()
        page.locator(".toast").wait_for(state="detached")


def test_each_conversation_has_a_draft_that_outlives_a_reload(page) -> None:
    ask(page, "Hello")
    page.locator("#text").fill("half a thought")
    page.reload()
    page.locator("#send:enabled").wait_for()
    assert page.locator("#text").input_value() == "half a thought"
    page.locator("#new").click()
    wait_until(page, "document.querySelector('#text').value === ''")
    page.locator("#text").fill("another")
    page.reload()
    wait_until(page, "document.querySelector('#text')?.value === 'another'")
    page.locator(".entry").click()
    wait_until(page, "document.querySelector('#text').value === 'half a thought'")


def test_conversations_outlive_a_server_that_is_gone(visit) -> None:
    with serving({"talker": REPLIES}) as (url, _):
        page = opened(visit, url, expected=OFFLINE)
        ask(page, "What is a comet?")
        page.locator("#text").fill("Hello")
    page.keyboard.press("Enter")
    page.locator(".problem", has_text="The server cannot be reached.").wait_for()
    assert said(page)[:3] == ["What is a comet?", "A ball of ice and dust.", "Hello"]
    page.locator("#text").fill("kept")
    with serving({"talker": REPLIES}, port=int(url.rpartition(":")[2])):
        page.reload()
        page.locator(".problem", has_text="The server cannot be reached.").wait_for()
        assert page.locator("#text").input_value() == "kept"
        page.get_by_role("button", name="Retry").click()
        until_done(page)
        assert said(page)[2:] == ["Hello", "Hi."]


def send_at_once(texts):
    """Press Enter in several tabs at the same moment: a tab that saw the other's message would continue from it."""
    for page, text in texts.items():
        page.locator("#text").fill(text)
    moment = (time.time() + 1) * 1000
    enter = "new KeyboardEvent('keydown', {key: 'Enter', bubbles: true, cancelable: true})"
    press = f"moment => setTimeout(() => document.querySelector('#text').dispatchEvent({enter}), moment - Date.now())"
    for page in texts:
        page.evaluate(press, moment)
    for page, text in texts.items():
        page.locator(".said", has_text=text).wait_for()


def test_tabs_add_to_one_conversation_and_see_one_another(server, page) -> None:
    ask(page, "Hello")
    other = page.context.new_page()
    other.goto(page.url)
    other.locator(".answer").wait_for()
    page.locator("#text").fill("a draft here")
    other.locator("#text").fill("a draft there")
    page.reload()
    page.locator("#send:enabled").wait_for()
    assert page.locator("#text").input_value() == "a draft here"
    send_at_once({page: "What is a comet?", other: "Onde fica Recife?"})
    for one in (page, other):  # each tab has a message, and continues its own conversation
        until_done(one)
        wait_until(one, "document.querySelector('.versions span')?.textContent.endsWith('/2')")
    assert said(page)[2] == "What is a comet?"
    assert said(other)[2] == "Onde fica Recife?"
    other.reload()
    other.locator(".versions").first.wait_for()
    wait_until(other, stored("nodes", "length === 6"))
