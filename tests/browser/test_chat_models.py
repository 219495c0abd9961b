"""The chat page: settings, functions as cards, models side by side, probabilities, errors and notes."""

from __future__ import annotations

import json
import math

import pytest

from tests.browser.conftest import wait_until
from tests.browser.scripted_models import scripted_model, serving
from tests.browser.test_chat_talk import opened, said, send, until_done
from tests.server.conftest import running

CALL = 'Let me look.\n<tool_call>\n{"name": "weather", "arguments": {"place": "Recife", "days": 3}}\n</tool_call>'
TOOL = {
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["place", "days"],
    },
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": False}
REPLIES = {
    "Hello": ["Hi.", "Hi again."],
    "Weather?": [CALL],
    "28 degrees": ["It is warm."],
    "Object?": ['{"a":true}'],
    None: ["Yes."],
}


@pytest.fixture(scope="module")
def server():
    with serving({"talker": REPLIES, "second": {None: ["Another answer."]}}) as (url, runners):
        yield url, runners


@pytest.fixture
def page(server, visit):
    return opened(visit, server[0])


def open_settings(page):
    page.locator("#settings").click()
    page.locator("#system").wait_for()


def close_settings(page):
    page.get_by_role("button", name="Done").click()
    page.locator("#settings-dialog").wait_for(state="detached")


def body_sent(page, act):
    """The JSON body of the page's request."""
    with page.expect_request(lambda one: one.method == "POST") as request:
        act()
    until_done(page)
    return request.value.post_data_json


def test_system_prompt_and_sampling_are_the_conversations_own(server, page) -> None:
    open_settings(page)
    page.locator("#system").fill("Be brief.")
    page.get_by_role("button", name="Balanced").click()
    page.locator("#max_tokens").fill("50")
    close_settings(page)
    assert page.evaluate("document.activeElement.id") == "settings"
    body = body_sent(page, lambda: send(page, "Hello"))
    assert (body["temperature"], body["top_p"]) == (0.7, 0.95)
    assert "Be brief." in server[1]["talker"].prompts[-1]
    page.reload()
    page.locator("#send:enabled").wait_for()
    open_settings(page)
    assert page.locator("#system").input_value() == "Be brief."
    assert page.locator("#max_tokens").input_value() == "50"
    assert page.get_by_role("button", name="Balanced").get_attribute("aria-pressed") == "true"
    page.locator("#temperature").fill("0.2")
    page.locator(".presets:not(:has([aria-pressed=true]))").wait_for()
    page.get_by_role("button", name="The model's own").click()
    wait_until(page, "document.querySelector('#temperature').value === ''")
    close_settings(page)
    page.locator("#new").click()
    body = body_sent(page, lambda: send(page, "Hello"))
    assert not {"temperature", "top_p", "max_tokens", "max_output_tokens", "seed"} & set(body)
    assert "Be brief." not in server[1]["talker"].prompts[-1]


def test_a_model_that_names_no_way_to_draw_is_drawn_balanced(visit) -> None:
    balanced, own = ("Balanced", {"temperature": 0.7, "top_p": 0.95}), ("The model's own", {})
    named = {
        "silent": ({}, balanced),
        "brief": ({"repetition_penalty": 1.1, "max_tokens": 9}, balanced),
        "cool": ({"temperature": 0.3}, own),
        "narrow": ({"top_k": 1}, own),
    }
    models = [scripted_model(name, REPLIES, usual=usual)[0] for name, (usual, _) in named.items()]
    with running(models) as url:
        page = opened(visit, url)
        for name, (_, (preset, sent)) in named.items():
            page.locator("#model").select_option(name)
            open_settings(page)
            assert page.locator(".presets [aria-pressed=true]").all_inner_texts() == [preset]
            page.locator("#seed").fill("3")  # a seed is no preset: the preset stays
            assert page.locator(".presets [aria-pressed=true]").all_inner_texts() == [preset]
            close_settings(page)
            body = body_sent(page, lambda: send(page, "Hello"))
            told = {one: body[one] for one in ("temperature", "top_p", "top_k", "min_p", "seed") if one in body}
            assert (body["model"], told) == (name, {**sent, "seed": 3})


def test_a_sampled_answer_keeps_its_seed(visit, tmp_path) -> None:
    model, _ = scripted_model("newcomer", REPLIES, usual={})
    with running([model]) as url:
        page = opened(visit, url)
        first = body_sent(page, lambda: send(page, "Hello"))
        second = body_sent(page, lambda: page.get_by_role("button", name="Write again").click())
        assert 0 <= first["seed"] != second["seed"] < 2**32
        assert page.locator(".facts").get_attribute("title") == f"Seed: {second['seed']}"
        assert page.locator(".notes").count() == 0
        page.locator(".menu summary").click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Export as JSON").click()
        download.value.save_as(tmp_path / "a.json")
    (kept,) = json.loads((tmp_path / "a.json").read_text())["conversations"]
    seeds = [one["seed"] for one in kept["nodes"] if one["role"] == "assistant"]
    assert sorted(seeds) == sorted([first["seed"], second["seed"]])


def test_answers_keep_to_a_schema_and_a_wrong_schema_is_reported_at_once(page) -> None:
    open_settings(page)
    page.locator("#schema").fill('{"type": "object"')
    page.locator(".wrong", has_text="Not kept").wait_for()
    page.locator("#schema").fill('["object"]')
    page.locator(".wrong", has_text="a schema is an object").wait_for()
    page.locator("#schema").fill(json.dumps(SCHEMA))
    wait_until(page, "!document.querySelector('.wrong')")
    close_settings(page)
    body = body_sent(page, lambda: send(page, "Object?"))
    assert json.dumps(SCHEMA) in json.dumps(body)
    assert json.loads(said(page)[1]) == {"a": True}


def test_functions_are_read_as_either_protocol_writes_them(page) -> None:
    for pasted in (TOOL, [TOOL], {"type": "function", "function": TOOL}, [{"type": "function", **TOOL}]):
        page.locator("#new").click()
        open_settings(page)
        page.locator("#tools").fill(json.dumps(pasted))
        close_settings(page)
        body = body_sent(page, lambda: send(page, "Weather?"))
        assert body["tools"] == [{"type": "function", **TOOL}]
        assert page.locator(".card h3").inner_text() == "Calls weather"


def test_a_call_is_a_card_whose_result_a_person_gives(server, page) -> None:
    open_settings(page)
    page.locator("#tools").fill(json.dumps(TOOL))
    close_settings(page)
    send(page, "Weather?")
    until_done(page)
    card = page.locator(".card")
    assert card.locator("h3").inner_text() == "Calls weather"
    assert card.locator("dt").all_inner_texts() == ["place", "days"]
    assert card.locator("dd").all_inner_texts() == ["Recife", "3"]
    assert "Let me look." in said(page)[1]
    card.locator("textarea").fill("28 degrees")
    page.reload()
    card.locator("textarea").wait_for()
    assert card.locator("textarea").input_value() == "28 degrees"
    page.get_by_role("button", name="Give the result").click()
    until_done(page)
    assert page.locator(".result pre").inner_text() == "28 degrees"
    assert said(page)[-1] == "It is warm."
    assert "### tool:\n28 degrees" in server[1]["talker"].prompts[-1]
    assert page.get_by_role("button", name="Give the result").count() == 0


def test_several_models_answer_side_by_side_and_one_goes_on(server, page) -> None:
    open_settings(page)
    page.locator("input[value=second]").check()
    close_settings(page)
    send(page, "Hello")
    until_done(page)
    assert page.locator(".beside .who").all_inner_texts() == ["talker", "second"]
    assert page.locator(".beside .answer").nth(1).inner_text() == "Another answer."
    boxes = [page.locator(".beside article").nth(n).bounding_box() for n in range(2)]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    assert boxes[0]["y"] == boxes[1]["y"]
    page.get_by_role("button", name="Go on from this one").click()
    page.locator(".beside article.chosen", has_text="Another answer.").wait_for()
    send(page, "And?")
    until_done(page)
    for name in ("talker", "second"):
        assert "### assistant:\nAnother answer.\n" in server[1][name].prompts[-1]
    page.reload()
    page.locator(".beside").first.wait_for()
    assert page.locator(".beside").count() == 2
    page.get_by_role("button", name="Write again").first.click()
    until_done(page)
    assert page.locator(".versions span").first.inner_text() == "2/2"


def test_probabilities_are_shown_on_demand_for_each_token(page) -> None:
    send(page, "Hello")
    until_done(page)
    text = said(page)[1]
    page.get_by_role("button", name="Probabilities").click()
    page.locator(".token").first.wait_for()
    tokens = page.locator(".token")
    assert "".join(tokens.all_inner_texts()).strip() == text
    tokens.nth(1).hover()
    page.locator(".alternatives tr.chosen").wait_for()
    rows = page.locator(".alternatives td:last-child").all_inner_texts()
    assert page.locator(".alternatives tr").first.get_attribute("class") == "chosen"  # it writes the likeliest
    own, other = (float(one.rstrip("%")) for one in rows[:2])
    assert own / other == pytest.approx(math.e, rel=0.01)  # the runner's logits are 3 and 2
    tokens.nth(0).focus()
    before = page.locator(".alternatives caption").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator(".token[aria-pressed=true]").count() == 1
    assert tokens.nth(1).get_attribute("aria-pressed") == "true"
    assert page.locator(".alternatives caption").inner_text() != before
    assert page.locator(".token[tabindex='0']").count() == 1  # Tab leads past the tokens
    page.get_by_role("button", name="Probabilities").click()
    assert page.locator(".probabilities").count() == 0


def test_a_refusal_is_shown_and_can_be_retried(server, visit) -> None:
    page = opened(visit, server[0], expected=("429", "500"))
    send(page, "Hello")
    until_done(page)
    answers = iter([(429, "overloaded"), (500, None)])

    def refuse(route):
        status, code = next(answers, (0, None))
        if not status:
            route.continue_()
            return
        error = {"error": {"message": "told by the server", "type": "x", "param": None, "code": code}}
        route.fulfill(status=status, json=error, headers={"Retry-After": "7"})

    page.context.route("**/v1/chat/completions", refuse)
    page.context.route("**/v1/responses", refuse)
    send(page, "And?")
    until_done(page)
    problem = page.locator(".problem")
    assert problem.locator("p").inner_text() == "Many people are asking just now. Try again in 7 seconds."
    problem.get_by_role("button", name="Retry").click()
    until_done(page)
    assert problem.locator("p").inner_text() == "The server failed. Its log says why."
    assert problem.locator("details").inner_text().startswith("What it said")
    problem.get_by_role("button", name="Retry").click()
    until_done(page)
    assert page.locator(".problem").count() == 0
    assert said(page)[-1] == "Yes."
    assert page.locator(".versions").count() == 0  # an answer that failed is not a version


def test_notes_are_folded_into_one_line(page) -> None:
    open_settings(page)
    page.locator("#schema").fill('{"type": "object"}')
    page.locator("#max_tokens").fill("3")
    close_settings(page)
    send(page, "Object?")
    until_done(page)
    notes = page.locator(".notes")
    assert notes.locator("summary").inner_text() in ("1 note", "2 notes")
    assert not notes.locator("li").first.is_visible()
    assert notes.bounding_box()["height"] < 40
    notes.locator("summary").click()
    assert "max_tokens" in notes.locator("li").first.inner_text()
    assert "cut" in page.locator(".facts").inner_text()
