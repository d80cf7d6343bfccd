"""Keyword arguments of Airflow's base classes, for editors and type checkers."""

from __future__ import annotations

import difflib
import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypedDict

from mastra_workflows.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, MutableMapping, Sequence
    from datetime import datetime, timedelta

    from airflow.sdk import DAG, TaskGroup


class CommonArguments(TypedDict, total=False):
    """The arguments of Airflow's `BaseOperator`, without ``task_id``."""

    owner: str
    email: str | Sequence[str] | None
    email_on_retry: bool
    email_on_failure: bool
    retries: int | None
    retry_delay: timedelta | float
    retry_exponential_backoff: float
    max_retry_delay: timedelta | float | None
    retry_policy: Any
    start_date: datetime | None
    end_date: datetime | None
    depends_on_past: bool
    ignore_first_depends_on_past: bool
    wait_for_past_depends_before_skipping: bool
    wait_for_downstream: bool
    dag: DAG | None
    params: MutableMapping[str, Any] | None
    default_args: dict[str, Any] | None
    priority_weight: int
    weight_rule: Any
    queue: str
    pool: str | None
    pool_slots: int
    sla: timedelta | None
    execution_timeout: timedelta | None
    on_execute_callback: Any
    on_failure_callback: Any
    on_success_callback: Any
    on_retry_callback: Any
    on_skipped_callback: Any
    pre_execute: Any
    post_execute: Any
    trigger_rule: str
    resources: dict[str, Any] | None
    run_as_user: str | None
    map_index_template: str | None
    max_active_tis_per_dag: int | None
    max_active_tis_per_dagrun: int | None
    executor: str | None
    executor_config: dict[str, Any] | None
    do_xcom_push: bool
    multiple_outputs: bool
    inlets: Any
    outlets: Any
    task_group: TaskGroup | None
    doc: str | None
    doc_md: str | None
    doc_json: str | None
    doc_yaml: str | None
    doc_rst: str | None
    task_display_name: str | None
    logger_name: str | None
    allow_nested_operators: bool
    render_template_as_native_obj: bool | None


class OperatorArguments(CommonArguments, total=False):
    """The arguments of Airflow's `BaseOperator`."""

    task_id: str


class SensorArguments(OperatorArguments, total=False):
    """The arguments of Airflow's `BaseSensorOperator`."""

    timeout: float | timedelta | None
    soft_fail: bool
    mode: str
    exponential_backoff: bool
    max_wait: timedelta | float | None
    silent_fail: bool
    never_fail: bool


def reject_unknown(cls: type, arguments: Mapping[str, object]) -> None:
    """Raise an error for arguments that an operator does not have.

    Airflow raises one, too, but without the names of the valid arguments.

    Args:
        cls: the operator's class.
        arguments: the arguments to be passed to Airflow's base class.

    Raises:
        TypeError: an argument is unknown. The message lists the valid ones.
    """
    own, inherited = _names(cls)
    # Airflow adds internal arguments.
    unknown = [
        name for name in arguments if name not in inherited and not name.startswith("_airflow")
    ]
    if not unknown:
        return
    parts = []
    for name in unknown:
        similar = difflib.get_close_matches(name, [*own, *inherited], n=1)
        parts.append(f"{name!r}" + (f" (did you mean {similar[0]!r}?)" if similar else ""))
    raise TypeError(
        f"{cls.__name__} got an unexpected argument: {', '.join(parts)}. It takes {', '.join(own)}"
        ", and the arguments of every operator."
    )


def _names(cls: type) -> tuple[Collection[str], Collection[str]]:
    """Return the arguments of this package's classes, and those of Airflow's base classes."""
    own: dict[str, None] = {}
    inherited: set[str] = set()
    for base in cls.__mro__:
        init = vars(base).get("__init__")
        if init is None:
            continue
        parameters = inspect.signature(init).parameters.values()
        names = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
        if base.__module__.startswith("airflow."):
            inherited.update(names)
        elif not base.__module__.rpartition(".")[2].startswith("_"):
            own.update(dict.fromkeys(names))
    return own, inherited


@contextmanager
def naming(operator: object) -> Iterator[None]:
    """Prefix the message of a `ConfigurationError` with the name of the operator's class.

    Raises:
        ConfigurationError: the error of the enclosed block, with the prefix.
    """
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{type(operator).__name__}: {error}") from None
