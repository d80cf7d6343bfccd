"""Which piece of scheduled work a task instance is, and so which run of a workflow is its own."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from mastra_workflows.identity import derive_run_id

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

KEY_VARIABLES = tuple(f"AIRFLOW__CORE__FERNET_KEY{suffix}" for suffix in ("", "_CMD", "_SECRET"))


def task_run_id(context: Context, *, generation: int | None = None) -> str:
    """The id of the run that a task instance starts: the same at each try of the same work.

    It differs for another deployment, DAG, DAG run, task or map index, and after a clear.

    Args:
        context: the task's context.
        generation: how many tries there were before the clear that is meant; None for the last one.

    Returns:
        A readable, URL-safe text of at most 120 characters.
    """
    ti = context["ti"]
    mapped = ti.map_index is not None and ti.map_index >= 0
    label = [ti.dag_id, ti.task_id, *([str(ti.map_index)] if mapped else []), ti.run_id]
    return derive_run_id(
        *label,
        identity={
            "deployment": deployment(),
            "dag": ti.dag_id,
            "dag_run": ti.run_id,
            "task": ti.task_id,
            "map_index": ti.map_index if mapped else None,
            "clear_generation": clear_generation(ti) if generation is None else generation,
        },
    )


def clear_generation(ti: Any) -> int:
    """How many tries of a task instance came before its last clear.

    ``try_number`` grows at a retry and at a clear alike. ``max_tries`` grows at a clear only: to
    the tries there have been, and the retries that the task allows on top.
    """
    return int(ti.max_tries) - int(ti.task.retries or 0)


def deployment() -> str:
    """What tells this Airflow from another one that uses the same Mastra server.

    A task's worker cannot ask for that, so it is taken from what the configuration of all workers
    of a deployment has in common. The Fernet key is the best of it, being random. But a host that
    was given none makes its own in its airflow.cfg, and then a retry on another host would not
    find its run. So a key of a file counts only where no address of an API server is set, that is
    where everything is on one host. Of several keys the oldest counts, which the rotation of keys
    leaves where it is.

    Returns:
        The option ``[mastra] deployment``, or a digest.
    """
    named: str = conf.get("mastra", "deployment", fallback="")
    if named:
        return named
    address: str = conf.get("api", "base_url", fallback="") or conf.get(
        "core", "execution_api_server_url", fallback=""
    )
    key: str = conf.get("core", "fernet_key", fallback="")
    if address and not any(name in os.environ for name in KEY_VARIABLES):
        key = ""
    common = json.dumps([address, key.rpartition(",")[2]])
    return hashlib.sha256(common.encode()).hexdigest()
