"""Helpers for packages that integrate the client into an orchestrator.

`airflow_provider_mastra` and `prefect_mastra` import only from here, from `mastra_workflows`, and
from its `errors` and `hitl`. Programs that use the client need nothing from this module; its names
may change in any release.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mastra_workflows._api import StartArguments, StartOptions
    from mastra_workflows._identity import derive_run_id
    from mastra_workflows._models import from_iso, named, to_iso
    from mastra_workflows._options import WaitArguments, WaitOptions
    from mastra_workflows._policy import (
        PollPolicy,
        as_seconds,
        is_outage,
        quoted,
        require_choice,
        require_flags,
        require_positive,
    )
    from mastra_workflows._procedures import Sleep
    from mastra_workflows._procedures.acting import CONFIRM_SECONDS
    from mastra_workflows._procedures.resuming import ResumeArguments, ResumeOptions
    from mastra_workflows._procedures.stalling import fingerprint
    from mastra_workflows._progress import StepProgress, summary
    from mastra_workflows._schemas import validation_errors
    from mastra_workflows._settings import Settings
    from mastra_workflows._studio import check_studio_url, run_url
    from mastra_workflows._text import safe_text
    from mastra_workflows.hitl._inbox import LOOKBACK_SECONDS, InboxOptions
    from mastra_workflows.hitl._markdown import inline
    from mastra_workflows.hitl._pending_requests import AskOptions, first_of_each_step

__all__ = [
    "CONFIRM_SECONDS",
    "LOOKBACK_SECONDS",
    "AskOptions",
    "InboxOptions",
    "PollPolicy",
    "ResumeArguments",
    "ResumeOptions",
    "Settings",
    "Sleep",
    "StartArguments",
    "StartOptions",
    "StepProgress",
    "WaitArguments",
    "WaitOptions",
    "as_seconds",
    "check_studio_url",
    "derive_run_id",
    "fingerprint",
    "first_of_each_step",
    "from_iso",
    "inline",
    "is_outage",
    "named",
    "quoted",
    "require_choice",
    "require_flags",
    "require_positive",
    "run_url",
    "safe_text",
    "summary",
    "to_iso",
    "validation_errors",
]

_MODULES = {
    "ResumeOptions": "mastra_workflows._procedures.resuming",
    "ResumeArguments": "mastra_workflows._procedures.resuming",
    "AskOptions": "mastra_workflows.hitl._pending_requests",
    "CONFIRM_SECONDS": "mastra_workflows._procedures.acting",
    "LOOKBACK_SECONDS": "mastra_workflows.hitl._inbox",
    "InboxOptions": "mastra_workflows.hitl._inbox",
    "PollPolicy": "mastra_workflows._policy",
    "Settings": "mastra_workflows._settings",
    "Sleep": "mastra_workflows._procedures",
    "StartArguments": "mastra_workflows._api",
    "StartOptions": "mastra_workflows._api",
    "StepProgress": "mastra_workflows._progress",
    "WaitArguments": "mastra_workflows._options",
    "WaitOptions": "mastra_workflows._options",
    "as_seconds": "mastra_workflows._policy",
    "check_studio_url": "mastra_workflows._studio",
    "derive_run_id": "mastra_workflows._identity",
    "fingerprint": "mastra_workflows._procedures.stalling",
    "first_of_each_step": "mastra_workflows.hitl._pending_requests",
    "from_iso": "mastra_workflows._models",
    "inline": "mastra_workflows.hitl._markdown",
    "is_outage": "mastra_workflows._policy",
    "named": "mastra_workflows._models",
    "quoted": "mastra_workflows._policy",
    "require_choice": "mastra_workflows._policy",
    "require_flags": "mastra_workflows._policy",
    "require_positive": "mastra_workflows._policy",
    "run_url": "mastra_workflows._studio",
    "safe_text": "mastra_workflows._text",
    "summary": "mastra_workflows._progress",
    "to_iso": "mastra_workflows._models",
    "validation_errors": "mastra_workflows._schemas",
}
"""The module of each name. Names are imported on first use, as in the package's root."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value
