"""The hook for connections to Mastra servers."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

from airflow.providers.common.compat.sdk import BaseHook, mask_secret

from airflow_provider_mastra.get_provider_info import CONNECTION_TYPE
from airflow_provider_mastra.hooks._connection import client_arguments, secrets, studio_url
from mastra_workflows.errors import MastraError
from mastra_workflows.integration import run_url

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_provider_mastra.hooks._connection import ClientArguments, ConnectionLike
    from mastra_workflows import MastraClient, RetryPolicy


class MastraHook(BaseHook):
    """Create clients for the Mastra server of an Airflow connection.

    Use the hook in a ``with`` statement, or call `close`::

        with MastraHook("mastra_default") as hook:
            run = hook.get_conn().get_workflow("orderReport").create_run()

    Args:
        mastra_conn_id: the id of a connection of type ``mastra``. Its fields are host, port and
            schema, or a full URL as host; and a token as password, or login and password for basic
            auth. Its extra may contain ``headers``, ``secret_headers`` (hidden on Airflow's own
            pages), ``api_prefix``, ``verify`` (true, false or the path of a CA bundle),
            ``client_cert`` and ``client_key`` (paths of a client certificate and its key),
            ``timeout`` and ``connect_timeout`` in seconds, and ``studio_url``, the address of
            Mastra Studio.
        check_data: whether to validate input and resume data against the workflow's JSON Schemas
            before sending them.
    """

    conn_name_attr: ClassVar[str] = "mastra_conn_id"
    default_conn_name: ClassVar[str] = "mastra_default"
    conn_type: ClassVar[str] = "mastra"
    hook_name: ClassVar[str] = "Mastra"

    def __init__(
        self, mastra_conn_id: str = default_conn_name, *, check_data: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.mastra_conn_id = mastra_conn_id
        self.check_data = check_data
        self._client: MastraClient | None = None

    def get_conn(self) -> MastraClient:
        """Return the hook's client, which is shared until the hook is closed.

        Raises:
            ConfigurationError: the connection is invalid; nothing was sent.
        """
        if self._client is None:
            self._client = self.new_client()
        return self._client

    def new_client(
        self, *, retry: RetryPolicy | None = None, **instead: Unpack[ClientArguments]
    ) -> MastraClient:
        """Create a separate client, which the caller must close.

        Args:
            retry: the retry policy for transient failures of calls that are safe to repeat.
            **instead: client arguments that override those of the connection.

        Raises:
            ConfigurationError: the connection is invalid; nothing was sent.
        """
        from mastra_workflows import MastraClient  # imports `requests`, which DAG files do not need

        arguments: ClientArguments = {**self._client_arguments, **instead}
        return MastraClient(**arguments, check_data=self.check_data, retry=retry)

    def run_url(self, workflow_id: str, run_id: str) -> str | None:
        """Return the URL of a run in Mastra Studio; None without a ``studio_url``."""
        return run_url(studio_url(self._connection), workflow_id, run_id)

    def test_connection(self) -> tuple[bool, str]:
        """Read the server's version and workflows, without retries.

        The requests are ``GET /system/packages`` and ``GET /workflows``.

        Returns:
            Whether a Mastra server responded, and a message for the user.
        """
        from mastra_workflows import RetryPolicy

        try:
            with self.new_client(retry=RetryPolicy(seconds=0)) as client:
                generation = client.server_generation()
                number = len(client.list_workflows())
        except MastraError as error:
            return False, str(error)
        what = f"Connected to a Mastra {generation.value} server."
        return True, f"{what} Workflows: {number}."

    def reload(self) -> bool:
        """Read the connection again, so that the next client uses its current values.

        Returns:
            Whether the client's arguments have changed.

        Raises:
            ConfigurationError: the edited connection is invalid; the hook keeps the old values.
        """
        connection = self.get_connection(self.mastra_conn_id)
        arguments = self._arguments_of(connection)
        has_changed = arguments != self._client_arguments
        # Replace both at once and never delete them: `on_kill` may read them at any moment.
        self.__dict__.update(_connection=connection, _client_arguments=arguments)
        if has_changed:
            self.close()
        return has_changed

    def close(self) -> None:
        """Close the client's connections, if it has any."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # Cached: an operator's `on_kill` creates a client while the task may be in the middle of a
    # request to Airflow, and a second request would block until the response to the first one.

    @cached_property
    def _connection(self) -> ConnectionLike:
        return self.get_connection(self.mastra_conn_id)

    @cached_property
    def _client_arguments(self) -> ClientArguments:
        return self._arguments_of(self._connection)

    def _arguments_of(self, connection: ConnectionLike) -> ClientArguments:
        arguments = client_arguments(connection)
        for secret in secrets(arguments):
            mask_secret(secret)
        return arguments

    # -- the connection form of Airflow 3.1; later ones read it from `get_provider_info` ----------

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the additional fields of the connection form."""
        from wtforms import (  # type: ignore[import-untyped]
            IntegerField,
            PasswordField,
            StringField,
        )

        def widget(field: dict[str, Any]) -> Any:
            schema = field["schema"]
            kind = PasswordField if schema.get("format") == "password" else StringField
            if "integer" in schema["type"]:
                kind = IntegerField
            return kind(field["label"], description=field["description"])

        return {name: widget(field) for name, field in CONNECTION_TYPE["conn-fields"].items()}

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return which standard fields of the connection form are hidden or relabelled."""
        behaviour = CONNECTION_TYPE["ui-field-behaviour"]
        return {key.replace("-", "_"): value for key, value in behaviour.items()}
