"""Load the responses of real servers that `record_responses` has stored."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from mastra_workflows import _api as api
from mastra_workflows._api import Response
from mastra_workflows._models import WorkflowRun

FOLDER = Path(__file__).parent / "responses"
Recorded = Literal["v0", "v1"]
GENERATIONS: tuple[Recorded, ...] = ("v0", "v1")


def response(generation: Recorded, name: str) -> Response:
    """One recorded response."""
    record = json.loads((FOLDER / generation / f"{name}.json").read_text(encoding="utf-8"))
    text = record["text"] if "text" in record else json.dumps(record["body"], ensure_ascii=False)
    return Response(record["status"], record["headers"], text.encode())


def body(generation: Recorded, name: str) -> Any:
    """The JSON of one recorded response."""
    return json.loads(response(generation, name).content)


def run(generation: Recorded, name: str, workflow_id: str = "w", run_id: str = "r") -> WorkflowRun:
    """The run of one recorded response."""
    own = about(response(generation, name), workflow_id, run_id)
    return api.parse_run(workflow_id, run_id, own)


def about(response: Response, workflow_id: str, run_id: str) -> Response:
    """The same response, where it is a record that names its run: as the record of another run."""
    try:
        data = json.loads(response.content)
    except ValueError:
        return response
    if not isinstance(data, dict) or not {"runId", "workflowName", "status"} <= set(data):
        return response
    named = {**data, "runId": run_id, "workflowName": workflow_id}
    return replace(response, content=json.dumps(named, ensure_ascii=False).encode())


def json_response(data: Any, status: int = 200) -> Response:
    """A response made up, for what no server at hand can be brought to say."""
    return Response(status, {"content-type": "application/json"}, json.dumps(data).encode())
