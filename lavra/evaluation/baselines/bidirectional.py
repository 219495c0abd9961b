"""5-gram models with context on both sides: the baseline of masked and span models on the same hidden tokens.

Five Kneser-Ney 5-gram models are trained.  They differ only in the four neighbours that they look at and in the order
in which these are dropped: left, right, both sides from the inside out, and both sides past a hidden neighbour.  A
context ends at the first hidden neighbour, which is back-off through masked tokens.  Two ways to use the models are
measured:

    back-off    one model for each token: both sides where both next neighbours are visible, one side where only that
                neighbour is visible, and past the neighbours where neither is visible
    combined    the log-linear product of all five models and the unigram (`log_linear`); its weights for each of the
                four cases are tuned on training documents that were not counted; by far the stronger way

The product needs the whole vocabulary's distribution at each hidden token, so only `max_positions` of them are scored.
Deliberately absent: a search over hidden neighbours' values (sum-product), which no 5-gram baseline does.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float64s, Int64s
from lavra.base.errors import ConfigError, InputError
from lavra.data.pretraining.dataset import TokenDataset
from lavra.evaluation.baselines.kneser_ney import KneserNey
from lavra.evaluation.baselines.log_linear import fit_weights, log_linear_nll
from lavra.evaluation.baselines.masked_text import Hiding, MaskedText, hide_tokens
from lavra.evaluation.baselines.padded import pad_documents, sample_documents

NEIGHBOURS: dict[str, tuple[int, ...]] = {
    "left": (-1, -2, -3, -4),
    "right": (1, 2, 3, 4),
    "both": (-1, 1, -2, 2),
    "past the left": (-2, 1, 2, -3),
    "past the right": (2, -1, -2, 3),
}
_GAP = 4  # distance of the farthest neighbour

# The model that is used alone, by (left neighbour visible) + 2 x (right neighbour visible).
ALONE = ("past the left", "left", "right", "both")

MIN_TUNING_POSITIONS = 64
TUNING_FLOATS = 1 << 22  # positions x vocabulary held at once while tuning: 16 MiB for each model
SCORING_FLOATS = 1 << 20


@dataclass(frozen=True, kw_only=True)
class BidirectionalConfig:
    """The settings of training and combining the models.

    Attributes:
        hiding: whether masked tokens or spans are filled in.
        mask_share: share of tokens hidden while tuning.
        mean_span_length: tokens in a hidden span while tuning (spans only).
        tuning_share: share of the training tokens kept out of the counts and used to tune the weights.
        max_tokens: training tokens counted at most (whole documents, drawn at random).
        max_positions: hidden tokens scored at most, drawn at random.
        seed: fixes the random draws.
    """

    hiding: Hiding
    mask_share: float = 0.15
    mean_span_length: float = 3.0
    tuning_share: float = 0.02
    max_tokens: int = 8_000_000
    max_positions: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("mask_share", "tuning_share"):
            value = getattr(self, name)
            if not 0.0 < value < 1.0:
                raise ConfigError(f"{name} is {value}; it must lie between 0 and 1")
        for name in ("max_tokens", "max_positions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.mean_span_length < 1.0:
            raise ConfigError(f"mean_span_length is {self.mean_span_length}; a span has at least 1 token")


@dataclass(frozen=True, kw_only=True)
class MaskedScore:
    """The scores of hidden tokens.

    Attributes:
        places: (M,) places of the scored tokens in the text, in order.
        backoff_nll: (M,) nats of each token with one model for each token.
        combined_nll: (M,) nats of each token with the tuned product.
        num_hidden: number of hidden tokens; more than M if `max_positions` limited the scoring.
        seconds: time that the scoring took.
    """

    places: Int64s
    backoff_nll: Float64s
    combined_nll: Float64s
    num_hidden: int
    seconds: float


class BidirectionalNgram:
    """The trained models and their weights."""

    def __init__(
        self, models: dict[str, KneserNey], config: BidirectionalConfig, num_tokens: int, num_unused: int
    ) -> None:
        """Take trained models; call `BidirectionalNgram.train` instead."""
        self.models, self.config = models, config
        self.num_tokens, self.num_tokens_unused = num_tokens, num_unused
        self.seconds = 0.0
        self.vocab_size = models["left"].vocab_size
        # An order-1 distribution does not depend on the neighbours.
        unknown = [np.full(1, -1, dtype=np.int64)] * _GAP
        self._unigram = np.log(models["left"].distributions(unknown, 1))  # (1, V)
        self.weights = np.zeros((len(ALONE), len(models) + 1))  # by case; set by tuning

    @classmethod
    def train(cls, dataset: TokenDataset, config: BidirectionalConfig) -> BidirectionalNgram:
        """Count the n-grams of most documents, and tune the weights on the others.

        Raises:
            InputError: there are fewer than two documents, or too few tokens for tuning.
        """
        began = time.perf_counter()
        if dataset.num_documents < 2:
            raise InputError(
                f"{dataset.folder} has {dataset.num_documents} documents; one to count and one to tune take 2"
            )
        order = sample_documents(dataset, dataset.num_tokens, config.seed)
        cumulative = np.cumsum(dataset.lengths[order])
        tuning = 1 + int(np.searchsorted(cumulative, config.tuning_share * dataset.num_tokens))
        tuning = min(tuning, len(order) - 1)
        last = int(np.searchsorted(cumulative, cumulative[tuning - 1] + config.max_tokens, side="right"))
        counted = np.sort(order[tuning : max(tuning + 1, last)])
        text = pad_documents(dataset, gap=_GAP, stops=False, documents=counted)
        models = {
            name: KneserNey.train(text.targets, text.neighbours(offsets), dataset.vocab_size)
            for name, offsets in NEIGHBOURS.items()
        }
        num_tokens = int(dataset.lengths[counted].sum())
        result = cls(models, config, num_tokens, dataset.num_tokens - num_tokens)
        result._tune(
            hide_tokens(dataset, order[:tuning], config.hiding, config.mask_share, config.mean_span_length, config.seed)
        )
        result.seconds = time.perf_counter() - began
        return result

    def score(self, text: MaskedText) -> MaskedScore:
        """Score the hidden tokens of a text.

        Raises:
            InputError: nothing is hidden, or the text hides tokens in another way than the weights were tuned for.
        """
        if text.hiding is not self.config.hiding:
            raise InputError(
                f"the text hides {text.hiding.value} and the weights were tuned for {self.config.hiding.value}; "
                "train another baseline with that `hiding`"
            )
        if not text.hidden.any():
            raise InputError("the text has 0 hidden tokens; there is nothing to score")
        began = time.perf_counter()
        places = text.places
        num_hidden = len(places)
        if num_hidden > self.config.max_positions:
            chosen = np.random.default_rng(self.config.seed).permutation(num_hidden)[: self.config.max_positions]
            places = places[np.sort(chosen)]
        backoff, combined = self._backoff(text, places), self._combined(text, places)
        return MaskedScore(
            places=places,
            backoff_nll=backoff,
            combined_nll=combined,
            num_hidden=num_hidden,
            seconds=time.perf_counter() - began,
        )

    def _backoff(self, text: MaskedText, places: Int64s) -> Float64s:
        result = np.empty(len(places))
        case = _cases(text, places)
        for number, name in enumerate(ALONE):
            mine = places[case == number]
            probabilities = self.models[name].probabilities(text.tokens[mine], _neighbours(text, mine, name))
            result[case == number] = -np.log(probabilities)
        return result

    def _combined(self, text: MaskedText, places: Int64s) -> Float64s:
        result = np.empty(len(places))
        case = _cases(text, places)
        block = max(1, SCORING_FLOATS // self.vocab_size)
        for number in range(len(ALONE)):
            mine = np.flatnonzero(case == number)
            for begin in range(0, len(mine), block):
                some = mine[begin : begin + block]
                features = self._features(text, places[some])
                result[some] = log_linear_nll(features, text.tokens[places[some]], self.weights[number])
        return result

    def _features(self, text: MaskedText, places: Int64s) -> npt.NDArray[np.float32]:
        """(N, K, V) logarithms of the distributions of all models and of the unigram."""
        features = np.empty((len(places), len(self.models) + 1, self.vocab_size), dtype=np.float32)
        for row, (name, model) in enumerate(self.models.items()):
            np.log(model.distributions(_neighbours(text, places, name), len(places)), out=features[:, row])
        features[:, -1] = self._unigram
        return features

    def _tune(self, text: MaskedText) -> None:
        """Tune weights for each case; a case that is too rare takes the weights tuned on all cases together."""
        draw = np.random.default_rng(self.config.seed)
        places = draw.permutation(text.places)
        if len(places) < MIN_TUNING_POSITIONS:
            raise InputError(
                f"{len(places)} hidden tokens are too few to tune on ({MIN_TUNING_POSITIONS} are needed); "
                "use more text or a larger tuning_share"
            )
        most = max(2 * MIN_TUNING_POSITIONS, TUNING_FLOATS // self.vocab_size)
        case = _cases(text, places)
        pooled = self._fit(text, places[:most])
        for number in range(len(ALONE)):
            mine = places[case == number][:most]
            self.weights[number] = self._fit(text, mine) if len(mine) >= MIN_TUNING_POSITIONS else pooled

    def _fit(self, text: MaskedText, places: Int64s) -> npt.NDArray[np.float64]:
        return fit_weights(self._features(text, places), text.tokens[places])


def _neighbours(text: MaskedText, places: Int64s, name: str) -> list[Int64s]:
    return [text.neighbour(places, offset) for offset in NEIGHBOURS[name]]


def _cases(text: MaskedText, places: Int64s) -> npt.NDArray[np.int64]:
    """(M,) index into `ALONE`, which encodes the visible neighbours among the two next neighbours."""
    left, right = (text.neighbour(places, offset) >= 0 for offset in (-1, 1))
    return left.astype(np.int64) + 2 * right
