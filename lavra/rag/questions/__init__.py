"""Questions with known places of their answers: made from an index's own documents, or the user's."""

from lavra.rag.questions.given import (
    AnswerPlace,
    GivenQuestion,
    JudgedQuestion,
    judge_questions,
    judged,
    read_questions,
)
from lavra.rag.questions.make import make_questions
from lavra.rag.questions.question import MadeQuestion, QuestionKind

__all__ = [
    "AnswerPlace",
    "GivenQuestion",
    "JudgedQuestion",
    "MadeQuestion",
    "QuestionKind",
    "judge_questions",
    "judged",
    "make_questions",
    "read_questions",
]
