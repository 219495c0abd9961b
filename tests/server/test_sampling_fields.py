"""Every sampling parameter is a field of every protocol that writes text, with the bounds of its one definition."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, ValidationError, create_model

from lavra.base.bounds import ParameterBounds, parameters
from lavra.base.types import GenerateRequest, SamplingConfig
from lavra.server import chat_page
from lavra.server.anthropic.schemas import MessagesBody
from lavra.server.conversation.requests import sampling_of
from lavra.server.llama_cpp.schemas import InfillBody, NativeCompletionBody
from lavra.server.ollama.schemas import ModelOptions
from lavra.server.responses.schemas import ResponseBody
from lavra.server.sampling_fields import fields_of, given_llama_sampling, llama_sampling
from lavra.server.schemas import ChatBody, CompletionBody
from lavra.server.traces import Trace

PAGE = Path(chat_page.__file__).parent
PARAMETERS = parameters(SamplingConfig)
LLAMA = {"repetition_penalty": "repeat_penalty"}
BODIES: dict[type[BaseModel], dict[str, str]] = {
    ChatBody: {},
    CompletionBody: {},
    ResponseBody: {},
    MessagesBody: {},
    ModelOptions: LLAMA,
    NativeCompletionBody: LLAMA,
    InfillBody: LLAMA,
}
# A value of each that is not its default.
OTHER = {
    "temperature": 0.7,
    "top_k": 3,
    "top_p": 0.5,
    "min_p": 0.25,
    "repetition_penalty": 1.5,
    "presence_penalty": -0.5,
    "frequency_penalty": 2.0,
    "seed": -9,
}


def rule(body: type[BaseModel], name: str):
    """Bounds of a field in the description: smallest, whether it is included, largest."""
    field = body.model_json_schema()["properties"][name]
    number, nothing = field["anyOf"]
    assert nothing == {"type": "null"}
    least = number.get("minimum", number.get("exclusiveMinimum"))
    return number["type"], least, "minimum" in number, number["maximum"], field["description"]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
@pytest.mark.parametrize("one", PARAMETERS, ids=lambda one: one.name)
def test_bodies_describe_each_parameter_with_its_bounds(body, one):
    kind, least, allowed, most, sentence = rule(body, BODIES[body].get(one.name, one.name))
    assert kind == {int: "integer", float: "number"}[one.kind]
    unset = BODIES[body] is LLAMA and one.name == "top_k"  # -1 keeps all tokens there
    assert (least, allowed) == (-1 if unset else one.bounds.least, not one.bounds.above_least)
    assert most == one.bounds.most
    assert f"{one.name}: {sentence}" in " ".join(SamplingConfig.__doc__.split())


def test_every_parameter_of_a_request_reaches_the_engine():
    body = CompletionBody(prompt="x", **OTHER)
    assert sampling_of(body, {}) == SamplingConfig(**OTHER)
    assert set(OTHER) == {one.name for one in PARAMETERS}


def test_llama_names_lead_there_and_back():
    written = llama_sampling(SamplingConfig(**OTHER))
    assert written["repeat_penalty"] == 1.5
    assert given_llama_sampling(ModelOptions(**written)) == OTHER
    assert given_llama_sampling(ModelOptions(top_k=-1, seed=-1)) == {"top_k": 0}


def test_traces_name_every_parameter():
    trace = Trace()
    trace.asked("m", CompletionBody(prompt="x", **OTHER))
    told = {name.rpartition(".")[2]: value for name, value in trace.attributes().items()}
    assert {name: told[name] for name in OTHER} == OTHER


def test_the_chat_page_offers_numbers_within_the_bounds():
    """No server refuses a number that a person can enter there."""
    page = (PAGE / "settings.js").read_text()
    (written,) = re.findall(r"^const NUMBERS = (\{.*\});$", page, re.MULTILINE)
    offered = json.loads(re.sub(r"(\w+):", r'"\1":', written).replace("2 ** 31", str(2**31)))
    bounds = {one.name: one.bounds for one in (*PARAMETERS, *parameters(GenerateRequest))}
    assert len(offered) > 3
    for name, (least, most, _) in offered.items():
        bounds[name].check(name, least)
        bounds[name].check(name, most)


@dataclass(frozen=True, kw_only=True)
class ToyConfig(SamplingConfig):
    """A config with one more parameter.

    Attributes:
        warmth: a toy.
    """

    warmth: Annotated[int, ParameterBounds(least=2, most=5, remedy="3 is mild")] = 3


def test_a_parameter_that_is_added_is_a_field_without_a_line_here():
    body = create_model("ToyBody", **fields_of(ToyConfig, {"warmth": "heat"}))
    assert rule(body, "heat") == ("integer", 2, True, 5, "a toy.")
    assert body(heat=4).heat == 4
    with pytest.raises(ValidationError, match="less than or equal to 5"):
        body(heat=6)
