"""A model's text, whatever it is, becomes events that OpenAI's own client joins to the final response."""

from hypothesis import given, settings
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from lavra.base.types import Completion, Delta, FinishReason
from lavra.server.conversation.events import CallBegun, CallPiece, ChatChoice, ChoiceEnd, TextPiece
from lavra.server.responses.objects import ResponseHead
from lavra.server.responses.schemas import ResponseBody
from lavra.server.responses.writing import ResponseWriter

EVENT = TypeAdapter(ResponseStreamEvent)
TEXTS = st.text(max_size=4)
# A text in pieces, or a call with its arguments in pieces.
PARTS = st.lists(st.tuples(st.sampled_from(["text", "call"]), st.lists(TEXTS, max_size=4)), max_size=5)
REASONS = {"stop": "completed", "tool_calls": "completed", "length": "incomplete", "cancelled": "cancelled"}


def happening(parts, reason):
    """Events in a chat, and the resulting items: adjacent texts are one item."""
    items, number = [], 0
    for kind, pieces in parts:
        if kind == "call":
            items.append(["function_call", "".join(pieces)])
            yield CallBegun(index=0, number=number, id=f"call_{number}", name="f")
            for piece in pieces:
                yield CallPiece(index=0, number=number, text=piece)
            number += 1
        for piece in pieces if kind == "text" else ():
            if piece and (not items or items[-1][0] != "message"):
                items.append(["message", ""])
            if piece:
                items[-1][1] += piece
            yield TextPiece(index=0, text=piece, delta=Delta(text=piece))
    completion = Completion(text="", finish_reason=FinishReason.STOP)
    yield ChoiceEnd(choice=ChatChoice(index=0, text="", calls=(), finish_reason=reason, completion=completion))
    return items or [["message", ""]]


def head(background=False):
    return ResponseHead(
        id="resp_1",
        body=ResponseBody(input="a", background=background),
        model="m",
        temperature=1.0,
        top_p=1.0,
        kept=True,
    )


def shown(item):
    text = item["arguments"] if item["type"] == "function_call" else item["content"][0]["text"]
    return [item["type"], text]


@given(parts=PARTS, reason=st.sampled_from(sorted(REASONS)), background=st.booleans())
@settings(max_examples=20, deadline=None)
def test_events_make_the_response(parts, reason, background):
    writer = ResponseWriter(head(background))
    events, chat = list(writer.begin()), happening(parts, reason)
    while True:
        try:
            events += writer.take(next(chat))
        except StopIteration as ended:
            expected = ended.value
            break
    state = ResponseStreamState(input_tools=omit, text_format=omit)
    for number, event in enumerate(events):
        assert event["sequence_number"] == number
        state.handle_event(EVENT.validate_python(event))
    last = events[-1]["response"]
    assert writer.ended
    assert last["status"] == REASONS[reason]
    assert [shown(item) for item in last["output"]] == expected
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == last["output"] == writer.output
    begun = [event["output_index"] for event in events if event["type"] == "response.output_item.added"]
    assert begun == list(range(len(done)))
    assert {item["status"] for item in done[:-1]} <= {"completed"}
    assert done[-1]["status"] == ("completed" if REASONS[reason] == "completed" else "incomplete")


def test_a_failure_ends_with_its_event():
    writer = ResponseWriter(head())
    events = [*writer.begin(), *writer.take(TextPiece(index=0, text="a", delta=Delta(text="a")))]
    events += writer.failed(429, {"error": {"message": "full"}})
    for event in events:
        EVENT.validate_python(event)
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"] == {"code": "rate_limit_exceeded", "message": "full"}
    assert events[-1]["response"]["output"][0]["status"] == "incomplete"
