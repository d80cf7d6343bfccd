"""Parse responses into models, and HTTP statuses into errors."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from mastra_workflows._api._names import StepNames, check_name
from mastra_workflows._api._requests import Response, ServerGeneration
from mastra_workflows._models import JSON, StepDetails, StepPath, WorkflowDetails
from mastra_workflows._schemas import parse_schema
from mastra_workflows._text import LARGE, decode, safe_text
from mastra_workflows.errors import (
    ApiError,
    AuthenticationError,
    BodyTooLargeError,
    NotMastraError,
    UnavailableError,
    UnknownRunError,
    UnknownWorkflowError,
)

MAX_SHOWN = 300
MAX_ISSUES = 20
Other = TypeVar("Other", str, None)

VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,9}")
TITLE = re.compile(rb"<title>([^<]{1,10000})</title>")
UNKNOWN_WORKFLOW = re.compile(r"Workflow (with ID .* )?not found")


def check(response: Response) -> Response:
    """Return a successful response; raise the error of any other HTTP status.

    Raises:
        AuthenticationError: 401 and 403.
        UnknownWorkflowError, UnknownRunError: 404 with Mastra's own message for them.
        BodyTooLargeError: 413.
        UnavailableError: 429, 502, 503 and 504.
        NotMastraError: a redirect, or an HTML page.
        ApiError: any other status from 400 on.
    """
    status = response.status_code
    if is_success(status, response.headers):
        return response
    if 200 <= status < 300:
        raise _not_json(response)
    said = server_message(response)
    if 300 <= status < 400:
        target = safe_text(
            response.headers.get("location", "elsewhere").partition("?")[0], MAX_SHOWN
        )
        raise NotMastraError(
            f"The server responded with a redirect ({status}) to {target}. Redirects are not "
            "followed, since a POST would become a GET. Use the final address as the base URL."
        )
    kind, hint = _meaning(status, said)
    if status == 401 and response.headers.get("www-authenticate", "").lower().startswith("basic"):
        hint = " The server, or a proxy before it, requires basic auth: set user and password."
    if kind is None:
        raise BodyTooLargeError(
            f"The request is too large for the server, or a proxy before it (413): {said}. In "
            "nginx, the limit is client_max_body_size."
        )
    raise kind(
        f"The server responded with {status}: {_sentence(said) if hint else said}{hint}",
        status_code=status,
        server_message=said,
        retry_after=_retry_after(response),
    )


def is_success(status: int, headers: Mapping[str, str]) -> bool:
    """Return whether status and headers are those of a success; an HTML page never is one."""
    return 200 <= status < 300 and "html" not in headers.get("content-type", "")


def _not_json(response: Response) -> NotMastraError:
    kind = safe_text(response.headers.get("content-type", "no content type"), MAX_SHOWN)
    what = "an HTML page" if "html" in kind else f"{kind}, not a complete JSON document"
    return NotMastraError(
        f"The response is {what}. Check that the base URL and the API prefix are those of a Mastra "
        "server, without a login page or gateway in between."
    )


def _meaning(status: int, said: str) -> tuple[type[ApiError] | None, str]:
    if status == 401:
        return AuthenticationError, " Set a valid token."
    if status == 403:
        return AuthenticationError, " The token is valid but lacks permission; use another one."
    if status == 404 and UNKNOWN_WORKFLOW.match(said):
        return UnknownWorkflowError, ""
    if status == 404 and said.startswith("Workflow run"):
        return UnknownRunError, ""
    if status == 404:
        return ApiError, " Check that this is a Mastra server and that its API prefix is right."
    if status == 413:
        return None, ""
    if status in (429, 502, 503, 504):
        return UnavailableError, ""
    return ApiError, ""


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def server_message(response: Response) -> str:
    """Return the message of an error response, shortened to one line of plain text."""
    data = None
    if len(response.content) < LARGE:
        with contextlib.suppress(ValueError):
            data = decode(response.content)
    if isinstance(data, dict):
        message = safe_text(data.get("error") or data.get("message") or "", MAX_SHOWN)
        issues = data.get("issues")
        if isinstance(issues, list):
            message += "".join(
                f"; {safe_text(issue.get('field'), MAX_SHOWN)}: "
                f"{safe_text(issue.get('message'), MAX_SHOWN)}"
                for issue in issues[:MAX_ISSUES]
                if isinstance(issue, dict)
            )
        text = message
    elif "html" in response.headers.get("content-type", ""):
        title = TITLE.search(response.content)
        text = f"an HTML page, {title[1].decode(errors='replace')}" if title else "an HTML page"
    else:
        text = response.content[:LARGE].decode(errors="replace")
    return safe_text(text, MAX_SHOWN) or "(nothing more)"


def _retry_after(response: Response) -> float | None:
    value = response.headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        return None  # a date: rare, and it would depend on two clocks
    return max(0.0, seconds) if math.isfinite(seconds) else None


def parse_json(response: Response) -> Any:
    """Parse the JSON of a successful response.

    Raises:
        NotMastraError: the body is not JSON, or is incomplete.
    """
    try:
        return decode(check(response).content)
    except ValueError as error:
        raise _not_json(response) from error


def parse_object(response: Response) -> dict[str, Any]:
    """Parse a response as `parse_json` does, if it has to be a JSON object."""
    data = parse_json(response)
    if not isinstance(data, dict):
        raise NotMastraError(f"Expected a JSON object as the response, got {type(data).__name__}.")
    return data


def mapping(value: JSON) -> Mapping[str, Any]:
    """Return a value if it is an object, otherwise an empty object."""
    return value if isinstance(value, dict) else {}


def text_or(value: JSON, other: Other) -> str | Other:
    """Return a value if it is a text that is not empty, otherwise ``other``."""
    return value if isinstance(value, str) and value else other


def parse_server(response: Response) -> tuple[ServerGeneration, tuple[int, ...] | None]:
    """Return whether the server is 0.x or 1.x, and its version if `system_packages` has it."""
    if response.status_code == 404:
        return ServerGeneration.V0, None
    packages = parse_object(response).get("packages")
    if not isinstance(packages, list):
        raise NotMastraError("The response is not that of a Mastra server: it lists no packages.")
    for package in packages:
        if isinstance(package, dict) and package.get("name") == "@mastra/core":
            return ServerGeneration.V1, parse_version(package.get("version"))
    return ServerGeneration.V1, None


def parse_version(text: object) -> tuple[int, ...] | None:
    """Return the numbers of a version without a ``-`` suffix; None if it is not a version."""
    numbers = text.partition("-")[0] if isinstance(text, str) else ""
    if not VERSION.fullmatch(numbers):
        return None
    return tuple(map(int, numbers.split(".")))


def parse_workflows(response: Response) -> tuple[WorkflowDetails, ...]:
    """Parse the response to `list_workflows`."""
    data = parse_object(response)
    if not all(isinstance(value, dict) for value in data.values()):
        raise NotMastraError("The response is not a list of Mastra workflows.")
    return tuple(_details(key, value) for key, value in data.items())


def parse_details(key: str, response: Response) -> WorkflowDetails:
    """Parse the response to `workflow_details`."""
    return _details(key, parse_object(response))


def _details(key: str, data: Mapping[str, Any]) -> WorkflowDetails:
    steps = {
        check_name(name): step
        for name, step in mapping(data.get("allSteps") or data.get("steps")).items()
        if isinstance(step, dict)
    }
    graph = data.get("stepGraph")
    paths = StepNames(graph).paths(steps)
    return WorkflowDetails(
        key=key,
        name=text_or(data.get("name"), key),
        description=text_or(data.get("description"), None),
        input_schema=parse_schema(data.get("inputSchema")),
        output_schema=parse_schema(data.get("outputSchema")),
        steps={path: _step_details(path, steps[name]) for name, path in paths.items()},
        step_graph=tuple(entry for entry in graph if isinstance(entry, dict))
        if isinstance(graph, list)
        else (),
    )


def _step_details(path: StepPath, data: Mapping[str, Any]) -> StepDetails:
    return StepDetails(
        path=path,
        description=text_or(data.get("description"), None),
        input_schema=parse_schema(data.get("inputSchema")),
        output_schema=parse_schema(data.get("outputSchema")),
        resume_schema=parse_schema(data.get("resumeSchema")),
        suspend_schema=parse_schema(data.get("suspendSchema")),
        is_workflow=bool(data.get("isWorkflow")) or data.get("component") == "WORKFLOW",
    )
