"""The rating page in use: by keyboard, on a phone, reloaded, offline, in the dark, by a screen reader."""

from __future__ import annotations

import json

import pytest

from lavra.evaluation.human.answers import ModelAnswer
from lavra.evaluation.human.items import ItemKind, Judgement
from lavra.evaluation.human.results import study_results, votes_of
from lavra.evaluation.human.store import StudyStore
from lavra.evaluation.human.votes import Winner
from tests.browser.conftest import overflow, wait_until
from tests.evaluation.human.small_study import judge_all, new_store
from tests.server.rating.serving import serving

HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title = 'taken'</script> & <b>bold</b>"
OFFLINE = ("Failed to load resource", "net::ERR")


def answers():
    """Four answers: a long one, a hostile one, an empty one, and one in a right-to-left script."""
    texts = {"big": ["A long answer. " * 300, HOSTILE, "Ja."], "small": ["Short.", "", "שלום עולם"]}
    return [
        ModelAnswer(
            model=model,
            question_id=f"q{number}",
            prompt=f"Prompt {number}: " + "unbreakable" * (20 if number == 1 else 1),
            answer=text,
            reference="A text to check facts by." if number == 0 else "",
        )
        for model, own in texts.items()
        for number, text in enumerate(own)
    ]


@pytest.fixture
def study(tmp_path):
    """A served study: its store, the links, and the URL."""
    store, tokens = new_store(tmp_path / "a.study", answers())
    with serving(store) as url:
        yield store, {number: f"{url}/#{token}" for number, token in tokens.items()}


def begin(page):
    page.locator("#begin").click()
    page.locator("#item").wait_for()


def item_shown(store, annotator, page):
    """The item that the page shows."""
    place = int(page.locator("#item-title").inner_text().split()[1])
    return store.items[store.assignment(annotator, place).item], store.assignment(annotator, place)


def until_saved(page):
    wait_until(page, "document.querySelector('#saved').textContent === 'Saved'")


def go_on(page, key="Enter"):
    """Press a key that leads to another item, and wait for that item."""
    title = page.locator("#item-title").inner_text()
    page.keyboard.press(key)
    moved = f"document.querySelector('#item-title').textContent !== {json.dumps(title)}"
    wait_until(page, f"{moved} || !document.querySelector('#end').hidden")


def test_a_whole_study_by_keyboard_alone(study, visit) -> None:
    store, links = study
    page = visit(links[1])
    page.locator("#start-title", has_text="Which answers are good?").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator("#item").wait_for()
    wanted = {}
    for number in range(1, store.num_assigned(1) + 1):
        assert page.evaluate("document.activeElement.id") == "item-title"
        item, at = item_shown(store, 1, page)
        if number == 2:
            wanted[item.number] = None
            go_on(page, "s")
            continue
        if item.kind is ItemKind.RATING:
            wanted[item.number] = {"fluency": 4, "coherence": 2, "factuality": None}
            for key in "420":
                page.keyboard.press(key)
        else:
            second = number % 2 == 0
            wanted[item.number] = Winner.MODEL_B if second is not at.swapped else Winner.MODEL_A
            page.keyboard.press("ArrowRight" if second else "ArrowLeft")
        if number == 3:
            page.keyboard.press("c")
            page.keyboard.type("s u 1 are letters here")
            page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.id") == "next"
        go_on(page)
    page.locator("#end-title").wait_for()
    assert page.evaluate("document.activeElement.id") == "end-title"
    until_saved(page)
    given = {one.item.number: one.judgement for one in store.given()}
    assert {
        number: None if said.skipped else said.winner or dict(said.ratings) for number, said in given.items()
    } == wanted
    assert [said.comment for said in given.values() if said.comment] == ["s u 1 are letters here"]
    assert all(said.seconds < 60 for said in given.values())


def test_an_item_is_not_left_half_answered(study, visit) -> None:
    store, links = study
    page = visit(links[1])
    begin(page)
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    assert page.locator("fieldset.missing").count() == 2
    assert page.locator("#status").inner_text() == "2 questions are not answered yet"
    assert page.evaluate("document.activeElement.name") == "coherence"
    assert store.places_done(1) == []


def test_a_reload_in_the_middle_goes_on_with_the_draft(study, visit) -> None:
    store, links = study
    page = visit(links[1])
    begin(page)
    for key in "111":
        page.keyboard.press(key)
    go_on(page)
    page.keyboard.press("5")
    until_saved(page)
    page.reload()
    page.locator("#item-title", has_text=f"Item 2 of {store.num_assigned(1)}").wait_for()
    assert page.locator("input[name=fluency]:checked").get_attribute("value") == "5"
    assert page.locator("input[name=coherence]:checked").count() == 0
    assert page.locator("#count").inner_text() == f"1 of {store.num_assigned(1)} done"
    assert page.locator("#progress").evaluate("bar => bar.value") == 1


def test_a_key_pressed_too_early_is_not_about_the_item_before(study, visit) -> None:
    store, links = study
    page = visit(links[1])
    begin(page)
    for key in "444":
        page.keyboard.press(key)
    page.evaluate(
        """() => {
            ahead = null; // the next item has to be fetched first
            $("next").click();
            $("next").dispatchEvent(new KeyboardEvent("keydown", {key: "s", bubbles: true, cancelable: true}));
        }"""
    )
    page.locator("#item-title", has_text="Item 2 of").wait_for()
    until_saved(page)
    assert [one.judgement.skipped for one in store.given()] == [False]


def test_a_comment_is_saved_while_it_is_written(study, visit) -> None:
    store, links = study
    page = visit(links[1])
    begin(page)
    page.keyboard.press("c")
    page.keyboard.type("half a tho")
    wait_until(page, "document.querySelector('#saved').textContent === 'Saved'")
    assert store.judgement(1, store.assignment(1, 1).item).comment == "half a tho"


def test_undo_opens_the_last_one_again(study, visit) -> None:
    store, links = study
    page = visit(links[1])
    begin(page)
    for key in "123":
        page.keyboard.press(key)
    go_on(page)
    go_on(page, "u")
    assert page.locator("#item-title").inner_text().startswith("Item 1 of")
    assert [page.locator(f"input[name={one}]:checked").get_attribute("value") for one in store.config.scales] == [
        "1",
        "2",
        "3",
    ]
    assert store.places_done(1) == []


def test_two_annotators_at_once_do_not_meet(study, visit) -> None:
    store, links = study
    pages = {number: visit(links[number]) for number in (1, 2)}
    for page in pages.values():
        begin(page)
    for number, keys in ((1, "555"), (2, "222"), (1, "444")):
        for key in keys:
            pages[number].keyboard.press(key)
        go_on(pages[number])
        until_saved(pages[number])
    given = [(one.annotator, one.judgement.ratings["fluency"]) for one in store.given()]
    assert given == [("annotator-1", 5), ("annotator-1", 4), ("annotator-2", 2)]
    assert [pages[number].locator("#count").inner_text().split()[0] for number in (1, 2)] == ["2", "1"]


def test_choices_made_offline_are_saved_when_the_server_is_back(tmp_path, visit) -> None:
    store, tokens = new_store(tmp_path / "a.study", answers())
    with serving(store) as url:
        page = visit(f"{url}/#{tokens[1]}", expected=OFFLINE)
        begin(page)
        page.wait_for_timeout(200)  # the item after this one is fetched ahead
    for key in "333":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.locator("#status.shown", has_text="Not saved: the server cannot be reached").wait_for()
    assert page.locator("#saved").inner_text() == "Not saved"
    again = StudyStore(store.path)
    with serving(again, port=int(url.rpartition(":")[2])):
        page.evaluate("dispatchEvent(new Event('online'))")
        until_saved(page)
        assert again.places_done(1) == [1]
        assert page.locator("#status.shown").count() == 0


@pytest.mark.parametrize(
    ("path", "title"),
    [("/", "This link does not work"), ("/#wrong", "This link does not work"), (None, "This study is finished")],
)
def test_errors_are_said_in_words(study, visit, violations, path, title) -> None:
    store, links = study
    if path is None:
        store.set_closed(True)
    page = visit(links[1] if path is None else links[1].partition("/#")[0] + path, expected=("401",))
    page.locator("#problem-title", has_text=title).wait_for()
    assert page.evaluate("document.activeElement.id") == "problem-title"
    assert violations(page) == []
    assert not page.locator("#again").is_visible()


def test_a_study_closed_during_rating(study, visit) -> None:
    store, links = study
    page = visit(links[1], expected=("409",))
    begin(page)
    store.set_closed(True)
    page.keyboard.press("1")
    page.locator("#problem-title", has_text="This study is finished").wait_for()


def test_without_javascript_the_page_says_what_it_needs(study, visit) -> None:
    page = visit(study[1][1], javascript=False)
    assert page.locator("noscript h1, noscript").first.is_visible()
    assert "needs JavaScript" in page.locator("main").inner_text()


def show_each_kind(store, page):
    """The first item, then a comparison: names and pages."""
    page.locator("#start").wait_for()
    yield "start"
    begin(page)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    yield "rating, with what is missing"
    for _ in range(store.num_assigned(1)):
        if item_shown(store, 1, page)[0].kind is ItemKind.PAIR:
            break
        go_on(page, "s")
    page.keyboard.press("1")
    page.locator("#comment-box summary").click()
    page.locator("#help").evaluate("box => { box.open = true; }")
    yield "comparison"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_in_either_light(study, visit, violations, dark) -> None:
    store, links = study
    page = visit(links[1], dark=dark)
    for name in show_each_kind(store, page):
        assert violations(page, impacts=("minor", "moderate", "serious", "critical")) == [], name
    colours = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, matchMedia('(prefers-color-scheme: dark)').matches]"
    )
    assert colours == [("rgb(20, 22, 26)" if dark else "rgb(251, 250, 248)"), dark]


def test_a_phone_has_no_sideways_scroll_and_room_for_thumbs(study, visit, violations) -> None:
    store, links = study
    page = visit(links[1], width=360, height=740, touch=True)
    for name in show_each_kind(store, page):
        assert overflow(page) == 0, name
        assert violations(page) == [], name
        for target in page.locator("button:visible, .choice:visible").all():
            assert target.bounding_box()["height"] >= 44, f"{name}: {target.inner_text()}"


def test_a_phone_rates_by_touch(study, visit) -> None:
    store, links = study
    page = visit(links[1], width=360, height=740, touch=True)
    page.locator("#begin").tap()
    for scale in store.config.scales:
        page.locator(f"label.choice:has(input[name={scale}][value='3'])").tap()
    page.locator("#next").tap()
    page.locator("#item-title", has_text="Item 2").wait_for()
    until_saved(page)
    assert dict(store.given()[0].judgement.ratings) == dict.fromkeys(store.config.scales, 3)


def test_answers_are_text_and_long_ones_scroll(study, visit) -> None:
    store, links = study
    page = visit(links[1])
    begin(page)
    seen = set()
    for _ in range(store.num_assigned(1)):
        item, _ = item_shown(store, 1, page)
        if item.kind is ItemKind.PAIR:
            break
        text = page.locator(".answer .text").inner_text()
        if item.answer_a == HOSTILE:
            assert text == HOSTILE
            seen.add("hostile")
        if item.answer_a == "":
            assert text == "The answer is empty."
            seen.add("empty")
        if len(item.answer_a) > 1000:
            box = page.locator(".answer .text")
            assert box.get_attribute("tabindex") == "0"
            assert box.evaluate("box => box.scrollHeight > box.clientHeight")
            seen.add("long")
        go_on(page, "s")
    assert seen == {"hostile", "empty", "long"}
    assert "taken" not in page.title()


def test_keys_can_be_turned_off(study, visit) -> None:
    _, links = study
    page = visit(links[1])
    begin(page)
    page.locator("#help summary").click()
    page.locator("#shortcuts").uncheck()
    page.locator("#item-title").focus()
    page.keyboard.press("4")
    assert page.locator("input:checked[type=radio]").count() == 0
    page.reload()
    page.locator("#item").wait_for()
    page.keyboard.press("4")
    assert page.locator("input:checked[type=radio]").count() == 0


def test_the_results_are_those_that_were_clicked(study, visit) -> None:
    """Another annotator's judgements and those of the page, up to the ranking."""
    store, links = study
    judge_all(store, 2, rate=lambda item: 4)
    page = visit(links[1])
    begin(page)
    while page.locator("#item").is_visible():
        item, at = item_shown(store, 1, page)
        if item.is_check:
            wanted = item.expected.values() or [
                ("3" if (item.expected_winner is Winner.MODEL_B) is not at.swapped else "1")
            ]
            keys = [str(one) for one in wanted]
        else:
            keys = ["4"] * 3 if item.kind is ItemKind.RATING else ["3" if at.swapped else "1"]  # always the model "big"
        for key in keys:
            page.keyboard.press(key)
        go_on(page)
    until_saved(page)
    results = study_results(store)
    assert [one.failed_checks for one in results.annotators] == [0, 0]
    assert {vote.winner for vote in votes_of(store.given()) if vote.model_a == "big"} == {Winner.MODEL_A}
    assert [one.name for one in results.ranking.strengths] == ["big", "small"]
    assert all(one.mean == 4 for one in results.ratings)
    assert Judgement().done is False
