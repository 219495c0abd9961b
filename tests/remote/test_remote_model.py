"""The port on a URL: it passes the port's suite against lavra's server, and equals the model behind it."""

import itertools

import httpx2
import pytest

from lavra.base.errors import ConfigError, InputError, NoLogprobsError
from lavra.base.types import Constraint, ConstraintKind, FinishReason, GenerateRequest, SamplingConfig, ScoreRequest
from lavra.generate.target import splitter
from lavra.remote.answering import NO_IDS
from lavra.remote.config import RemoteConfig
from lavra.remote.model import RemoteModel
from lavra.remote.scoring import NOTHING_BEFORE
from lavra.testing.language_model import LanguageModelConformance
from lavra.testing.stream import StreamConformance
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.generate.tiny import tiny_in_process
from tests.server.conftest import running, served

PROMPT = "Once upon a time"


@pytest.fixture(scope="module")
def url():
    with running([served("writer"), served("talker", template=DEFAULT_CHAT_TEMPLATE)], response_cache=0) as url:
        yield f"{url}/v1"


class Interned(dict):
    """A number for every spelling: as good as ids where only equality matters."""

    def __missing__(self, spelling):
        self[spelling] = len(self)
        return self[spelling]


def opened(url, model="writer", token_id=None, **settings):
    return RemoteModel(RemoteConfig(url=url, model=model, **settings), token_id=token_id)


class TestConformance(LanguageModelConformance):
    @pytest.fixture(autouse=True)
    def _model(self, url):
        with opened(url, token_id=Interned().__getitem__) as self.model:
            yield

    def make_model(self):
        return self.model

    # Its made-up ids mean nothing to the server; `test_scores_are_those_of_the_model` compares with text.
    test_scores_agree_with_the_logprobs_of_generation = None
    test_a_given_prefix_may_be_ids = None
    test_greedy_tokens_are_the_likeliest = None


class TestStream(StreamConformance):
    @pytest.fixture(autouse=True)
    def _model(self, url):
        with opened(url, token_id=Interned().__getitem__) as self.model:
            yield

    def open_stream(self):
        return self.model.submit(GenerateRequest(prompt=PROMPT, max_tokens=40))


def test_it_says_what_the_model_says(url):
    prompts = [PROMPT, "def add(a, b):", tuple(tiny_in_process().encoding.prompt_ids("She loved"))]
    with opened(url) as model:
        found = model.generate([GenerateRequest(prompt=prompt, max_tokens=9) for prompt in prompts])
    expected = tiny_in_process().generate([GenerateRequest(prompt=prompt, max_tokens=9) for prompt in prompts])
    for (ours,), (theirs,) in zip(found, expected, strict=True):
        assert ours.text == theirs.text
        assert ours.finish_reason is theirs.finish_reason
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-3)
        assert ours.usage.prompt_tokens == theirs.usage.prompt_tokens
        assert ours.usage.completion_tokens == 9
        assert (ours.tokens, ours.warnings) == ((), (NO_IDS,))


def test_the_likeliest_tokens_by_id(url):
    request = GenerateRequest(prompt=PROMPT, max_tokens=4, top_logprobs=3)
    tokenizer = tiny_in_process().tokenizer
    ids = {tokenizer.decode([token]): token for token in range(tokenizer.vocab_size)}
    with opened(url, token_id=lambda spelled: ids.get(spelled, -1)) as model:
        ((found,),) = model.generate([request])
        ((greedy,),) = model.generate([GenerateRequest(prompt=PROMPT, max_tokens=4)])
    whole = [(top, logprob) for top, logprob in zip(found.top_logprobs, greedy.logprobs, strict=True) if len(top) == 3]
    assert len(whole) >= 2  # in other places halves of characters share a spelling
    for top, logprob in whole:
        assert top[0][1] == pytest.approx(logprob, abs=1e-3)
        assert list(top) == sorted(top, key=lambda one: -one[1])
    with opened(url) as model, pytest.raises(ConfigError, match="token_id"):
        model.generate([request])


@pytest.mark.parametrize("given", [None, "Once upon a", "She"])
def test_scores_are_those_of_the_model(url, given):
    texts = [" time there was a girl", " loved to play outside."]
    requests = [ScoreRequest(text=text, given=given) for text in texts]
    with opened(url) as model:
        found = model.score(requests)
    for ours, theirs in zip(found, tiny_in_process().score(requests), strict=True):
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-3)
        assert ours.num_bytes == theirs.num_bytes


def test_scores_of_ids(url):
    ids = tuple(tiny_in_process().encoding.prompt_ids(PROMPT))
    requests = [ScoreRequest(text=ids), ScoreRequest(text=ids[3:], given=ids[:3])]
    with opened(url) as model:
        found = model.score(requests)
        for mixed in (ScoreRequest(text=ids, given="a"), ScoreRequest(text="a", given=ids)):
            with pytest.raises(InputError, match="give both as text"):
                model.score([mixed])
    for ours, theirs in zip(found, tiny_in_process().score(requests), strict=True):
        assert (ours.tokens, ours.greedy, ours.context_tokens) == (theirs.tokens, theirs.greedy, theirs.context_tokens)
        assert ours.logprobs[1:] == pytest.approx(theirs.logprobs[1:], abs=1e-3)
        assert (ours.logprobs[0] is None) == (theirs.logprobs[0] is None)


def test_with_the_tokenizer_ids_are_sent_and_scores_are_those_of_this_process(url):
    """Texts that cannot be scored as text: the border is inside a token, or at spaces."""
    here = tiny_in_process()
    ids = {here.tokenizer.decode([token]): token for token in range(here.tokenizer.vocab_size)}
    requests = [
        ScoreRequest(text="pon a time", given="Once u", top_logprobs=2),
        ScoreRequest(text="upon", given="Once ", top_logprobs=2),
        ScoreRequest(text=" a time", given=""),
        ScoreRequest(text="Once"),
        ScoreRequest(text=(20, 30), given="Once"),
    ]
    model = RemoteModel(
        RemoteConfig(url=url, model="writer"),
        token_id=lambda spelled: ids.get(spelled, -1),
        split=splitter(here.tokenizer),
    )
    with model:
        found = model.score(requests)
    for ours, theirs in zip(found, here.score(requests), strict=True):
        assert (ours.tokens, ours.greedy) == (theirs.tokens, theirs.greedy)
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-3)
        assert [len(top) for top in ours.top_logprobs] == [len(top) for top in theirs.top_logprobs]


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, {"choices": [{"text": "Once upon", "logprobs": None}]}),
        (200, {"choices": []}),
        (200, {"choices": [{"text": " there", "logprobs": {"tokens": [" there"], "token_logprobs": [-1.0]}}]}),
        (
            200,
            {
                "choices": [
                    {"text": "Once upon", "logprobs": {"tokens": ["Once", " upon"], "token_logprobs": [None] * 2}}
                ]
            },
        ),
        (400, {"error": {"message": "Setting 'echo' and 'logprobs' at the same time is not supported"}}),
    ],
)
def test_a_server_without_log_probabilities_of_prompts_is_an_error_of_its_own(status, answer):
    transport = httpx2.MockTransport(lambda request: httpx2.Response(status, json=answer))
    model = RemoteModel(RemoteConfig(url="http://127.0.0.1:9/v1"), transport=transport)
    with model, pytest.raises(NoLogprobsError, match="log-probabilities of a prompt's tokens"):
        model.score([ScoreRequest(text=" upon", given="Once")])


def test_a_text_with_nothing_before_it_has_no_score_of_its_first_token_and_says_so():
    """In this process the port puts the model's beginning token before the text."""
    told = {"tokens": ["Once", " upon"], "token_logprobs": [None, -1.0], "text_offset": [0, 4]}
    answer = {"choices": [{"text": "Once upon", "logprobs": {**told, "top_logprobs": [None, {" upon": -1.0}]}}]}
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json=answer))
    with RemoteModel(RemoteConfig(url="http://127.0.0.1:9/v1"), transport=transport) as model:
        (score,) = model.score([ScoreRequest(text="Once upon", given="")])
        (free,) = model.score([ScoreRequest(text="Once upon")])
    assert (score.logprobs, score.greedy) == ((None, -1.0), (None, True))
    assert NOTHING_BEFORE in score.warnings
    assert NOTHING_BEFORE not in free.warnings


def test_a_chat_is_the_template_around_the_prompt(url):
    tokenizer = tiny_in_process().tokenizer.with_chat_template(DEFAULT_CHAT_TEMPLATE)
    messages = [{"role": "system", "content": "Be"}, {"role": "user", "content": "She loved"}]
    ids = tuple(tokenizer.encode(tokenizer.apply_chat_template(messages)))
    expected = tiny_in_process().generate([GenerateRequest(prompt=ids, max_tokens=6)])[0][0]
    for limit in ("max_tokens", "max_completion_tokens"):
        with opened(url, "talker", endpoint="chat", system="Be", limit=limit) as model:
            ((found,),) = model.generate([GenerateRequest(prompt="She loved", max_tokens=6)])
            deltas = list(model.submit(GenerateRequest(prompt="She loved", max_tokens=6)))
            with pytest.raises(InputError, match="a chat takes text"):
                model.generate([GenerateRequest(prompt=(1, 2))])
            with pytest.raises(ConfigError, match="chat, which has no scores"):
                model.score([ScoreRequest(text="a")])
        assert found.text == expected.text
        assert found.logprobs == pytest.approx(expected.logprobs, abs=1e-3)
        assert deltas[-1].completion.text == "".join(delta.text for delta in deltas) == expected.text
        assert deltas[-1].completion.usage.prompt_tokens == found.usage.prompt_tokens == len(ids)
        assert deltas[-1].completion.usage.completion_tokens == found.usage.completion_tokens == 6


def test_settings_reach_the_server(url):
    """Each setting changes the text as it does in this process."""
    hot = SamplingConfig(temperature=1.2, seed=3)
    cases = [
        {"sampling": SamplingConfig(temperature=1.2, seed=3, top_k=2)},
        {"sampling": SamplingConfig(temperature=1.2, seed=3, top_p=0.3)},
        {"sampling": SamplingConfig(temperature=1.2, seed=3, min_p=0.3)},
        {"sampling": SamplingConfig(repetition_penalty=1.9)},
        {"sampling": SamplingConfig(frequency_penalty=2.0, presence_penalty=1.0)},
        {"sampling": hot},
        {"sampling": hot, "n": 2},
    ]
    with opened(url) as model:
        for case in cases:
            request = GenerateRequest(prompt=PROMPT, max_tokens=8, **case)
            (found,), (expected,) = model.generate([request]), tiny_in_process().generate([request])
            assert [one.text for one in found] == [one.text for one in expected]
        request = GenerateRequest(prompt=PROMPT, max_tokens=4, constraint=Constraint(ConstraintKind.REGEX, "[ab]{3}"))
        ((found,),) = model.generate([request])
        assert len(found.text) == 3
        assert set(found.text) <= {"a", "b"}
        ((found,),) = model.generate([GenerateRequest(prompt=PROMPT, max_tokens=4, logit_bias={100: 900.0})])
        assert found.text == tiny_in_process().tokenizer.decode([100] * 4)


def test_settings_absent_from_the_protocol_are_refused(url):
    with opened(url) as model:
        for request, message in (
            (GenerateRequest(prompt="a", num_beams=2), "num_beams is 2"),
            (GenerateRequest(prompt="a", adapter="mine"), "adapter is 'mine'"),
            (GenerateRequest(prompt="a", given="b"), "given is for"),
            (GenerateRequest(prompt="a", min_tokens=-1), "min_tokens=-1 is out of range"),
        ):
            with pytest.raises(ConfigError, match=message):
                model.generate([request])
        with pytest.raises(ConfigError, match="a stream is one completion"):
            model.submit(GenerateRequest(prompt="a", n=2))
        with pytest.raises(InputError, match="answers 400"):
            model.generate([GenerateRequest(prompt="word " * 200, max_tokens=1)])
    with opened(url, "nobody") as model, pytest.raises(InputError, match=r"answers 404.*nobody"):
        model.generate([GenerateRequest(prompt="a")])


def test_a_stream_that_is_left_is_over(url):
    with opened(url) as model:
        stream = model.submit(GenerateRequest(prompt=PROMPT, max_tokens=40))
        first = list(itertools.islice(stream, 2))
        assert len(first) == 2
        stream = model.submit(GenerateRequest(prompt=PROMPT, max_tokens=12))
        stream.cancel()
        assert list(stream)[-1].completion.finish_reason is FinishReason.CANCELLED
