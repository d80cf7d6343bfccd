"""Test the signatures of the public classes: explicit, with the defaults of the option classes."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import mastra_workflows
from mastra_workflows import (
    AsyncMastraClient,
    AsyncRun,
    AsyncWorkflow,
    MastraClient,
    Run,
    Workflow,
)
from mastra_workflows._api import RunFilter, StartArguments, StartOptions
from mastra_workflows._options import WaitArguments
from mastra_workflows._procedures import WaitOptions, attach_or_start
from mastra_workflows._procedures.acting import CONFIRM_SECONDS
from mastra_workflows._procedures.resuming import ResumeArguments, ResumeOptions
from mastra_workflows._settings import Settings, SettingsArguments
from mastra_workflows.hitl._inbox import InboxOptions, NewPendingRequestsArguments

FACADES = [MastraClient, Workflow, Run, AsyncMastraClient, AsyncWorkflow, AsyncRun]


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {item.name: item.default for item in parameters if item.default is not item.empty}


def fields(options: type) -> dict[str, Any]:
    assert dataclasses.is_dataclass(options)
    found = {item.name: item.default for item in dataclasses.fields(options)}
    found.pop("none_is_null", None)  # follows from the workflow's schema
    return {name: value for name, value in found.items() if value is not dataclasses.MISSING}


@pytest.mark.parametrize("facade", FACADES, ids=lambda facade: facade.__name__)
def test_every_argument_is_explicit(facade: type) -> None:
    for name, member in [("__init__", facade.__init__), *inspect.getmembers(facade, callable)]:  # type: ignore[misc]
        if name.startswith("_") and name != "__init__":
            continue
        kinds = {item.kind for item in inspect.signature(member).parameters.values()}
        assert not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}, name


@pytest.mark.parametrize(
    ("method", "options"),
    [
        (MastraClient, Settings),
        (Run.start, StartOptions),
        (Run.start_async, StartOptions),
        (Run.stream, StartOptions),
        (Workflow.attach_or_start, StartOptions),
        (Workflow.execute, StartOptions),
        (Run.resume, ResumeOptions),
        (Run.resume_async, ResumeOptions),
        (Run.resume_stream, ResumeOptions),
        (Run.wait, WaitOptions),
        (Run.respond, WaitOptions),
        (Workflow.new_pending_requests, InboxOptions),
    ],
    ids=lambda part: getattr(part, "__qualname__", str(part)),
)
def test_the_defaults_are_those_of_the_options(method: Callable[..., Any], options: type) -> None:
    expected = fields(options)
    assert {name: defaults(method)[name] for name in expected} == expected


def test_the_defaults_of_execute() -> None:
    expected = {**fields(WaitOptions), "on_suspend": "fail"}
    del expected["is_known"]
    found = defaults(Workflow.execute)
    assert {name: found[name] for name in expected} == expected
    of_work = defaults(attach_or_start)
    assert {name: found[name] for name in of_work} == of_work
    assert {name: defaults(Workflow.attach_or_start)[name] for name in of_work} == of_work


def test_the_defaults_of_cancelling() -> None:
    for method in (Run.cancel, Workflow.cancel_work):
        assert defaults(method) == {"confirm_timeout": CONFIRM_SECONDS, "allow_retry": False}


@pytest.mark.parametrize(
    ("arguments", "method"),
    [
        (SettingsArguments, MastraClient),
        (StartArguments, Run.start_async),
        (WaitArguments, Run.wait),
        (ResumeArguments, Run.resume_async),
        (NewPendingRequestsArguments, Workflow.new_pending_requests),
        (RunFilter, Workflow.runs),
    ],
    ids=lambda part: getattr(part, "__qualname__", str(part)),
)
def test_a_typed_dict_has_the_arguments_of_its_method(
    arguments: type, method: Callable[..., Any]
) -> None:
    assert set(arguments.__annotations__) == set(defaults(method)) - {"page_size", "state"}


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: MastraClient("http://h", tokn=""), "MastraClient.__init__()"),  # type: ignore[call-arg]
        (lambda: handle().wait(timout=3), "Run.wait()"),
        (lambda: handle().start(input={}), "Run.start()"),
        (lambda: handle().resume(data={}), "Run.resume()"),
        (lambda: handle().workflow.execute(timout=3), "Workflow.execute()"),
    ],
)
def test_a_misspelt_argument_is_an_error_that_names_the_method(
    call: Callable[[], object], name: str
) -> None:
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value).startswith(f"{name} got an unexpected keyword argument")


def handle() -> Any:
    return MastraClient("http://127.0.0.1:1").get_workflow("w").get_run("r")


def test_everything_that_is_exported_is_listed() -> None:
    assert set(mastra_workflows.__all__) <= set(dir(mastra_workflows))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mastra_workflows.nothing
