"""Conversion of the client's errors to Airflow exceptions, retried or not."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from mastra_workflows.errors import FINAL, MastraError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def as_airflow_errors(*final: type[MastraError]) -> Iterator[None]:
    """Raise each error of the client as an error that is also an `AirflowException`.

    Args:
        *final: errors that a retry would only repeat, in addition to `FINAL`.

    Raises:
        AirflowFailException: a retry would only repeat the error, so Airflow does not retry.
        AirflowException: all other errors of the client.
    """
    try:
        yield
    except MastraError as error:
        if isinstance(error, AirflowException):
            raise
        is_final = isinstance(error, (*FINAL, *final))
        kind = AirflowFailException if is_final else AirflowException
        raise as_airflow_error(error, kind) from error.__cause__


def as_airflow_error(error: MastraError, base: type[AirflowException]) -> AirflowException:
    """Return the error, with its class and attributes, as an Airflow exception.

    Args:
        error: an error of the client, converted or not.
        base: the class that determines how Airflow reacts, such as `AirflowFailException`.

    Returns:
        An instance of both classes with the attribute ``run``: the last known record of the run, or
            None.
    """
    kind = getattr(error, "client_error", type(error))
    return _build(kind, base, error.args, error.__dict__).with_traceback(error.__traceback__)


_COMBINED: dict[tuple[type[MastraError], type[AirflowException]], type[Any]] = {}


def _build(
    kind: type[MastraError], base: type[AirflowException], args: tuple[Any, ...], state: Any
) -> AirflowException:
    # One class per pair, so that equal errors have the same class.
    combined = _COMBINED.setdefault((kind, base), _combine(kind, base))
    error: AirflowException = combined.__new__(combined, *args)
    error.__dict__.update({"run": None, **state})
    return error


def _combine(kind: type[MastraError], base: type[AirflowException]) -> type[Any]:
    """Create a class that inherits from both, under the name of the client's class."""

    def reduce(self: Any) -> tuple[Any, ...]:
        return _build, (kind, base, self.args, self.__dict__)

    members = {
        "__doc__": kind.__doc__,
        "__module__": kind.__module__,
        "__reduce__": reduce,
        "client_error": kind,
    }
    return type(kind.__name__, (kind, base), members)
