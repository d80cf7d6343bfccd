"""Mastra's HTTP Workflows API for Python; knows Mastra, knows no orchestrator."""

from mastra_workflows import errors
from mastra_workflows._transport import EventStream
from mastra_workflows.api import ServerGeneration
from mastra_workflows.client import MastraClient
from mastra_workflows.errors import MastraError
from mastra_workflows.models import (
    Event,
    RunFailure,
    RunStatus,
    Step,
    StepDetails,
    Suspension,
    WorkflowDetails,
    WorkflowRun,
)
from mastra_workflows.policy import PollPolicy, RetryPolicy
from mastra_workflows.procedures import OnSuspend, Receipt
from mastra_workflows.procedures.acting import Cancellation
from mastra_workflows.run import Run
from mastra_workflows.workflow import Workflow

__all__ = [
    "Cancellation",
    "Event",
    "EventStream",
    "MastraClient",
    "MastraError",
    "OnSuspend",
    "PollPolicy",
    "Receipt",
    "RetryPolicy",
    "Run",
    "RunFailure",
    "RunStatus",
    "ServerGeneration",
    "Step",
    "StepDetails",
    "Suspension",
    "Workflow",
    "WorkflowDetails",
    "WorkflowRun",
    "__version__",
    "errors",
]

__version__ = "0.1.0"
