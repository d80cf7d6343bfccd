"""Human-in-the-loop: pending requests of suspended steps as forms and Markdown, and an inbox."""

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
