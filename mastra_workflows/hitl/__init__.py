"""Human-in-the-loop: what suspended steps ask, as forms and Markdown, and an inbox of it."""

from mastra_workflows.hitl._forms import NO_DEFAULT, Field, Form
from mastra_workflows.hitl._inbox import (
    InboxPage,
    InboxState,
    QuestionReference,
    question_reference,
)
from mastra_workflows.hitl._questions import ASK, Answers, OnResponseTimeout, Question, questions

__all__ = [
    "ASK",
    "NO_DEFAULT",
    "Answers",
    "Field",
    "Form",
    "InboxPage",
    "InboxState",
    "OnResponseTimeout",
    "Question",
    "QuestionReference",
    "question_reference",
    "questions",
]
