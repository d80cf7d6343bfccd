"""Human-in-the-loop: pending requests of suspended steps as forms and Markdown, and an inbox."""

from mastra_workflows.hitl._forms import NO_DEFAULT, Field, Form
from mastra_workflows.hitl._inbox import (
    InboxPage,
    InboxState,
    PendingRequestReference,
    pending_request_reference,
)
from mastra_workflows.hitl._pending_requests import (
    ASK,
    OnResponseTimeout,
    PendingRequest,
    Responses,
    pending_requests,
)

__all__ = [
    "ASK",
    "NO_DEFAULT",
    "Field",
    "Form",
    "InboxPage",
    "InboxState",
    "OnResponseTimeout",
    "PendingRequest",
    "PendingRequestReference",
    "Responses",
    "pending_request_reference",
    "pending_requests",
]
