"""Floor 3: prompts as files, filled in, spent within a budget, compared and tested. No torch: models come as ports."""

from lavra.prompts.answer import AnswerConfig, Answering, PromptAnswer, PromptAnswerer
from lavra.prompts.budget import Budget, Fitted, LeftOutShot, fit_shots
from lavra.prompts.calibrate import LabelClassifier, LabelScorer, LabelScoring, calibrated
from lavra.prompts.compare import PairResult, PromptComparison, PromptResult, compare
from lavra.prompts.cost import Price
from lavra.prompts.example import Example, Expect, Verdict, judge
from lavra.prompts.expectations import ExampleResult, run_tests
from lavra.prompts.inspection import Inspection, inspect_prompt
from lavra.prompts.layout import PromptLayout, PromptTokenizer
from lavra.prompts.prompt import Generation, MessageTemplate, Prompt
from lavra.prompts.prompt_file import read_examples, read_prompt
from lavra.prompts.render import Rendered, RenderedTurn, render
from lavra.prompts.select import (
    ExampleSelection,
    ShotOrder,
    arranged,
    balanced,
    rank_diverse,
    rank_nearest,
    rank_random,
)
from lavra.prompts.shots import ShotConfig, ShotPool
from lavra.prompts.template import PromptError
from lavra.prompts.variables import Variable, VariableType

__all__ = [
    "AnswerConfig",
    "Answering",
    "Budget",
    "Example",
    "ExampleResult",
    "ExampleSelection",
    "Expect",
    "Fitted",
    "Generation",
    "Inspection",
    "LabelClassifier",
    "LabelScorer",
    "LabelScoring",
    "LeftOutShot",
    "MessageTemplate",
    "PairResult",
    "Price",
    "Prompt",
    "PromptAnswer",
    "PromptAnswerer",
    "PromptComparison",
    "PromptError",
    "PromptLayout",
    "PromptResult",
    "PromptTokenizer",
    "Rendered",
    "RenderedTurn",
    "ShotConfig",
    "ShotOrder",
    "ShotPool",
    "Variable",
    "VariableType",
    "Verdict",
    "arranged",
    "balanced",
    "calibrated",
    "compare",
    "fit_shots",
    "inspect_prompt",
    "judge",
    "rank_diverse",
    "rank_nearest",
    "rank_random",
    "read_examples",
    "read_prompt",
    "render",
    "run_tests",
]
