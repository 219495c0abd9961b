"""Pictures of the rating page for the documentation.

    LAVRA_PICTURES=docs/images pytest -m slow tests/browser/test_rating_pictures.py

Without the variable they go into the test's own folder, and only their sizes are looked at.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lavra.evaluation.human.answers import ModelAnswer
from tests.browser.test_rating import begin
from tests.evaluation.human.small_study import new_store
from tests.server.rating.serving import serving

MOST_BYTES = 150_000
PROMPT = "Explain in one sentence why the sea is salty."
ANSWERS = {
    "small": "Rivers carry salts from the rocks into the sea, and the sun takes away only the water.",
    "big": "Because rain dissolves minerals on land and brings them to the sea, where they stay.",
}


@pytest.fixture
def picture(tmp_path):
    """Saves a picture of a page, by name."""
    folder = Path(os.environ.get("LAVRA_PICTURES", tmp_path))

    def save(page, name: str) -> None:
        path = folder / f"{name}.png"
        page.wait_for_timeout(300)
        page.screenshot(path=path)
        assert 10_000 < path.stat().st_size <= MOST_BYTES

    return save


def test_pictures_of_the_rating_page(tmp_path, visit, picture) -> None:
    answers = [
        ModelAnswer(model=model, question_id="q", prompt=PROMPT, answer=text, reference="")
        for model, text in ANSWERS.items()
    ]
    store, tokens = new_store(tmp_path / "a.study", answers)
    with serving(store) as url:
        page = visit(f"{url}/#{tokens[1]}", width=1100, height=760)
        page.locator("#start").wait_for()
        begin(page)
        page.keyboard.press("4")
        page.keyboard.press("5")
        picture(page, "rating-page")
        while "compare" not in page.locator("#item-title").inner_text():
            shown = page.locator("#item-title").inner_text()
            page.keyboard.press("s")
            page.locator("#item-title", has_not_text=shown).wait_for()
        page.keyboard.press("1")
        picture(page, "rating-pair")
