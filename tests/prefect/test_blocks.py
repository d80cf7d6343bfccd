"""Test the blocks: Prefect's standard suite, round trips, secrets and invalid settings."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.blocks.core import Block
from prefect.blocks.fields import SecretDict
from prefect.client.orchestration import SyncPrefectClient
from prefect.testing.standard_test_suites.blocks import BlockStandardTestSuite
from pydantic import SecretStr, ValidationError

from mastra_workflows.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidInputError,
    RunError,
    RunFailedError,
    RunSuspendedError,
)
from prefect_mastra import MastraServer, MastraWorkflow, start_workflow
from testkit.sample_server import SampleServer

pytestmark = pytest.mark.smoke

TOKEN = "token-that-nobody-may-see"
HEADER = "header-that-nobody-may-see"


@pytest.mark.parametrize("block", [MastraServer, MastraWorkflow])
class TestStandards(BlockStandardTestSuite):
    @pytest.fixture
    def block(self, request: pytest.FixtureRequest) -> type[Block]:
        block: type[Block] = request.param
        return block

    def test_has_a_valid_image(self, block: type[Block]) -> None:
        """The original loads the image from the internet, which tests here do not need."""
        assert str(block._logo_url).startswith("https://")


@pytest.fixture
def secretive(server: SampleServer) -> MastraServer:
    return MastraServer(
        base_url=server.url,
        token=SecretStr(TOKEN),
        headers=SecretDict({"X-Api-Key": HEADER}),
        studio_url="http://studio.example",
    )


def test_a_saved_server_comes_back_with_its_secrets(secretive: MastraServer, key: str) -> None:
    name = key.replace("_", "-").lower()
    secretive.save(name)
    loaded = MastraServer.load(name)
    assert isinstance(loaded, MastraServer)
    assert loaded.token is not None
    assert loaded.token.get_secret_value() == TOKEN
    assert loaded.headers is not None
    assert loaded.headers.get_secret_value() == {"X-Api-Key": HEADER}
    with loaded.get_client() as client:
        assert client.list_workflows()


def test_a_saved_workflow_comes_back_with_its_server(secretive: MastraServer, key: str) -> None:
    name = key.replace("_", "-").lower()
    workflow = MastraWorkflow(server=secretive, workflow_id="orderReport", on_suspend="return")
    workflow.save(name)
    loaded = MastraWorkflow.load(name)
    assert isinstance(loaded, MastraWorkflow)
    assert loaded.on_suspend == "return"
    assert loaded.server.token == SecretStr(TOKEN)
    assert TOKEN not in repr(loaded)
    run = loaded.trigger({"city": "Oslo"}, run_id=key)
    assert run.wait_for_completion()["status"] == "success"


def test_reprs_contain_no_secret(
    secretive: MastraServer, key: str, api: SyncPrefectClient, logs_of: Any
) -> None:
    """Reprs, dumps, Prefect's API (block document, flow run parameters) and logs hide them."""
    name = key.replace("_", "-").lower()
    document_id = secretive.save(name)
    assert isinstance(document_id, UUID)

    @flow
    def reports(server: MastraServer) -> dict[str, Any]:
        return start_workflow(server, "orderReport", {"city": "Oslo"})

    state = reports(secretive, return_state=True)
    result = state.result()
    flow_run_id = state.state_details.flow_run_id
    assert flow_run_id is not None
    shown = [
        repr(secretive),
        str(secretive),
        secretive.model_dump_json(),
        repr(secretive.get_client()),
        str(api.read_block_document(document_id, include_secrets=False).data),
        str(api.read_flow_run(flow_run_id).parameters),
        str(result),
        logs_of(state),
    ]
    assert "Run " in shown[-1]
    for text in shown:
        assert TOKEN not in text
        assert HEADER not in text


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"base_url": "localhost:4111"}, "scheme"),
        ({"base_url": "http://"}, "scheme and host"),
        ({"base_url": "http://u:pass@localhost"}, "user or password"),
        ({"base_url": "http://localhost:99999"}, "port"),
        ({"base_url": "http://localhost/?a=b"}, "query"),
        ({"timeout": 0}, "timeout is 0"),
        ({"headers": {"no name": "x"}}, "not a valid header name"),
        ({"token": "two words"}, "token"),
    ],
)
def test_invalid_settings_are_rejected(setting: dict[str, Any], message: str) -> None:
    settings = {"base_url": "http://localhost:4111", "token": TOKEN, **setting}
    with pytest.raises(ConfigurationError, match=message) as caught:
        MastraServer(**settings)
    assert TOKEN not in repr(caught.value)


def test_an_error_about_a_field_does_not_show_the_others() -> None:
    for make in (
        lambda: MastraServer.model_validate({"base_url": "nonsense", "token": TOKEN}),
        lambda: MastraWorkflow.model_validate(
            {"server": {"base_url": "nonsense", "token": TOKEN}, "workflow_id": "x"}
        ),
        lambda: MastraServer.model_validate({"token": TOKEN}),
    ):
        with pytest.raises(ValidationError) as caught:
            make()
        assert TOKEN not in str(caught.value)


def test_basic_auth_and_client_certificates() -> None:
    server = MastraServer(
        base_url="https://mastra.example",
        basic_auth_user="ada",
        basic_auth_password=SecretStr("s3cret"),
        client_cert="/not/here.pem",
        client_key="/not/here.key",
    )
    assert "s3cret" not in repr(server)
    arguments = server._client_arguments()
    assert arguments["basic_auth"] == ("ada", "s3cret")
    assert arguments["client_cert"] == ("/not/here.pem", "/not/here.key")
    with pytest.raises(ConfigurationError, match="client_cert: the file"):
        server.get_client()


def test_ca_bundle_is_only_required_where_it_is_used() -> None:
    server = MastraServer(base_url="https://mastra.example", ca_bundle="/not/here.pem")
    with pytest.raises(ConfigurationError, match=r"/not/here\.pem"):
        server.get_client()


def test_a_base_url_may_end_in_a_slash_or_in_the_prefix(mastra_1: MastraServer) -> None:
    for end in ("/", "/api", "/api/"):
        with MastraServer(base_url=mastra_1.base_url + end).get_client() as client:
            assert client.list_workflows()


def test_a_server_that_asks_for_a_token() -> None:
    with SampleServer("1", token=TOKEN) as server:
        workflow: dict[str, Any] = {"workflow_id": "orderReport", "input_data": {"city": "Oslo"}}
        known = MastraServer(base_url=server.url, token=SecretStr(TOKEN))
        run = MastraWorkflow(server=known, **workflow).trigger()
        assert run.wait_for_completion()["status"] == "success"
        for unknown in (
            MastraServer(base_url=server.url),
            MastraServer(base_url=server.url, token=SecretStr("an0ther-t0ken")),
        ):
            with pytest.raises(AuthenticationError, match="token"):
                MastraWorkflow(server=unknown, **workflow).trigger()


# -- the workflow as a job ----------------------------------------------------------------------


def test_a_job_runs_with_the_blocks_input_or_another(mastra: MastraServer) -> None:
    """Outside of a flow too: there each trigger starts a separate run."""
    workflow = MastraWorkflow(server=mastra, workflow_id="orderReport", input_data={"city": "Oslo"})
    first, second = workflow.trigger(), workflow.trigger({"city": "Bergen"})
    assert first.wait_for_completion()["result"]["city"] == "Oslo"
    assert first.fetch_result()["city"] == "Oslo"
    assert second.wait_for_completion()["status"] == "success"
    assert second.fetch_result()["city"] == "Bergen"
    assert first.run_id != second.run_id
    assert first.url == f"http://studio.example/workflows/orderReport/graph/{first.run_id}"


def test_a_job_that_fails(mastra: MastraServer) -> None:
    run = MastraWorkflow(server=mastra, workflow_id="failingImport").trigger()
    with pytest.raises(RunFailedError, match="disk full on import-7"):
        run.wait_for_completion()
    with pytest.raises(RunFailedError, match="disk full on import-7"):
        run.fetch_result()


def test_a_job_that_suspends(mastra: MastraServer) -> None:
    refund = {"order": "A-1", "amount": 100, "reason": "broken"}
    workflow = MastraWorkflow(server=mastra, workflow_id="refundApproval", input_data=refund)
    run = workflow.trigger()
    with pytest.raises(RunSuspendedError, match="approve"):
        run.wait_for_completion()
    with pytest.raises(RunError, match="no result yet"):
        run.fetch_result()
    run.resume(resume_data={"approved": True})
    assert run.wait_for_completion()["status"] == "success"
    assert run.fetch_result()["refunded"] == 100


def test_a_job_that_is_cancelled(mastra: MastraServer) -> None:
    run = MastraWorkflow(server=mastra, workflow_id="slowExport").trigger({"seconds": 60})
    assert run.cancel()["status"] == "canceled"


def test_a_job_with_invalid_input_or_settings(mastra: MastraServer, key: str, has_run: Any) -> None:
    workflow = MastraWorkflow(server=mastra, workflow_id="orderReport")
    with pytest.raises(InvalidInputError, match=r"\$\.city: required"):
        workflow.trigger(run_id=key)
    assert not has_run("orderReport", key)
    with pytest.raises(ConfigurationError, match="poll_interval"):
        MastraWorkflow(server=mastra, workflow_id="orderReport", poll_interval=0)
