"""Asynchronous clients for triggers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, mask_secret
from asgiref.sync import sync_to_async

from airflow_provider_mastra.hooks._connection import client_arguments, secrets

if TYPE_CHECKING:
    from airflow_provider_mastra.hooks._connection import ConnectionLike
    from mastra_workflows import AsyncMastraClient, RetryPolicy


async def async_client(
    mastra_conn_id: str, *, retry: RetryPolicy | None = None
) -> AsyncMastraClient:
    """Create a client for the server of a connection, and mask its secrets in logs.

    Args:
        mastra_conn_id: the id of the connection.
        retry: the retry policy for transient failures of calls that are safe to repeat.

    Raises:
        ConfigurationError: the connection is invalid; nothing was sent.
    """
    # Imported here because DAG files import triggers but do not need aiohttp.
    from mastra_workflows import AsyncMastraClient

    arguments = client_arguments(await _connection(mastra_conn_id))
    for secret in secrets(arguments):
        await sync_to_async(mask_secret)(secret)
    return AsyncMastraClient(**arguments, retry=retry)


async def _connection(mastra_conn_id: str) -> ConnectionLike:
    try:
        connection: ConnectionLike = await get_async_connection(mastra_conn_id)
    except AirflowNotFoundException:
        # `airflow dags test` runs triggers in a process whose asynchronous lookup cannot reach the
        # metadata database.
        connection = await sync_to_async(BaseHook.get_connection)(mastra_conn_id)
    return connection
