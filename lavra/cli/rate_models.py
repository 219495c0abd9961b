"""The models of `lavra rate new --models`: opened one after another, each asked all prompts.

A separate module, since it imports torch, and a study made of files does not need torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lavra.api.load import load
from lavra.evaluation.human.answers import ModelAnswer, read_prompts
from lavra.evaluation.human.generated import write_answers_to
from lavra.remote.config import RemoteConfig
from lavra.remote.model import RemoteModel
from lavra.verbs.activity import activity
from lavra.verbs.meter import Unit, meter


def answers_of_models(models: Sequence[str], prompts: Path, max_tokens: int) -> tuple[list[ModelAnswer], list[str]]:
    """The answers of all models, and notes on them.

    Args:
        models: each `MODEL` or `NAME=MODEL`, a folder, GGUF file, name or hub id; or `NAME=URL`, whose server knows the
            model by that name and is asked as a chat.
        prompts: file of the prompts.
        max_tokens: most tokens of an answer.

    Raises:
        InputError: a model cannot be opened, or the file has no prompts.
    """
    asked = read_prompts(prompts)
    answers: list[ModelAnswer] = []
    notes: list[str] = []
    for word in models:
        name, _, place = word.rpartition("=")
        written, notes_of_model = _asked(asked, name, place, max_tokens)
        answers += written
        notes += notes_of_model
    return answers, notes


def _asked(asked: Sequence[ModelAnswer], name: str, place: str, max_tokens: int) -> tuple[list[ModelAnswer], list[str]]:
    with meter(Unit.THINGS) as progress:
        if place.startswith(("http://", "https://")):
            with RemoteModel(RemoteConfig(url=place, model=name, endpoint="chat")) as remote:
                return write_answers_to(asked, remote, name or place, max_tokens=max_tokens, progress=progress)
        activity.begin(f"opening {place}")
        model = load(place)
        called = name or Path(place).name
        if model.tokenizer is None or model.tokenizer.chat_template is None:
            written, notes = write_answers_to(asked, model.port, called, max_tokens=max_tokens, progress=progress)
            return written, [f"{called} has no chat template; it continues each prompt as it stands", *notes]

        def frame(prompt: str) -> str | tuple[int, ...]:
            return model.chat_prompt([{"role": "user", "content": prompt}])

        return write_answers_to(asked, model.port, called, max_tokens=max_tokens, frame=frame, progress=progress)
