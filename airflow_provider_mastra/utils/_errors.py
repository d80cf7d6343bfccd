"""What an error means to Airflow: try the task again, or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowFailException

from mastra_workflows.errors import FINAL, MastraError


@contextmanager
def without_useless_retries(*more: type[MastraError]) -> Iterator[None]:
    """Raise errors that another try cannot mend as Airflow's own, which it does not retry.

    Args:
        *more: errors that are final to the caller, besides `FINAL`.

    Raises:
        AirflowFailException: with the message of the error that it comes from.
    """
    try:
        yield
    except (*FINAL, *more) as error:
        raise AirflowFailException(str(error)) from error
