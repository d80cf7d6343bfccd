"""The run that belongs to a task instance, across retries, clears and deploys."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_mastra.utils._attempts import Attempt, classify
from airflow_provider_mastra.utils._deployment import deployment
from airflow_provider_mastra.utils._stored_values import StoredValue
from mastra_workflows.integration import derive_run_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mastra.utils._attempts import Kind
    from mastra_workflows import JSON

log = logging.getLogger(__name__)

KEY = "mastra_run"
"""The key of the identity in the task state (Airflow 3.3 and later)."""

DAMAGED = (
    "it is unknown which run is this task's. Nothing was sent. Delete the key from the task's "
    "state to start a new run."
)

MOST_EARLIER = 20


@dataclass(frozen=True, slots=True)
class Identity:
    """The run of a task instance, and how it was chosen.

    Attributes:
        run_id: the run's id; a new run with the next id (``<run_id>-2``) may replace it.
        given: the id that the DAG's author set; None if it is generated.
        kind: whether the attempt is the first one, a retry, or the first one after a clear.
        generation: changes with each clear and only then.
        earlier: the ids from before each clear, the oldest first.
        is_attached: whether an attempt has recorded that the run belongs to the task.
    """

    run_id: str
    given: str | None = None
    kind: Kind = "first"
    generation: int = 1
    earlier: tuple[str, ...] = ()
    is_attached: bool = False


@dataclass(frozen=True, slots=True)
class _Record:
    """The value in the task state."""

    identity: Identity
    attempt: Attempt
    has_ended: bool = False

    def to_json(self) -> dict[str, JSON]:
        identity, attempt = self.identity, self.attempt
        return {
            "run_id": identity.run_id,
            "given": identity.given,
            "generation": identity.generation,
            "earlier": list(identity.earlier),
            "is_attached": identity.is_attached,
            "try_number": attempt.try_number,
            "max_tries": attempt.max_tries,
            "clear_number": attempt.clear_number,
            "ti_id": attempt.ti_id,
            "has_ended": self.has_ended,
        }

    @classmethod
    def from_json(cls, data: Any) -> Self:
        stored = StoredValue(KEY, data, DAMAGED)
        attempt = Attempt(
            stored.integer("try_number"),
            stored.integer("max_tries"),
            stored.integer("clear_number"),
            stored.text("ti_id"),
        )
        identity = Identity(
            run_id=stored.text("run_id"),
            given=stored.text_or_none("given"),
            kind="retry",
            generation=stored.integer("generation"),
            earlier=stored.texts("earlier"),
            is_attached=stored.flag("is_attached"),
        )
        return cls(identity, attempt, has_ended=stored.flag("has_ended"))


def identify(context: Context, given: str | None, *, owns_run: bool = True) -> Identity:
    """Choose an attempt's run and store it; called once per attempt, before any request.

    On Airflow 3.3 and later, the task state stores a random id. It survives retries and clears, and
    is deleted with the DAG run. Before 3.3, the id is derived from Airflow's database and the
    deployment's id.

    Args:
        context: the task's context.
        given: the run's id if the DAG's author set one.
        owns_run: whether the task starts the run. Otherwise the given id is used unchanged.

    Raises:
        ConfigurationError: the deployment has no identity, or the task state is damaged.
        AirflowRuntimeError: Airflow could not read or write the task state.
    """
    now = Attempt.of(context)
    store: Any = context.get("task_state_store")
    if store is None:
        return _derived(context, now, given, owns_run=owns_run)
    record = _load(store)
    before = None if record is None else record.attempt
    kind = classify(before, now, has_ended=record is not None and record.has_ended)
    if record is None:
        identity = Identity(_first_id(context, now, given, owns_run=owns_run), given)
    elif not owns_run:
        identity = replace(record.identity, run_id=given or "", given=given, kind=kind)
    elif kind == "retry":
        identity = _retried(record.identity, given)
    else:
        identity = _cleared(context, record.identity, now, given)
    if kind != "retry":
        identity = replace(identity, generation=now.try_number, is_attached=False)
    _save(store, _Record(identity, now))
    return identity


def current(context: Context) -> Identity | None:
    """Return the identity that `identify` stored; None if there is none."""
    store: Any = context.get("task_state_store")
    record = None if store is None else _load(store)
    return None if record is None else record.identity


def generation(context: Context) -> int:
    """Return a number that only a clear changes: no retry, and no edit of the DAG file."""
    found = current(context)
    return int(context["ti"].max_tries) if found is None else found.generation


def adopt(context: Context, identity: Identity, run_id: str) -> Identity:
    """Make a run from before a clear the task's run again.

    Args:
        context: the task's context.
        identity: the result of `identify`.
        run_id: one of its ``earlier``.
    """
    earlier = tuple(one for one in identity.earlier if one != run_id)
    adopted = replace(identity, run_id=run_id, earlier=earlier, kind="retry", is_attached=True)
    _update(context, identity=adopted)
    return adopted


def mark_attached(context: Context, identity: Identity) -> None:
    """Record that the run with a given id belongs to the task, even if later input differs."""
    if identity.given is not None and not identity.is_attached:
        _update(context, identity=replace(identity, is_attached=True))


def mark_finished(context: Context) -> None:
    """Record that the attempt's outcome is final: a following attempt was cleared, not retried."""
    try:
        _update(context, has_ended=True)
    except Exception as error:  # the task's outcome must not depend on it
        log.warning("Could not record the end of this attempt in the task's state: %s", error)


def _load(store: Any) -> _Record | None:
    data = store.get(KEY)
    return None if data is None else _Record.from_json(data)


def _save(store: Any, record: _Record) -> None:
    from airflow.sdk.execution_time.context import NEVER_EXPIRE  # Airflow 3.3 and later

    store.set(KEY, record.to_json(), retention=NEVER_EXPIRE)


def _update(context: Context, **changes: Any) -> None:
    store: Any = context.get("task_state_store")
    if store is not None and (record := _load(store)) is not None:
        _save(store, replace(record, **changes))


def _first_id(context: Context, now: Attempt, given: str | None, *, owns_run: bool) -> str:
    if given is None:
        return _random_id(context)
    if owns_run and now.try_number > 1 and _is_state_cleared_on_success():
        return _id_after_clear(given, now)
    return given


def _is_state_cleared_on_success() -> bool:
    """Whether Airflow deletes the task state on success: then only a clear can follow a success."""
    from airflow.providers.common.compat.sdk import conf

    return bool(conf.getboolean("state_store", "clear_on_success", fallback=False))


def _retried(before: Identity, given: str | None) -> Identity:
    if given in (None, before.given) or before.given is None:  # or the DAG file was edited
        return before
    log.warning(
        "The run id of this attempt is %r, that of the previous attempt was %r. A run id that "
        "changes between retries executes the work again.",
        given,
        before.given,
    )
    return replace(before, run_id=given, given=given, is_attached=False)


def _cleared(context: Context, before: Identity, now: Attempt, given: str | None) -> Identity:
    earlier = (*before.earlier, before.run_id)[-MOST_EARLIER:]
    if given is None:
        run_id = _random_id(context)
    elif given in (before.given, *earlier):
        run_id = _id_after_clear(given, now)
    else:
        run_id = given
    return Identity(run_id, given, kind="cleared", earlier=earlier)


def _random_id(context: Context) -> str:
    return derive_run_id(*_label(context), identity={"nonce": secrets.token_hex(16)})


def _id_after_clear(given: str, now: Attempt) -> str:
    return f"{given}-try-{now.try_number}"


def _label(context: Context) -> list[str]:
    ti = context["ti"]
    index = _map_index(ti)
    return [ti.dag_id, ti.task_id, *([] if index is None else [str(index)]), ti.run_id]


def _map_index(ti: Any) -> int | None:
    return ti.map_index if ti.map_index is not None and ti.map_index >= 0 else None


def _derived(context: Context, now: Attempt, given: str | None, *, owns_run: bool) -> Identity:
    """Derive the identity, before Airflow 3.3, from the stored `max_tries`.

    Only a clear changes the stored value.
    """
    earlier: tuple[str, ...] = ()
    kind: Kind = "first" if now.try_number == 1 else "retry"
    if given is not None:
        retries = int(context["ti"].task.retries or 0)
        is_cleared = now.try_number > 1 and now.clear_number > 0 and now.max_tries != retries
        # The initial `max_tries` is not stored, so this compares with the current `retries`, but
        # only in a DAG run with clears.
        run_id = f"{given}-tries-{now.max_tries}" if owns_run and is_cleared else given
        if run_id != given:
            earlier = (given,)
        return Identity(run_id, given, kind, now.max_tries, earlier)
    named = deployment()
    if now.try_number > 1 and now.clear_number > 0:
        most = max(now.max_tries, now.try_number)
        others = (number for number in range(most + 1) if number != now.max_tries)
        earlier = tuple(_derived_id(context, named, number) for number in others)[-MOST_EARLIER:]
    run_id = _derived_id(context, named, now.max_tries)
    return Identity(run_id, None, kind, now.max_tries, earlier)


def _derived_id(context: Context, deployment_name: str, max_tries: int) -> str:
    ti = context["ti"]
    run_after = getattr(context.get("dag_run"), "run_after", None)
    identity: Mapping[str, JSON] = {
        "deployment": deployment_name,
        "dag": ti.dag_id,
        "dag_run": ti.run_id,
        # Distinguishes a DAG run from a deleted one with the same id.
        "run_after": run_after and run_after.isoformat(),
        "task": ti.task_id,
        "map_index": _map_index(ti),
        "max_tries": max_tries,
    }
    return derive_run_id(*_label(context), identity=identity)
