"""`/v1/responses` through the real client, against what the model says in a chat."""

from openai.types.responses import Response

MESSAGES = [{"role": "user", "content": "She loved"}]


def chat_text(client, messages=MESSAGES, **more):
    answer = client.chat.completions.create(
        model="talker", messages=messages, **{"max_tokens": 12, "temperature": 0, **more}
    )
    return answer.choices[0].message.content


def respond(client, text="She loved", **more):
    return client.responses.create(input=text, **{"model": "talker", "max_output_tokens": 12, "temperature": 0, **more})


def test_a_response(client):
    answer = respond(client)
    assert answer.output_text == chat_text(client)
    assert answer.status == "incomplete"
    Response.model_validate(answer.model_dump())


def test_stream(client):
    events = list(respond(client, stream=True))

    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == chat_text(client)


def test_background(client):
    first = respond(client, background=True, stream=True)
    seen = [next(first), next(first), next(first)]
    first.close()
    rest = list(client.responses.retrieve(seen[0].response.id, stream=True, starting_after=2))
    whole = list(client.responses.retrieve(seen[0].response.id, stream=True))
    assert [e.to_dict() for e in seen + rest] == [e.to_dict() for e in whole]
