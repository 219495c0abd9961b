"""Questions with known places of their answers: made from an index's own documents, or the user's."""

from lavra.rag.questions.make import make_questions
from lavra.rag.questions.question import MadeQuestion, QuestionKind

__all__ = ["MadeQuestion", "QuestionKind", "make_questions"]
