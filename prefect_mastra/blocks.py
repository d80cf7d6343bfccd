"""Provide the Prefect blocks for a Mastra server and for a workflow on it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

from prefect.blocks.abstract import JobBlock
from prefect.blocks.core import Block
from prefect.blocks.fields import SecretDict
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    WithJsonSchema,
)

from mastra_workflows import (
    JSON,
    AsyncMastraClient,
    ClientCertificate,
    Duration,
    MastraClient,
    OnFailedRun,
    OnStall,
    OnSuspend,
)
from mastra_workflows.integration import (
    Settings,
    StartArguments,
    WaitOptions,
    check_studio_url,
    run_url,
)
from prefect_mastra import _logs
from prefect_mastra._json import start_arguments
from prefect_mastra._run_ids import on_other_input, run_id_for_call
from prefect_mastra.runs import MastraWorkflowRun, WaitParameters

__all__ = ["MastraServer", "MastraWorkflow"]

LOGO = HttpUrl("https://avatars.githubusercontent.com/u/149120496?s=200&v=4")
"""The avatar of Mastra's GitHub organisation."""

DOCUMENTATION = HttpUrl("https://mastra.ai/docs/workflows/overview")


def _in_seconds(value: Duration) -> Duration:
    return value.total_seconds() if isinstance(value, timedelta) else value


Seconds = Annotated[Duration, AfterValidator(_in_seconds), WithJsonSchema({"type": "number"})]
"""Seconds or a `timedelta`, stored as seconds and shown as a number in the block's form."""


class _MappedAsOneValue(Block):
    """A block that ``.map`` passes unchanged to each task run, without ``unmapped``.

    Prefect maps over every iterable argument, and a Pydantic model iterates over its fields.
    """

    if not TYPE_CHECKING:
        __iter__ = None

    # Prefect's visit_collection calls dict() on blocks, which uses these instead of __iter__.
    def keys(self) -> Iterable[str]:
        """Return the names of the block's fields and extra values."""
        return self.__dict__.keys() | (self.__pydantic_extra__ or {}).keys()

    def __getitem__(self, name: str) -> Any:
        try:
            return self.__dict__[name]
        except KeyError:
            return (self.__pydantic_extra__ or {})[name]


class MastraServer(_MappedAsOneValue):
    """Connection settings and credentials of a Mastra server.

    Raises:
        ConfigurationError: a setting is invalid, such as a URL without a scheme.

    Example:
        Run a workflow of the server from a flow:

        ```python
        from prefect import flow
        from prefect_mastra import MastraServer, run_workflow

        @flow
        def order_report(city: str) -> str:
            server = MastraServer.load("BLOCK_NAME")
            return run_workflow(server, "orderReport", {"city": city})["result"]
        ```
    """

    _block_type_name = "Mastra Server"
    _block_type_slug = "mastra-server"
    _logo_url = LOGO
    _documentation_url = DOCUMENTATION

    # A validation error of one field must not reveal the values of the others.
    model_config = ConfigDict(hide_input_in_errors=True)

    base_url: str = Field(
        description="Scheme, host and port, such as http://localhost:4111.",
    )
    token: SecretStr | None = Field(
        default=None,
        description="Sent as a bearer token with every request.",
    )
    basic_auth_user: str | None = Field(
        default=None,
        description="User for basic auth, instead of a token.",
    )
    basic_auth_password: SecretStr | None = Field(
        default=None,
        description="The user's password.",
    )
    headers: SecretDict | None = Field(
        default=None,
        description="More headers for every request.",
    )
    api_prefix: str = Field(
        default="/api",
        description="The prefix of the server's API.",
    )
    verify: bool = Field(
        default=True,
        description="Whether to verify the server's TLS certificate.",
    )
    ca_bundle: str | None = Field(
        default=None,
        description="Path of a CA bundle to verify it with, on the machine that runs the flow.",
    )
    client_cert: str | None = Field(
        default=None,
        description="Path of a client certificate (PEM), on the machine that runs the flow.",
    )
    client_key: str | None = Field(
        default=None,
        description="Path of the certificate's key; none if it is in the same file.",
    )
    timeout: Seconds = Field(
        default=30.0,
        description="Seconds to wait for the response to begin.",
    )
    connect_timeout: Seconds = Field(
        default=10.0,
        description="Seconds to wait for a connection.",
    )
    start_timeout: Seconds = Field(
        default=30.0,
        description="Seconds to wait until the server shows that a started run executes.",
    )
    check_data: bool = Field(
        default=True,
        description=(
            "Whether to check input and resume data against the workflow's own JSON Schemas "
            "before they are sent. A missing field is an error; what z.coerce or z.preprocess may "
            "convert is sent, with a warning."
        ),
    )
    studio_url: str | None = Field(
        default=None,
        description="Where Mastra Studio is served, for links to runs.",
    )

    def block_initialization(self) -> None:
        """Reject invalid settings when the block is created."""
        # The certificate files only exist where flows run, so get_client checks them.
        Settings(**self._settings())
        if self.studio_url:
            check_studio_url(self.studio_url)

    def get_client(self) -> MastraClient:
        """Create a client of the server. Use it in a ``with`` statement, or close it.

        Raises:
            ConfigurationError: the CA bundle or the client certificate does not exist.
        """
        _logs.match_run_log_level()
        return MastraClient(**self._client_arguments())

    def get_async_client(self) -> AsyncMastraClient:
        """Create an asyncio client of the server. Use it in an ``async with`` statement."""
        _logs.match_run_log_level()
        return AsyncMastraClient(**self._client_arguments())

    def run_url(self, workflow_id: str, run_id: str) -> str | None:
        """Return the URL of a run's page in Mastra Studio; None without a ``studio_url``."""
        studio_url = check_studio_url(self.studio_url) if self.studio_url else None
        return run_url(studio_url, workflow_id, run_id)

    def _client_arguments(self) -> dict[str, Any]:
        return {
            **self._settings(),
            "verify": self.ca_bundle if self.verify and self.ca_bundle else self.verify,
            "client_cert": self._client_cert(),
            "start_timeout": self.start_timeout,
            "check_data": self.check_data,
        }

    def _client_cert(self) -> ClientCertificate | None:
        if self.client_cert and self.client_key:
            return self.client_cert, self.client_key
        return self.client_cert or None

    def _basic_auth(self) -> tuple[str, str] | None:
        if not self.basic_auth_user:
            return None
        password = self.basic_auth_password
        return self.basic_auth_user, password.get_secret_value() if password else ""

    def _settings(self) -> dict[str, Any]:
        return {
            "base_url": self.base_url,
            "token": self.token.get_secret_value() if self.token else None,
            "basic_auth": self._basic_auth(),
            "headers": self.headers.get_secret_value() if self.headers else {},
            "api_prefix": self.api_prefix,
            "timeout": self.timeout,
            "connect_timeout": self.connect_timeout,
        }


class MastraWorkflow(_MappedAsOneValue, JobBlock[JSON]):
    """A workflow on a Mastra server, with default input and options for waiting.

    Raises:
        ConfigurationError: a setting is invalid.

    Example:
        Start a run, wait for it and use its result:

        ```python
        from prefect import flow
        from prefect_mastra import MastraWorkflow

        @flow
        def order_report(city: str) -> str:
            workflow = MastraWorkflow.load("BLOCK_NAME")
            run = workflow.trigger({"city": city})
            run.wait_for_completion()
            return run.fetch_result()
        ```
    """

    _block_type_name = "Mastra Workflow"
    _block_type_slug = "mastra-workflow"
    _logo_url = LOGO
    _documentation_url = DOCUMENTATION

    model_config = ConfigDict(hide_input_in_errors=True)

    server: MastraServer = Field(
        description="The server that has the workflow.",
    )
    workflow_id: str = Field(
        description="The workflow's registry key, such as orderReport.",
    )
    input_data: Any = Field(
        default=None,
        description="The workflow's input, for runs that are triggered without one.",
    )
    initial_state: Any = Field(
        default=None,
        description="The workflow's state at its start.",
    )
    request_context: dict[str, Any] | None = Field(
        default=None,
        description="Values that steps read from their request context.",
    )
    resource_id: str | None = Field(
        default=None,
        description="The resource that the runs belong to (Mastra 1.x).",
    )
    timeout: Seconds | None = Field(
        default=None,
        description="Seconds to wait for a run; empty for no limit.",
    )
    on_suspend: OnSuspend = Field(
        default="fail",
        description=(
            "What to do when the run is suspended: raise an error (fail), return the outcome "
            "(return), or wait until it is resumed (wait)."
        ),
    )
    poll_interval: Seconds = Field(
        default=0.5,
        description="Initial seconds between two polls of a run.",
    )
    max_poll_interval: Seconds = Field(
        default=30.0,
        description="Maximum seconds between two polls.",
    )
    outage_timeout: Seconds = Field(
        default=300.0,
        description="Seconds that the server may be unreachable during the wait.",
    )
    stall_timeout: Seconds | None = Field(
        default=3600.0,
        description=(
            "Seconds without a change in the run's record after which the server is asked whether "
            "it still executes the run; empty for never."
        ),
    )
    on_stall: OnStall = Field(
        default="fail",
        description="What to do if it does not: fail, restart the run, or continue to wait.",
    )
    observe: bool = Field(
        default=True,
        description=(
            "Whether to subscribe to the server's event stream, which shows the end of a run "
            "within milliseconds."
        ),
    )
    on_failed_run: OnFailedRun = Field(
        default="new_run",
        description=(
            "What a retry does after a failed run: start a new run (new_run), repeat the run from "
            "the failed step on (from_failed_step), or fail."
        ),
    )
    cancel_on_kill: bool = Field(
        default=True,
        description="Whether to cancel the run when its flow or task is interrupted.",
    )
    cancel_on_timeout: bool = Field(
        default=True,
        description="Whether to cancel the run when the timeout is reached.",
    )

    def block_initialization(self) -> None:
        """Reject invalid settings when the block is created."""
        WaitOptions.of(**self._waiting())

    def trigger(  # type: ignore[override]  # Prefect's is async
        self,
        input_data: JSON = None,
        *,
        run_id: str | None = None,
        key: str | None = None,
    ) -> MastraWorkflowRun:
        """Start a run, or attach to the run of an earlier attempt at the same call.

        Args:
            input_data: the workflow's input; None for the block's ``input_data``.
            run_id: a run id of your own; None to derive one that is the same in every retry.
            key: the name of this call, unique in the flow run; see `start_workflow`.

        Returns:
            The handle of the run.

        Raises:
            InvalidInputError: the input does not match the workflow's schema; nothing was started.
            UnknownWorkflowError: the server has no such workflow; the message names those that
                exist.
        """
        run, arguments = self._prepare(input_data, run_id, key)
        run.start(
            on_failed_run=self.on_failed_run, on_other_input=on_other_input(run_id), **arguments
        )
        return run

    async def atrigger(
        self,
        input_data: JSON = None,
        *,
        run_id: str | None = None,
        key: str | None = None,
    ) -> MastraWorkflowRun:
        """Start a run or attach to it; the asyncio version of `trigger`."""
        run, arguments = self._prepare(input_data, run_id, key)
        await run.astart(
            on_failed_run=self.on_failed_run, on_other_input=on_other_input(run_id), **arguments
        )
        return run

    def _prepare(
        self, input_data: JSON, run_id: str | None, key: str | None
    ) -> tuple[MastraWorkflowRun, StartArguments]:
        arguments = start_arguments(
            input_data=self.input_data if input_data is None else input_data,
            initial_state=self.initial_state,
            request_context=self.request_context,
            resource_id=self.resource_id,
        )
        run = MastraWorkflowRun(
            self.server,
            self.workflow_id,
            run_id or run_id_for_call(self.workflow_id, arguments, key),
            cancel_on_kill=self.cancel_on_kill,
            cancel_on_timeout=self.cancel_on_timeout,
            **self._waiting(),
        )
        return run, arguments

    def _waiting(self) -> WaitParameters:
        return {
            "timeout": self.timeout,
            "on_suspend": self.on_suspend,
            "poll_interval": self.poll_interval,
            "max_poll_interval": self.max_poll_interval,
            "outage_timeout": self.outage_timeout,
            "stall_timeout": self.stall_timeout,
            "on_stall": self.on_stall,
            "observe": self.observe,
        }
