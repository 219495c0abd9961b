"""The chat page: an answer continues after a reload, after a broken connection, and in another tab."""

from __future__ import annotations

import pytest

from tests.browser.conftest import wait_until
from tests.browser.scripted_models import scripted_model, serving
from tests.browser.test_chat_talk import opened, said, send, until_done
from tests.server.conftest import running

LONG = " ".join(f"word{n}" for n in range(60)) + "."
SHORTER = " ".join(LONG.split()[:30])  # shorter than the default limit of tokens
PLACE = "Recife, no Nordeste do Brasil, perto do mar"
CALL = f'<tool_call>\n{{"name": "weather", "arguments": {{"place": "{PLACE}"}}}}\n</tool_call>'
BROKEN = ("Failed to load resource", "net::ERR")


@pytest.fixture(scope="module")
def one_server():
    with serving({"talker": {"Count": [LONG], "Weather?": [CALL]}}) as (url, runners):
        yield url, runners["talker"]


@pytest.fixture
def server(one_server):
    _, runner = one_server
    runner.seconds = 0.01
    runner.prompts.clear()
    return one_server


def until_word(page, number):
    page.locator(".answer", has_text=f"word{number} ").wait_for()


def test_an_answer_goes_on_after_a_reload_and_no_word_is_lost_or_twice(server, visit) -> None:
    page = opened(visit, server[0])
    send(page, "Count")
    for number in (3, 18):
        until_word(page, number)
        page.reload()
    until_word(page, 30)
    assert page.locator("#stop").is_visible()
    until_done(page)
    assert said(page) == ["Count", LONG]
    assert len(server[1].prompts) == 1  # it was written once
    assert "ended by itself" in page.locator("article.assistant .facts").inner_text()


def test_an_answer_that_ended_while_the_page_was_away_is_there(server, visit) -> None:
    page = opened(visit, server[0])
    send(page, "Count")
    until_word(page, 2)
    address = page.url
    page.goto("about:blank")
    server[1].seconds = 0.0
    page.wait_for_timeout(300)
    page.goto(address)
    page.locator("#send:enabled").wait_for()
    until_done(page)
    assert said(page) == ["Count", LONG]


def test_an_answer_goes_on_after_the_connection_broke(server, visit) -> None:
    page = opened(visit, server[0], expected=BROKEN)
    send(page, "Count")
    until_word(page, 3)
    page.context.set_offline(True)
    page.wait_for_timeout(100)
    page.context.set_offline(False)
    until_done(page)
    assert said(page) == ["Count", LONG]
    assert len(server[1].prompts) == 1


def test_a_stopped_answer_stays_stopped_and_costs_nothing_more(server, visit) -> None:
    page = opened(visit, server[0])
    send(page, "Count")
    until_word(page, 3)
    page.reload()
    until_word(page, 6)
    page.locator("#stop").click()
    until_done(page)
    batches = len(server[1].batches)
    page.wait_for_timeout(200)
    assert len(server[1].batches) <= batches + 2
    answer = said(page)[1]
    page.reload()
    page.locator("#send:enabled").wait_for()
    assert said(page)[1] == answer
    assert len(answer) < len(LONG)


def test_another_tab_sees_an_answer_grow_and_goes_on_with_it(server, visit) -> None:
    page = opened(visit, server[0])
    send(page, "Count")
    until_word(page, 2)
    other = page.context.new_page()
    other.goto(page.url)
    until_word(other, 10)
    page.close()
    until_done(other)
    assert said(other) == ["Count", LONG]
    assert len(server[1].prompts) == 1


def test_another_tab_can_stop_an_answer(server, visit) -> None:
    page = opened(visit, server[0])
    send(page, "Count")
    until_word(page, 2)
    other = page.context.new_page()
    other.goto(page.url)
    until_word(other, 8)
    other.locator("#stop").click()
    for one in (page, other):
        until_done(one)
    assert said(page) == said(other)
    assert len(said(page)[1]) < len(LONG)


def test_an_answer_dropped_by_the_server_is_reported_and_retried(visit) -> None:
    replies = {"talker": {"Count": [LONG]}}
    with serving(replies, drain_seconds=0.1) as (url, runners):
        runners["talker"].seconds = 0.01
        page = opened(visit, url, expected=BROKEN)
        send(page, "Count")
        until_word(page, 15)
        address = page.url
        page.goto("about:blank")
    with serving(replies, port=int(url.rpartition(":")[2])):
        page.goto(address)
        page.locator(".problem", has_text="The page was closed while this was written.").wait_for()
        assert "word3 " in said(page)[1]
        page.get_by_role("button", name="Retry").click()
        until_done(page)
        assert said(page) == ["Count", LONG]


def test_where_nothing_is_kept_an_answer_comes_all_the_same(visit) -> None:
    with serving({"talker": {"Count": [LONG]}}, stored_responses=0) as (url, _):
        page = opened(visit, url, expected=("400",))
        send(page, "Count")
        until_done(page)
        assert said(page) == ["Count", LONG]


def test_a_call_goes_on_after_a_reload(server, visit) -> None:
    page = opened(visit, server[0])
    page.locator("#settings").click()
    page.locator("#tools").fill('{"name": "weather", "parameters": {"type": "object"}}')
    page.get_by_role("button", name="Done").click()
    send(page, "Weather?")
    page.locator(".card").wait_for()
    page.reload()
    until_done(page)
    wait_until(page, f"document.querySelector('.card dd')?.textContent === '{PLACE}'")


def test_a_text_that_is_completed_goes_on_after_a_reload_too(visit) -> None:
    writer, runner = scripted_model("writer", {None: [SHORTER]}, chats=False)
    runner.seconds = 0.01
    with running([writer]) as url:
        page = opened(visit, url)
        send(page, "Once upon a time")
        page.locator(".said", has_text="word3 ").wait_for()
        page.reload()
        page.locator(".said", has_text="word12 ").wait_for()
        assert page.locator("#stop").is_visible()
        runner.seconds = 0.0
        until_done(page)
        assert said(page)[1].strip() == SHORTER
        assert len(runner.prompts) == 1  # it was written once
