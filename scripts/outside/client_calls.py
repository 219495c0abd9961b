"""A few calls from popular clients to a lavra server; `scripts/outside_suites.py` runs them.

Each client makes its usual calls: a chat, a stream, a function call, an object of a schema.
"""

from __future__ import annotations

import os
from typing import Any

import instructor
import litellm
import ollama
import openai
import pydantic_ai
import pytest
from anthropic import Anthropic
from pydantic import BaseModel, Field
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

URL, MODEL = os.environ["LAVRA_URL"], os.environ["LAVRA_MODEL"]
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "the weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
        },
    },
}


class Address(BaseModel):
    """A nested part, which pydantic writes with `$defs` and `$ref`."""

    street: str = Field(max_length=20)
    number: int = Field(ge=0, le=9999)


class Person(BaseModel):
    """The requested object."""

    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)
    address: Address


def lite(**more: Any) -> Any:
    """A completion through litellm."""
    return litellm.completion(
        model=f"openai/{MODEL}", api_base=f"{URL}/v1", api_key="unused", max_tokens=100, temperature=0, **more
    )


def test_litellm_chats() -> None:
    assert "Paris" in lite(messages=QUESTION).choices[0].message.content


def test_litellm_streams() -> None:
    pieces = [chunk.choices[0].delta.content or "" for chunk in lite(messages=QUESTION, stream=True)]
    assert len(pieces) > 2
    assert "Paris" in "".join(pieces)


def test_litellm_calls_a_function() -> None:
    answer = lite(messages=QUESTION, tools=[WEATHER], tool_choice="required")
    assert answer.choices[0].message.tool_calls[0].function.name == "get_weather"


def test_litellm_reads_a_schema() -> None:
    text = lite(messages=QUESTION, response_format=Person).choices[0].message.content
    assert isinstance(Person.model_validate_json(text), Person)


def test_litellm_asks_for_messages() -> None:
    answer = litellm.completion(
        model=f"anthropic/{MODEL}", api_base=URL, api_key="unused", messages=QUESTION, max_tokens=50, temperature=0
    )
    assert "Paris" in answer.choices[0].message.content


def test_litellm_asks_as_ollama() -> None:
    answer = litellm.completion(model=f"ollama_chat/{MODEL}", api_base=URL, messages=QUESTION, max_tokens=50)
    assert answer.choices[0].message.content


@pytest.mark.parametrize("mode", [instructor.Mode.TOOLS, instructor.Mode.JSON, instructor.Mode.JSON_SCHEMA])
def test_instructor_makes_an_object(mode: instructor.Mode) -> None:
    client = instructor.from_openai(openai.OpenAI(base_url=f"{URL}/v1", api_key="unused"), mode=mode)
    found = client.chat.completions.create(
        model=MODEL,
        max_tokens=200,
        temperature=0,
        response_model=Person,
        max_retries=0,
        messages=[{"role": "user", "content": "Ana Lima is 31 and lives at Rua Bela 12."}],
    )
    assert isinstance(found, Person)


@pytest.mark.parametrize("kind", [OpenAIChatModel, OpenAIResponsesModel])
def test_pydantic_ai_answers(kind: Any) -> None:
    model = kind(MODEL, provider=OpenAIProvider(base_url=f"{URL}/v1", api_key="unused"))
    agent = pydantic_ai.Agent(model, model_settings={"temperature": 0, "max_tokens": 60})
    assert "Paris" in agent.run_sync("What is the capital of France?").output


@pytest.mark.parametrize("kind", [OpenAIChatModel, OpenAIResponsesModel])
def test_pydantic_ai_makes_an_object(kind: Any) -> None:
    model = kind(MODEL, provider=OpenAIProvider(base_url=f"{URL}/v1", api_key="unused"))
    agent = pydantic_ai.Agent(
        model,
        output_type=pydantic_ai.NativeOutput(Person),
        model_settings={"temperature": 0, "max_tokens": 200},
        retries=0,
    )
    assert isinstance(agent.run_sync("Ana Lima is 31 and lives at Rua Bela 12.").output, Person)


def test_pydantic_ai_demands_a_call() -> None:
    model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=f"{URL}/v1", api_key="unused"))
    agent = pydantic_ai.Agent(model, output_type=Person, model_settings={"temperature": 0, "max_tokens": 200})
    assert isinstance(agent.run_sync("Ana Lima is 31 and lives at Rua Bela 12.").output, Person)


def test_anthropics_client_streams() -> None:
    client = Anthropic(base_url=URL, api_key="unused")
    with client.messages.stream(model=MODEL, max_tokens=50, messages=QUESTION) as stream:  # type: ignore[arg-type]
        assert stream.get_final_message().content


def test_ollamas_client_streams() -> None:
    client = ollama.Client(host=URL)
    pieces = list(client.chat(model=MODEL, messages=QUESTION, stream=True, options={"num_predict": 30}))
    assert pieces[-1].done
