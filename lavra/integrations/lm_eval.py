"""lavra as a model of lm-evaluation-harness (Gao et al., https://github.com/EleutherAI/lm-evaluation-harness).

    python -m lavra.integrations.lm_eval --model lavra --model_args pretrained=FOLDER --tasks hellaswag

is `lm_eval` with one more model: version 0.4.13 looks for models in a table of its own and offers no entry point, so
the name must be registered before its command line is read.  In a program it is enough to import this module.

The harness splits texts into context and continuation, renders few-shot prompts and computes metrics; log-likelihoods
and texts come through the `LanguageModel` port.  Everything that the harness' own `hf` model does to a request (which
tokens begin it, where it is cut from the left, where an answer ends) is done here the same way, so that scores are
equal.

Deliberately absent: encoder-decoders, several processes, and images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import torch
from lm_eval.__main__ import cli_evaluate
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text

from lavra.api.load import load
from lavra.base.errors import ConfigError
from lavra.base.sampling import SAMPLING_NAMES
from lavra.base.types import Completion, GenerateRequest, SamplingConfig, Score, ScoreRequest
from lavra.generate.in_process import InProcessModel

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

EncodedPair = tuple[tuple[str, str] | None, list[int], list[int]]
"""A request in the harness' form, the ids of its context, and those of its continuation."""

_DEFAULT_LENGTH: Final = 2048  # context of models without a limit, as in the harness
_DEVICE_BY_DEFAULT: Final = "cuda:0"  # value that the harness' command line passes where no device is named
_SAMPLING: Final = tuple(name for name in SAMPLING_NAMES if name != "seed")


@register_model("lavra")
class HarnessModel(TemplateLM):  # type: ignore[misc]
    """A decoder that lavra opens.

    Args:
        pretrained: a folder, a GGUF file, or anything else `lavra.load` opens.
        dtype: number type of the weights.
        device: processor or accelerator that computes.
        batch_size: rows computed together; `auto` leaves the number to lavra.
        max_batch_size: accepted because the harness passes it, and without effect.
        max_length: most tokens read at once; by default the model's context.
        max_gen_toks: most tokens of an answer whose task sets no limit.
        add_bos_token: whether the tokenizer's beginning token is put in front; `None` leaves that to the tokenizer.

    Raises:
        ConfigError: the model is not a decoder, or `max_length` is over its context.
    """

    def __init__(
        self,
        pretrained: str,
        *,
        dtype: str | None = None,
        device: str | None = None,
        batch_size: int | str = "auto",
        max_batch_size: int | None = None,
        max_length: int | None = None,
        max_gen_toks: int = 256,
        add_bos_token: bool | None = None,
    ) -> None:
        super().__init__()
        if device == _DEVICE_BY_DEFAULT and not torch.cuda.is_available():
            device = None  # no device is named; the harness' own `hf` model then takes the processor too
        model = load(str(pretrained), dtype=dtype, device=device, runner="torch")
        if not isinstance(model.port, InProcessModel) or model.port.encoding.decoder_start is not None:
            raise ConfigError(f"{pretrained} is not a decoder; the harness is asked about decoders only")
        self.port = model.port
        if str(batch_size).isdecimal():
            self.port.batch_size = int(batch_size)
        self.tokenizer = self.port.tokenizer
        context = self.port.encoding.context
        self.max_length = max_length or context or _DEFAULT_LENGTH
        if context is not None and self.max_length > context:
            raise ConfigError(f"max_length={max_length} is over the model's context of {context} tokens; lower it")
        self.max_gen_toks, self.add_bos_token = max_gen_toks, add_bos_token
        self.batch_size, self.pretrained = batch_size, str(pretrained)

    # The methods of a tokenizer that the harness calls.

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        found = self.tokenizer.eos_id
        if found is None:
            raise ConfigError(f"{self.pretrained} has no token that ends a text; name it in special_tokens_map.json")
        return found

    @property
    def prefix_token_id(self) -> int:
        """The token before a text without context."""
        return self.eot_token_id if self.tokenizer.bos_id is None else self.tokenizer.bos_id

    @property
    def tokenizer_name(self) -> str:
        """The key of the harness' cache of requests."""
        return self.tokenizer.fingerprint

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Encode a text; the beginning token stands in front unless the text has it, or it is not wanted."""
        if kwargs:
            raise ConfigError(f"tok_encode was given {', '.join(kwargs)}, which lavra's tokenizer does not know")
        wanted = self.add_bos_token if add_special_tokens is None else add_special_tokens
        if add_special_tokens is None and string.startswith(self.tokenizer.token(self.prefix_token_id)):
            wanted = False
        return self.tokenizer.encode(string, add_special_tokens=wanted is not False)

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The text of the model's template, for the harness' record; any other template is refused."""
        if isinstance(chat_template, str) and chat_template != "default":
            raise ConfigError(f"chat_template={chat_template!r}: lavra has the model's own; give no name")
        return self.tokenizer.chat_template if chat_template else None

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Render a conversation as text; without a prompt for the assistant its last message is left open."""
        text = self.tokenizer.apply_chat_template(chat_history, add_generation_prompt=add_generation_prompt)
        if add_generation_prompt:
            return text
        last = chat_history[-1]["content"].strip()
        return text[: text.rindex(last) + len(last)]

    # The three kinds of requests.

    def loglikelihood_rolling(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[float]:
        """Compute log-likelihoods of whole documents, in windows that share one token."""
        texts = [str(request.args[0]) for request in requests]
        asked = [self._request([self.prefix_token_id], self.tok_encode(text)) for text in texts]
        sums = [_sum(score) for score in self.port.score(asked)]
        for text, total in zip(texts, sums, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), total)
        return sums

    def _loglikelihood_tokens(
        self, requests: Sequence[EncodedPair], disable_tqdm: bool = False, **kwargs: Any
    ) -> list[tuple[float, bool]]:
        scores = self.port.score([self._request(context, tokens) for _, context, tokens in requests])
        found = [(_sum(score), all(score.greedy)) for score in scores]
        for (texts, _, _), answer in zip(requests, found, strict=True):
            if texts is not None:
                self.cache_hook.add_partial("loglikelihood", texts, answer)
        return found

    def _request(self, context: Sequence[int], tokens: Sequence[int]) -> ScoreRequest:
        left = self.max_length + 1 - len(tokens)  # the last token is not read
        kept = list(context)[-left:] if 0 < left < len(context) else list(context)
        return ScoreRequest(text=tuple(tokens), given=tuple(kept), overlap=0)

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        """Write answers, each up to the first of its stop strings."""
        asked = [self._generate_request(*request.args) for request in requests]
        found = [completions[0] for completions in self.port.generate(asked)]
        texts = [self._text(one, request.stop) for one, request in zip(found, asked, strict=True)]
        for request, text in zip(requests, texts, strict=True):
            self.cache_hook.add_partial("generate_until", request.args, text)
        return texts

    def _text(self, completion: Completion, stop: Sequence[str]) -> str:
        """Decode an answer by itself, as the harness does: a SentencePiece tokenizer drops its first space."""
        text = self.tokenizer.decode(completion.tokens, skip_special_tokens=True)
        return str(postprocess_generated_text(text, list(stop), None))

    def _generate_request(self, context: str, settings: Mapping[str, Any]) -> GenerateRequest:
        given = dict(normalize_gen_kwargs(dict(settings), self.max_gen_toks))
        stop = handle_stop_sequences(given.pop("until", None), eos=self.tokenizer.token(self.eot_token_id))
        most, draws = int(given.pop("max_gen_toks")), bool(given.pop("do_sample", False))
        sampling = {name: given.pop(name) for name in _SAMPLING if name in given}
        if given:
            raise ConfigError(f"generation_kwargs {', '.join(given)} are not lavra's; known: {', '.join(_SAMPLING)}")
        left = self.max_length - most
        if left < 1:
            raise ConfigError(f"max_gen_toks={most} leaves no room in {self.max_length} tokens; lower it")
        return GenerateRequest(
            prompt=tuple(self.tok_encode(context)[-left:]),
            max_tokens=most,
            sampling=SamplingConfig(**sampling) if draws else SamplingConfig(),
            stop=tuple(one for one in stop if one),
            logprobs=False,
        )


def _sum(score: Score) -> float:
    return sum(logprob for logprob in score.logprobs if logprob is not None)


if __name__ == "__main__":
    run: Callable[[], None] = cli_evaluate
    run()
