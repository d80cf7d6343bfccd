# Generated from mastra_workflows/aio/client.py by `make generate`. Do not edit.
"""The client of a Mastra server."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from mastra_workflows import _procedures as procedures
from mastra_workflows._api import ServerGeneration
from mastra_workflows._models import WorkflowDetails
from mastra_workflows._policy import Duration, RetryPolicy
from mastra_workflows._pools import known_of
from mastra_workflows._procedures import Server
from mastra_workflows._settings import ClientCertificate, OfOneProcess, Settings
from mastra_workflows._sync.workflow import Workflow
from mastra_workflows._transport import Transport


class MastraClient(OfOneProcess):
    """A client of one Mastra server, version 0.x or 1.x.

    `MastraClient` is for threads, `AsyncMastraClient` for asyncio; both have the same methods. One
    client can be shared between threads, or between event loops. Use it as a context manager, or
    call `close`::

        with MastraClient("http://localhost:4111") as mastra:
            report = mastra.get_workflow("orderReport").execute({"city": "Hamburg"})

    Args:
        base_url: scheme, host and port, optionally with a path in front of the API prefix.
        token: sent as ``Authorization: Bearer``.
        basic_auth: user and password, sent as ``Authorization: Basic``, for a proxy in front of the
            server. Exclusive with ``token``.
        headers: sent with every request. Like the token, they are masked in reprs and messages.
        api_prefix: the server's API prefix.
        timeout: the maximum time until a response begins, and between two parts of it. A complete
            response may take ten times as long, and so may the headers of an event stream. The
            stream itself has no limit.
        connect_timeout: the maximum time to establish a connection.
        verify: whether to verify TLS certificates, or the path of a CA bundle.
        client_cert: a client certificate: the path of a PEM file with certificate and key, or
            ``(certificate, key)``, or ``(certificate, key, password)``.
        max_body_bytes: the maximum size of a request or response body, and of one event of a
            stream.
        retry: how transient failures are retried on calls that are safe to repeat; None for a
            `RetryPolicy` with its defaults.
        check_data: whether to validate input and resume data against the workflow's JSON Schemas
            before sending. A missing field, or a list or number in place of an object, is an error.
            Other mismatches are logged as warnings, since ``z.coerce`` and ``z.preprocess`` may
            convert the value: without such a conversion, Mastra 1.x refuses it, and 0.x accepts any
            value. Set it to False for a ``z.preprocess`` that adds required fields. Costs one
            request a minute and workflow.
        start_timeout: how long to wait for a sign that a run executes, or continues after a resume.

    Raises:
        ConfigurationError: an argument is invalid.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        basic_auth: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        api_prefix: str = "/api",
        timeout: Duration = 30.0,
        connect_timeout: Duration = 10.0,
        verify: bool | str = True,
        client_cert: ClientCertificate | None = None,
        max_body_bytes: int = 64 * 1024 * 1024,
        retry: RetryPolicy | None = None,
        check_data: bool = True,
        start_timeout: Duration = 30.0,
    ) -> None:
        settings = Settings.of(
            base_url,
            token=token,
            basic_auth=basic_auth,
            headers=headers,
            api_prefix=api_prefix,
            timeout=timeout,
            connect_timeout=connect_timeout,
            verify=verify,
            client_cert=client_cert,
            max_body_bytes=max_body_bytes,
            retry=retry,
            check_data=check_data,
            start_timeout=start_timeout,
        )
        self._server = Server.of(settings, known_of(settings))
        self._transport = Transport(settings)

    @property
    def base_url(self) -> str:
        """The server's address, without the API prefix."""
        return self._transport.settings.base_url

    def get_workflow(self, workflow_id: str) -> Workflow:
        """Return a handle of one workflow; sends no request.

        Args:
            workflow_id: the workflow's registry key, such as ``orderReport``. 1.x also accepts its
                id.
        """
        return Workflow(self._transport, self._server, workflow_id)

    def list_workflows(self) -> tuple[WorkflowDetails, ...]:
        """Return every workflow of the server (``GET /workflows``)."""
        return self._transport.run(procedures.list_workflows(self._server))

    def server_generation(self) -> ServerGeneration:
        """Return whether the server is 0.x or 1.x; the first call sends a request.

        The request is ``GET /system/packages``.
        """
        return self._transport.run(procedures.generation(self._server))

    def supports_for_each_index(self) -> bool:
        """Return whether the server can resume one suspended item of a ``foreach`` (>= 1.26).

        Other servers resume every suspended item of that step with the same data.
        """
        return self._transport.run(procedures.supports_for_each_index(self._server))

    def close(self) -> None:
        """Close all connections; the client cannot be used afterwards."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"
