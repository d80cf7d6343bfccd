"""Test a server that requires a token (Mastra's SimpleAuth)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from mastra_workflows import MastraClient
from mastra_workflows.errors import AuthenticationError, RunFailedError
from testkit.sample_server import Generation, SampleServer
from tests.conftest import EVERY_SERVER
from tests.core.samples import REPORT

TOKEN = "the-right-t0ken"
WRONG = "a-wr0ng-token"


@pytest.fixture(scope="module", params=EVERY_SERVER)
def guarded(request: pytest.FixtureRequest) -> Iterator[SampleServer]:
    """A server of each generation with authentication on."""
    generation: Generation = request.param
    with SampleServer(generation, token=TOKEN) as server:
        yield server


def test_valid_token_is_accepted(guarded: SampleServer, key: str) -> None:
    with MastraClient(guarded.url, token=TOKEN) as client:
        assert len(client.list_workflows()) == 24
        run = client.get_workflow("orderReport").get_run(key)
        run.start(input_data=REPORT)
        assert run.wait(timeout=30).is_success
        with (
            client.get_workflow("orderReport")
            .get_run(f"{key}-2")
            .stream(input_data=REPORT) as stream
        ):
            assert list(stream)[-1].is_end


def test_valid_token_in_a_header_is_accepted(guarded: SampleServer) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with MastraClient(guarded.url, headers=headers) as client:
        assert client.list_workflows()


@pytest.mark.parametrize("token", [None, WRONG])
def test_missing_or_wrong_token_is_refused(
    guarded: SampleServer, key: str, token: str | None
) -> None:
    with MastraClient(guarded.url, token=token) as client:
        workflow = client.get_workflow("orderReport")
        run = workflow.get_run(key)
        for call in (
            client.list_workflows,
            workflow.details,
            workflow.create_run,
            run.read,
            run.wait,
            run.watch,
            run.cancel,
            lambda: run.start(input_data=REPORT),
            lambda: run.start_async(input_data=REPORT),
            lambda: run.stream(input_data=REPORT),
            lambda: run.resume(resume_data={}),
        ):
            with pytest.raises(AuthenticationError, match=r"401: .*Set a valid token") as caught:
                call()
            assert caught.value.status_code == 401
            assert WRONG not in str(caught.value)
            assert TOKEN not in str(caught.value)


def test_nothing_was_started_without_a_token(guarded: SampleServer, key: str) -> None:
    with MastraClient(guarded.url, token=WRONG) as client, pytest.raises(AuthenticationError):
        client.get_workflow("countedCharge").get_run(key).start(input_data={"key": key})
    assert guarded.executions(key) == 0


def test_netrc_does_not_replace_the_token(
    guarded: SampleServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    with MastraClient(guarded.url, token=TOKEN) as client:
        assert client.list_workflows()


def test_token_is_masked_in_logs_reprs_and_errors(
    guarded: SampleServer, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"X-Other-Secret": WRONG}
    client = MastraClient(guarded.url, token=TOKEN, headers=headers)
    with caplog.at_level(logging.DEBUG), client:
        run = client.get_workflow("failingImport").get_run(key)
        run.start(input_data={})
        record = run.wait(timeout=30)
        with pytest.raises(RunFailedError, match="disk full") as caught:
            record.raise_for_status()
    texts = [repr(client), repr(run), repr(record), str(record), repr(caught.value)]
    texts.append(repr(vars(client)))
    assert caplog.records
    for text in [caplog.text, *texts]:
        assert TOKEN not in text
        assert WRONG not in text
