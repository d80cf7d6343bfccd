"""What a package needs that integrates the client into an orchestrator.

`airflow_provider_mastra` and `prefect_mastra` import from here, from `mastra_workflows`, from its
`errors` and its `hitl`, and from nothing else. Programs that use the client need nothing of this
module; its names may change in any release.
"""

from mastra_workflows._api import StartArguments, StartOptions
from mastra_workflows._identity import derive_run_id
from mastra_workflows._models import from_iso, named, to_iso
from mastra_workflows._policy import (
    PollPolicy,
    as_seconds,
    is_outage,
    quoted,
    require_choice,
    require_flags,
    require_positive,
)
from mastra_workflows._procedures import Sleep, WaitOptions
from mastra_workflows._procedures.acting import CONFIRM_SECONDS
from mastra_workflows._procedures.resuming import Answer, AnswerArguments
from mastra_workflows._procedures.stalling import fingerprint
from mastra_workflows._procedures.waiting import WaitArguments
from mastra_workflows._progress import StepProgress, summary
from mastra_workflows._schemas import validation_errors
from mastra_workflows._settings import Settings
from mastra_workflows._studio import check_studio_url, run_url
from mastra_workflows._text import safe_text
from mastra_workflows.hitl._inbox import LOOKBACK_SECONDS, LookOptions
from mastra_workflows.hitl._markdown import inline
from mastra_workflows.hitl._questions import AskOptions, first_of_each_step

__all__ = [
    "CONFIRM_SECONDS",
    "LOOKBACK_SECONDS",
    "Answer",
    "AnswerArguments",
    "AskOptions",
    "LookOptions",
    "PollPolicy",
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
