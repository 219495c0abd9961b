"""Fields that format a conversation and end its answer, against the same text read and written in this process."""

import json
from dataclasses import replace

import httpx2
import pytest

from lavra.base.types import GenerateRequest
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from lavra.tokens.named_templates import named_template
from lavra.tokens.tokenizer import Tokenizer
from lavra.verbs import serving
from tests.generate.tiny import tiny_in_process
from tests.model.smollm2 import FILE, needs_smollm2
from tests.server.conftest import running, served

ASKED = [{"role": "user", "content": "She loved"}]
BEGUN = [*ASKED, {"role": "assistant", "content": "to play"}]


def written(text, **settings):
    """The model's text after a text that a template wrote."""
    model = tiny_in_process()
    ids = tuple(model.tokenizer.encode(text, parse_special=True))
    return model.generate([GenerateRequest(prompt=ids, **{"max_tokens": 12, **settings})])[0][0]


def chatted(http, *, status=200, **body):
    settings = {"model": "talker", "messages": ASKED, "max_tokens": 12, "temperature": 0}
    answer = http.post("/v1/chat/completions", json={**settings, **body})
    assert answer.status_code == status, answer.text
    return answer.json()


def content(answer):
    return answer["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    "asking",
    [
        {"messages": BEGUN, "continue_final_message": True, "add_generation_prompt": False},
        {"messages": BEGUN, "continue_final_message": True},
        {"messages": [ASKED[0], {**BEGUN[1], "prefix": True}]},
    ],
)
def test_an_answer_goes_on_within_the_last_message(http, asking):
    expected = written(f"{bos()}### User:\nShe loved\n### Assistant:\nto play")
    answer = chatted(http, **asking)
    assert content(answer) == expected.text
    assert answer["usage"]["prompt_tokens"] == expected.usage.prompt_tokens
    shown = http.post("/apply-template", json={"model": "talker", **asking}).json()
    assert shown["prompt"].endswith("### Assistant:\nto play")
    assert len(shown["tokens"]) == expected.usage.prompt_tokens


def bos():
    return tiny_in_process().tokenizer.special.bos


def test_without_a_word_a_new_turn_begins(http):
    shown = http.post("/apply-template", json={"model": "talker", "messages": BEGUN}).json()["prompt"]
    assert shown.endswith("to play" + tiny_in_process().tokenizer.special.eos + "\n### Assistant:\n")
    plain = {"model": "talker", "messages": BEGUN, "add_generation_prompt": False}
    assert shown == http.post("/apply-template", json=plain).json()["prompt"] + "### Assistant:\n"


@pytest.mark.parametrize(
    ("asking", "says"),
    [
        ({"messages": BEGUN, "continue_final_message": True, "add_generation_prompt": True}, "both true"),
        ({"messages": ASKED, "continue_final_message": True}, "of the role 'user'"),
        ({"messages": [{**BEGUN[1], "prefix": True}, *ASKED]}, "message 1 has prefix: true; only the last"),
        ({"messages": [{"role": "usr", "content": "a"}]}, "did you mean 'user'"),
        ({"stop_token_ids": [99999]}, "stop_token_ids names token 99999; the vocabulary is 0 to"),
        ({"logit_bias": {"99999": 1}}, "logit_bias names token 99999; the vocabulary is 0 to"),
        ({"ignore_eos": True, "response_format": {"type": "json_object"}}, "ignore_eos"),
    ],
)
def test_impossible_settings_are_refused(http, asking, says):
    assert says in chatted(http, status=400, **asking)["error"]["message"]


def test_a_developers_words_are_the_systems(http):
    ours = chatted(http, messages=[{"role": "developer", "content": "Be brief"}, *ASKED])
    theirs = chatted(http, messages=[{"role": "system", "content": "Be brief"}, *ASKED])
    assert (content(ours), ours["usage"]["prompt_tokens"]) == (content(theirs), theirs["usage"]["prompt_tokens"])


def test_chatml_replaces_a_missing_template_with_a_warning(http):
    answer = chatted(http, model="writer", max_tokens=9)
    said = f"{bos()}<|im_start|>user\nShe loved<|im_end|>\n<|im_start|>assistant\n"
    assert content(answer) == written(said, max_tokens=9).text
    assert answer["warnings"] == ["writer has no chat template: ChatML was written, which it may not know"]
    assert http.post("/apply-template", json={"model": "writer", "messages": ASKED}).json()["prompt"] == said
    assert http.get("/v1/models/writer").json()["chats"] is False


def test_a_message_left_out_by_a_template_is_a_warning():
    deaf = "{% for one in messages if one.role != 'tool' %}{{ one.content }}{% endfor %}"
    with running([served("deaf", chosen=deaf)]) as url, httpx2.Client(base_url=url, timeout=60) as http:
        said = [*ASKED, {"role": "tool", "content": "31 degrees", "tool_call_id": "a"}]
        (warning,) = http.post("/apply-template", json={"messages": said}).json()["warnings"]
    assert warning == "the chat template left out message 2 (role 'tool'); the model does not read it"


# ---- where an answer ends


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_tokens_end_an_answer(http, path):
    body = {"model": "talker", "max_tokens": 12, "temperature": 0, "messages": ASKED, "prompt": "She loved"}
    body.pop("prompt" if "chat" in path else "messages")

    def ask(**fields):
        return http.post(path, json={**body, **fields}).json()

    def said(answer):
        return answer["choices"][0].get("text") or answer["choices"][0].get("message", {}).get("content")

    whole = said(ask())
    prompt = tuple(tiny_in_process().encoding.prompt_ids("She loved")) if "prompt" in body else None
    text = f"{bos()}### User:\nShe loved\n### Assistant:\n"
    tokens = (
        written(text)
        if prompt is None
        else tiny_in_process().generate([GenerateRequest(prompt=prompt, max_tokens=12)])[0][0]
    ).tokens
    end = next(place for place in range(3, 12) if tokens[place] not in tokens[:place])
    ended = ask(stop_token_ids=[tokens[end]])
    assert ended["choices"][0]["finish_reason"] == "stop"
    assert ended["usage"]["completion_tokens"] == end + 1
    assert whole.startswith(said(ended))
    kept = ask(stop_token_ids=[tokens[end]], include_stop_str_in_output=True)
    assert said(kept) == said(ended) + tiny_in_process().tokenizer.decode([tokens[end]])
    longer = ask(stop_token_ids=[tokens[end]], min_tokens=end + 3)
    assert longer["usage"]["completion_tokens"] > end + 1


def test_a_stop_string_may_stay(http):
    whole = content(chatted(http))
    stop = whole[4:7]
    end = whole.index(stop)
    assert content(chatted(http, stop=stop)) == whole[:end]
    assert content(chatted(http, stop=stop, include_stop_str_in_output=True)) == whole[: end + len(stop)]


def test_the_models_own_end_may_be_written_past():
    """The model's end-of-text token is set to a token that it writes early."""
    prompt = f"{bos()}### User:\nShe loved\n### Assistant:\n"
    tokens = written(prompt).tokens
    end = next(place for place in range(3, 12) if tokens[place] not in tokens[:place])
    model = served("ending", template=DEFAULT_CHAT_TEMPLATE, stop_ids=frozenset({tokens[end]}))
    with running([model]) as url, httpx2.Client(base_url=url, timeout=60) as http:
        ended = chatted(http, model="ending")
        assert (ended["usage"]["completion_tokens"], ended["choices"][0]["finish_reason"]) == (end + 1, "stop")
        on = chatted(http, model="ending", ignore_eos=True)
        assert on["usage"]["completion_tokens"] == 12
        assert content(on) == written(prompt).text
        assert content(on).startswith(content(ended))


def test_special_tokens_are_shown_where_asked():
    tokenizer = tiny_in_process().tokenizer
    eos = tokenizer.id(tokenizer.special.eos)
    model = served("shows", template=DEFAULT_CHAT_TEMPLATE, stop_ids=frozenset())
    with running([model]) as url, httpx2.Client(base_url=url, timeout=60) as http:
        bias = {"logit_bias": {str(eos): 1000}, "max_tokens": 2}
        assert content(chatted(http, model="shows", **bias)) == ""
        shown = chatted(http, model="shows", **bias, skip_special_tokens=False)
        assert content(shown) == tokenizer.special.eos * 2


def test_a_chosen_template_is_written_and_ends_answers():
    """Zephyr's turns end with the end-of-text token; Llama 3's end with a text that this tokenizer has no token for."""
    zephyr, llama = (served(name, chosen=named_template(name), context=256) for name in ("zephyr", "llama-3"))
    with running([zephyr, llama]) as url, httpx2.Client(base_url=url, timeout=60) as http:
        shown = http.post("/apply-template", json={"model": "zephyr", "messages": ASKED}).json()
        assert (
            shown["prompt"] == f"{bos()}<|user|>\nShe loved{tiny_in_process().tokenizer.special.eos}\n<|assistant|>\n"
        )
        assert shown["warnings"] == []
        assert http.get("/v1/models/zephyr").json()["chats"] is True
        ids = tiny_in_process().tokenizer.encode("<|eot_id|>")
        answer = chatted(http, model="llama-3", response_format={"type": "regex", "regex": r"a<\|eot_id\|>b"})
        assert (content(answer), answer["choices"][0]["finish_reason"]) == ("a", "stop")
        assert answer["usage"]["completion_tokens"] >= len(ids)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_a_stream_may_count_as_it_goes(http, path):
    asked = {"messages": ASKED} if "chat" in path else {"prompt": ["She loved", "Once upon"]}
    options = {"include_usage": True, "continuous_usage_stats": True}
    body = {"model": "talker", "max_tokens": 6, "temperature": 0, "stream": True, "stream_options": options, **asked}
    lines = [line[6:] for line in http.post(path, json=body).text.split("\n\n") if line and "[DONE]" not in line]
    events = [json.loads(line) for line in lines]
    counts = [event["usage"]["completion_tokens"] for event in events]
    assert counts == sorted(counts)
    assert counts[-2] == counts[-1] == 6 * len(asked.get("prompt", [1]))
    pieces = [(event["choices"][0], event["usage"]) for event in events if event["choices"]]
    texts = [choice.get("text") or choice.get("delta", {}).get("content") for choice, _ in pieces]
    assert all(usage["completion_tokens"] for text, (_, usage) in zip(texts, pieces, strict=True) if text)
    assert {event["usage"]["prompt_tokens"] for event in events} == {events[-1]["usage"]["prompt_tokens"]}
    plain = http.post(path, json={**body, "stream_options": {}}).text
    assert "usage" not in plain


@needs_smollm2
@pytest.mark.slow
def test_a_real_model_answers_in_the_template_that_stands_in():
    """SmolLM2 was trained on ChatML: without its own template it answers the same, and continues a begun answer."""
    opened = serving.open_model(f"own={FILE}", serving.ServeSettings(cache_tokens=4096))
    bare = replace(opened, name="bare", tokenizer=without_template(opened.tokenizer), parent="own")
    asked = [
        {"role": "system", "content": "You answer in few words."},
        {"role": "user", "content": "What is the capital of France?"},
    ]
    begun = [*asked, {"role": "assistant", "content": "The capital of France is the city of"}]
    with running([opened, bare]) as url, httpx2.Client(base_url=url, timeout=120) as http:
        own, bare = (chatted(http, model=name, messages=asked) for name in ("own", "bare"))
        went_on = chatted(http, model="own", messages=begun, continue_final_message=True)
    assert content(own) == content(bare) == "The capital of France is Paris."
    assert own["choices"][0]["finish_reason"] == bare["choices"][0]["finish_reason"] == "stop"
    assert "no chat template" in bare["warnings"][0]
    assert content(went_on) == " Paris."


def without_template(tokenizer):
    return Tokenizer(replace(tokenizer._parts, chat_templates={}))
