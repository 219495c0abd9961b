"""Pictures of the chat page for its documentation, light and dark.

    LAVRA_PICTURES=docs/chat-page pytest -m slow tests/browser/test_chat_pictures.py

Without the variable they go into the test's own folder, and only their sizes are checked.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lavra.base.introduction import Introduction
from tests.browser.scripted_models import scripted_model
from tests.browser.test_chat_models import TOOL, close_settings, open_settings
from tests.browser.test_chat_talk import opened, send, until_done
from tests.server.conftest import running

MOST_BYTES = 150_000
HARBOURS = """\
Three harbours of the north-east, by the depth of their water:

| harbour | state | metres |
|:--------|:------|-------:|
| Suape | Pernambuco | 15.5 |
| Itaqui | Maranhão | **19.0** |
| Pecém | Ceará | 15.3 |

To sort them yourself:

```python
harbours = {"Suape": 15.5, "Itaqui": 19.0, "Pecém": 15.3}
for name, depth in sorted(harbours.items(), key=lambda one: -one[1]):
    print(f"{name}: {depth} m")  # the deepest first
```"""
SHORTER = "With the next **high tide**, if the wind allows it."
CALLED = '{"name": "weather", "arguments": {"place": "Itaqui", "days": 2}}'
CALL = f"I need to know the weather first.\n<tool_call>\n{CALLED}\n</tool_call>"
SHOWN = {
    "light": ("beginning", "answer", "probabilities", "settings"),
    "dark": ("answer", "side-by-side", "narrow"),
}
ASKED = "Which harbours of the north-east are deep?"


@pytest.fixture(scope="module")
def url():
    told = Introduction(
        good_for="Taught to answer in 412 steps. True answers to 200 held-out questions cost 2.31 nats a token, 4.02 "
        "before.",
        beginnings=("Who built the first pier of Recife?", ASKED, "Fill the gap: the tide at Itaqui rises ___ metres."),
    )
    replies = {ASKED: [HARBOURS], "When may we leave?": [CALL]}
    taught, _ = scripted_model("harbours-taught", replies, introduction=told, parent="harbours")
    base, _ = scripted_model("harbours", {None: [SHORTER]})
    with running([base, taught], response_cache=0) as url:
        yield url
    taught.engine.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_pictures(url, visit, tmp_path, dark) -> None:
    folder = Path(os.environ.get("LAVRA_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    look = "dark" if dark else "light"

    def picture(page, name):
        if name not in SHOWN[look]:
            return
        path = folder / f"{name}-{look}.png"
        page.wait_for_timeout(100)
        page.screenshot(path=path)
        assert path.stat().st_size <= MOST_BYTES

    page = opened(visit, url, height=860, dark=dark)
    page.evaluate("document.activeElement.blur()")
    picture(page, "beginning")
    send(page, ASKED)
    until_done(page)
    page.locator(".hl-keyword").first.wait_for()
    picture(page, "answer")
    page.get_by_role("button", name="Probabilities").click()
    page.locator(".token").nth(40).hover()
    page.locator(".alternatives").scroll_into_view_if_needed()
    picture(page, "probabilities")
    page.locator("#new").click()
    open_settings(page)
    page.locator("input[value=harbours]").check()
    picture(page, "settings")
    page.locator("#tools").fill(json.dumps(TOOL))
    close_settings(page)
    send(page, "When may we leave?")
    until_done(page)
    picture(page, "side-by-side")
    page.set_viewport_size({"width": 400, "height": 800})
    page.locator("#menu").click()
    page.locator(".entry").nth(1).click()
    page.locator(".answer table").wait_for()
    picture(page, "narrow")
