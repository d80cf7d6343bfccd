"""The synchronous client of one Mastra server; its handles are in `workflow` and `run`."""

from __future__ import annotations

from types import TracebackType
from typing import Self, Unpack

from mastra_workflows import procedures
from mastra_workflows._pools import known_of
from mastra_workflows._transport import Transport
from mastra_workflows.api import ServerGeneration
from mastra_workflows.models import WorkflowDetails
from mastra_workflows.procedures import Server
from mastra_workflows.settings import ClientArguments, OfOneProcess, Settings
from mastra_workflows.workflow import Workflow


class MastraClient(OfOneProcess):
    """A client of one Mastra server, of generation 0.x or 1.x; which one, it finds out itself.

    Safe to share between threads. Use it in a ``with`` statement, or call `close`::

        with MastraClient("http://localhost:4111") as mastra:
            run = mastra.get_workflow("orderReport").create_run()
            run.start(input_data={"city": "Oslo"})
            report = run.wait(timeout=600).raise_for_status().result

    Args:
        base_url: scheme, host and port; a path in front of the API prefix may follow.
        **arguments: ``token``, ``headers``, ``timeout`` and more: see `ClientArguments`.

    Raises:
        ConfigurationError: a setting cannot work.
    """

    def __init__(self, base_url: str, **arguments: Unpack[ClientArguments]) -> None:
        settings = Settings.of(base_url, **arguments)
        self._server = Server.of(settings, known_of(settings))
        self._transport = Transport(settings)

    @property
    def base_url(self) -> str:
        """The server's address, without the API prefix."""
        return self._transport.settings.base_url

    def server_generation(self) -> ServerGeneration:
        """Return the server's generation; the first call requests ``GET /system/packages``."""
        return self._transport.run(procedures.generation(self._server))

    def supports_for_each_index(self) -> bool:
        """Return whether the server can resume one suspended item of a ``foreach`` (>= 1.26).

        Other servers resume every suspended item of that step with the same data.
        """
        return self._transport.run(procedures.supports_for_each_index(self._server))

    def list_workflows(self) -> tuple[WorkflowDetails, ...]:
        """Every workflow of the server (``GET /workflows``)."""
        return self._transport.run(procedures.list_workflows(self._server))

    def get_workflow(self, workflow_id: str) -> Workflow:
        """A handle of one workflow; sends nothing.

        Args:
            workflow_id: its registry key, such as ``orderReport``. 1.x takes its id as well.
        """
        return Workflow(self._transport, self._server, workflow_id)

    def close(self) -> None:
        """Close every connection; the client cannot be used afterwards."""
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
