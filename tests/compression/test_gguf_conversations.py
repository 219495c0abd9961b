"""A conversation is the same token ids in a training row, at the server and in llama.cpp with the exported file.

The tests imitate llama.cpp from the file's content, following its sources: roles that the file does not name have ids
all the same (llama-vocab.cpp), a template knows two of them, and a beginning-of-text token that the template writes is
removed where one is added anyway (common/chat.cpp, `apply`).
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import gguf
import httpx2
import pytest
from tokenizers import AddedToken, Regex, models, pre_tokenizers
from tokenizers import Tokenizer as Library
from transformers.utils.chat_template_utils import render_jinja_template

from lavra.compression.gguf import GgufOptions, export_gguf
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.turns import chat_rows
from lavra.model.build import build_model
from lavra.model.families.table import preset
from lavra.server.served import ServedModel
from lavra.tasks.chat import CHAT
from lavra.tasks.learning.labelled import read_labelled
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from lavra.tokens.config import PATTERNS, TokenizerConfig
from lavra.tokens.parts import Parts, SpecialTokens
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.train import train_tokenizer
from tests.server.conftest import running, served
from tests.tokens.test_chat import LLAMA3

TOOLS = [
    {
        "function": {"parameters": {"type": "object", "properties": {"place": {"type": "string", "default": None}}},
                     "name": "weather", "strict": True, "description": None},
        "type": "function",
    }
]  # fmt: skip
CALL = {
    "index": 0,
    "type": "function",
    "id": "c1",
    "function": {"name": "weather", "arguments": '{"place":"São Tomé"}'},
}
PARTS = [{"type": "text", "text": "Olá!"}, {"type": "text", "text": "Chove  em\nSão Tomé?"}]
CONVERSATIONS = {
    "plain": [{"role": "user", "content": "a\n\nb "}, {"role": "assistant", "content": " It rains."}],
    "system": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": PARTS},
        {"role": "assistant", "content": "Sim 🍎."},
        {"role": "user", "content": "<tool_call>"},
        {"role": "assistant", "content": "No."},
    ],
    "tools": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Does it rain?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL, CALL]},
        {"role": "tool", "content": '{"rain": true}', "tool_call_id": "c1", "name": "weather"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]},
        {"role": "tool", "content": "yes", "tool_call_id": "c1"},
        {"role": "assistant", "content": "It rains."},
    ],
}
SHIPPED = {"default": DEFAULT_CHAT_TEMPLATE}


def trained(text, pattern):
    return train_tokenizer([text], TokenizerConfig(kind="bpe", vocab_size=400, pattern=pattern))


def with_roles(tokenizer, **roles):
    """Another tokenizer's vocabulary with other roles, which adds nothing around a text."""
    raw = json.loads(tokenizer.backend.to_str())
    raw["post_processor"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    return Tokenizer(Parts(backend=Library.from_str(json.dumps(raw)), special=SpecialTokens(**roles)))


@pytest.fixture(scope="module")
def vocabularies(story):
    ours, other = trained(story, "gpt2"), trained(story, "llama3")
    return {
        "framed": ours,
        "framed by llama 3's pattern": other,
        "a beginning that frames nothing": with_roles(ours, bos="<|endoftext|>", eos="<|endoftext|>"),
        "no beginning": with_roles(ours, eos="<|endoftext|>", pad="<|endoftext|>"),
    }


class LlamaCpp:
    """llama.cpp's reading of a conversation, from a file alone."""

    def __init__(self, path: Path) -> None:
        fields = {name: field.contents() for name, field in gguf.GGUFReader(str(path)).fields.items()}
        self.fields, self.tokens = fields, fields["tokenizer.ggml.tokens"]
        default = {"gpt2": (11, 11), "llama": (1, 2)}[fields["tokenizer.ggml.model"]]
        ids = (
            fields.get(f"tokenizer.ggml.{role}_token_id", own)
            for role, own in zip(("bos", "eos"), default, strict=True)
        )
        self.bos, self.eos = ids
        pieces = {"gpt2": self._byte_level, "llama": self._sentencepiece}
        self.encode = pieces[fields["tokenizer.ggml.model"]]()

    def _byte_level(self):
        vocabulary = {token: number for number, token in enumerate(self.tokens)}
        merges = [tuple(merge.split(" ")) for merge in self.fields["tokenizer.ggml.merges"]]
        library = Library(models.BPE(vocabulary, merges))
        pattern = {"gpt-2": PATTERNS["gpt2"], "llama-bpe": PATTERNS["llama3"]}[self.fields["tokenizer.ggml.pre"]]
        cut = pre_tokenizers.Split(Regex(pattern), "isolated")
        bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        library.pre_tokenizer = pre_tokenizers.Sequence([cut, bytes_])
        library.add_special_tokens([AddedToken(token, normalized=False) for token in self._control()])
        return lambda text: library.encode(text).ids

    def _control(self):
        kinds = self.fields["tokenizer.ggml.token_type"]
        return [token for token, kind in zip(self.tokens, kinds, strict=True) if kind == gguf.TokenType.CONTROL]

    def _sentencepiece(self):
        """Merge the best pair first, the leftmost of equal ones; text after a control token starts with a space."""
        ids = {token: number for number, token in enumerate(self.tokens)}
        scores = self.fields["tokenizer.ggml.scores"]
        control = self._control()
        space = " " if self.fields["tokenizer.ggml.add_space_prefix"] else ""

        def merged(text):
            parts = list(text)
            while True:
                pairs = enumerate(pairwise(parts))
                known = [(-scores[ids[one + two]], at) for at, (one, two) in pairs if one + two in ids]
                if not known:
                    return parts
                _, at = min(known)
                parts[at : at + 2] = [parts[at] + parts[at + 1]]

        def encode(text):
            found = []
            for fragment in re.split(f"({'|'.join(map(re.escape, control))})", text):
                if fragment in control:
                    found.append(ids[fragment])
                elif fragment:
                    for part in merged((space + fragment).replace(" ", "\u2581")):
                        found += [ids[part]] if part in ids else [ids[f"<0x{byte:02X}>"] for byte in part.encode()]
            return found

        return encode

    def piece(self, number):
        """A control token's text is its name; the token for a missing role is arbitrary."""
        return self.tokens[number]

    def ids(self, messages, tools, *, to_speak):
        template = self.fields["tokenizer.chat_template"]
        roles = {"bos_token": self.piece(self.bos), "eos_token": self.piece(self.eos)}
        (text,), _ = render_jinja_template(
            [messages], tools=tools, chat_template=template, add_generation_prompt=to_speak, **roles
        )
        begins = self.fields.get("tokenizer.ggml.add_bos_token", False)
        ends = self.fields.get("tokenizer.ggml.add_eos_token", False)
        if begins and text.startswith(roles["bos_token"]):
            text = text.removeprefix(roles["bos_token"])
        if ends and text.endswith(roles["eos_token"]):
            text = text.removesuffix(roles["eos_token"])
        return [*[self.bos] * begins, *self.encode(text), *[self.eos] * ends]


def as_llama_cpp_takes_them(messages):
    """Parts joined by a line break, and arguments parsed where a template expects objects (common/chat.cpp)."""
    found = []
    for message in messages:
        content = message["content"] or ""
        text = content if isinstance(content, str) else "\n".join(part["text"] for part in content)
        calls = [
            {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
            for call in message.get("tool_calls", [])
        ]
        found.append({**message, "content": text, **({"tool_calls": calls} if calls else {})})
    return found


def ordered(tools):
    """`type`, and of the function name, description and parameters first, as OpenAI's own clients write them."""
    return None if tools is None else [
        {"type": "function", "function": {"name": "weather", "parameters": tools[0]["function"]["parameters"],
                                          "strict": True}}
    ]  # fmt: skip


def exported(tokenizer, path):
    config = preset("llama", vocab_size=512, hidden_size=32, num_layers=1, num_heads=2, max_positions=32)
    export_gguf(build_model(config), tokenizer, path, GgufOptions(kind="f32"))
    return LlamaCpp(path)


def training_row(tokenizer, messages, tools, folder):
    """A training row of a user's file, up to the last token in the loss."""
    row = {"messages": messages, **({} if tools is None else {"tools": tools})}
    path = folder / "chats.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    data = read_labelled(FinetuneConfig(task=CHAT, data=path, heldout=path))
    table = chat_rows(data.train[:1], RowFormat(tokenizer=tokenizer, max_tokens=4000, on_long="refuse"))
    assert table.issues == ()
    return [*table.sequences.inputs[0].tolist(), int(table.sequences.labels[0][-1])]


@pytest.fixture(scope="module")
def url(vocabularies):
    """A server of tokenizers without models."""
    named = [
        ServedModel(name=f"{name}, {template}", tokenizer=tokenizer.with_chat_template(source))
        for name, tokenizer in vocabularies.items()
        for template, source in SHIPPED.items()
    ]
    with running([*named, served("writer", template=DEFAULT_CHAT_TEMPLATE, context=1024, num_blocks=256)]) as url:
        yield url


def ask(url, path, **body):
    answer = httpx2.post(f"{url}{path}", json=body, timeout=60).json()
    assert answer.get("warnings") == [], answer
    return answer


@pytest.mark.parametrize("template", SHIPPED)
@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize(
    "vocabulary", ["framed", "framed by llama 3's pattern", "a beginning that frames nothing", "no beginning"]
)
def test_training_serving_and_export_read_the_same(url, vocabularies, tmp_path, vocabulary, conversation, template):
    tokenizer = vocabularies[vocabulary].with_chat_template(SHIPPED[template])
    messages, tools = CONVERSATIONS[conversation], TOOLS if conversation == "tools" else None
    theirs = exported(tokenizer, tmp_path / "x.gguf")
    asked = ask(url, "/apply-template", model=f"{vocabulary}, {template}", messages=messages[:-1], tools=tools)[
        "tokens"
    ]
    assert asked == theirs.ids(as_llama_cpp_takes_them(messages[:-1]), ordered(tools), to_speak=True)
    learnt = training_row(tokenizer, messages, tools, tmp_path)
    assert learnt[: len(asked)] == asked
    whole = theirs.ids(as_llama_cpp_takes_them(messages), ordered(tools), to_speak=False)
    assert learnt == whole[: len(learnt)]
    assert tokenizer.decode(whole[len(learnt) :]) == "\n"
    beginnings = 0 if vocabulary == "no beginning" else 1
    assert [number for number in whole[:2] if number == tokenizer.bos_id] == [tokenizer.bos_id] * beginnings


@pytest.mark.data
@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_a_vocabulary_of_sentencepiece_reads_the_same(stories, tmp_path, conversation):
    """A published SentencePiece vocabulary: a space follows every special token, as in llama.cpp."""
    tokenizer = Tokenizer.load(stories).with_chat_template(DEFAULT_CHAT_TEMPLATE)
    messages, tools = CONVERSATIONS[conversation], TOOLS if conversation == "tools" else None
    theirs = exported(tokenizer, tmp_path / "x.gguf")
    whole = theirs.ids(as_llama_cpp_takes_them(messages), ordered(tools), to_speak=False)
    learnt = training_row(tokenizer, messages, tools, tmp_path)
    assert learnt == whole[: len(learnt)]
    with running([ServedModel(name="x", tokenizer=tokenizer)]) as url:
        asked = ask(url, "/apply-template", messages=messages[:-1], tools=tools)["tokens"]
    assert asked == theirs.ids(as_llama_cpp_takes_them(messages[:-1]), ordered(tools), to_speak=True)
    assert learnt[: len(asked)] == asked
    assert asked[0] == tokenizer.bos_id != asked[1]


def test_a_chat_reads_what_the_template_shows(url):
    """With functions that are offered, called and answered."""
    body = {"model": "writer", "messages": CONVERSATIONS["tools"][:-1], "tools": TOOLS}
    shown = ask(url, "/apply-template", **body)
    answer = httpx2.post(f"{url}/v1/chat/completions", json={**body, "max_tokens": 1, "seed": 0}, timeout=60).json()
    (warning,) = answer["warnings"]
    assert "strict has no effect on weather" in warning
    assert answer["usage"]["prompt_tokens"] == len(shown["tokens"])
    assert '<tool_call>{"name": "weather", "arguments": {"place": "São Tomé"}}</tool_call>' in shown["prompt"]


def test_arguments_that_are_no_object_stay_the_text_that_a_model_wrote(url):
    call = {"function": {"name": "weather", "arguments": "{"}}
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    shown = ask(url, "/apply-template", model="writer", messages=messages)
    assert '{"name": "weather", "arguments": {}</tool_call>' in shown["prompt"]  # the text alone: a brace
    nameless = [messages[0], {**messages[1], "tool_calls": [{"function": {"arguments": "{}"}}]}]
    answer = httpx2.post(f"{url}/apply-template", json={"model": "writer", "messages": nameless}, timeout=60)
    assert answer.status_code == 400
    assert "message 2" in answer.json()["error"]["message"]


def test_a_template_without_a_beginning_is_named_on_export(vocabularies, tmp_path, caplog):
    export = vocabularies["framed"].with_chat_template(DEFAULT_CHAT_TEMPLATE.removeprefix("{{ bos_token }}\n"))
    exported(export, tmp_path / "x.gguf")
    assert "is missing in front" in caplog.text
    assert "begin the template with {{ bos_token }}" in caplog.text


def test_a_template_of_its_own_for_functions_is_exported_too(vocabularies, tmp_path):
    parts = vocabularies["framed"]._parts
    both = {"default": LLAMA3, "tool_use": DEFAULT_CHAT_TEMPLATE}
    tokenizer = Tokenizer(Parts(backend=parts.backend, special=parts.special, chat_templates=both))
    fields = exported(tokenizer, tmp_path / "x.gguf").fields
    assert fields["tokenizer.chat_template"] == LLAMA3
    assert fields["tokenizer.chat_template.tool_use"] == DEFAULT_CHAT_TEMPLATE
