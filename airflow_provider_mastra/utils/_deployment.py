"""What tells this Airflow deployment from others, where Airflow has no store for a task's state."""

from __future__ import annotations

import time
import uuid

from airflow.providers.common.compat.sdk import conf

from mastra_workflows.errors import ConfigurationError

VARIABLE = "mastra_deployment_id"
"""The Airflow Variable that holds the id."""

SETTLE_SECONDS = 1.0
"""How long a task waits after it wrote the id, so that of several at once all read the last one."""


def deployment() -> str:
    """The option ``[mastra] deployment``, or an id that is kept in Airflow's metadata database.

    The id is created by the first task that asks for it. It can also be given as the environment
    variable ``AIRFLOW_VAR_MASTRA_DEPLOYMENT_ID``, the same on every worker.

    Raises:
        ConfigurationError: neither is set, and the Variable cannot be written or read back.
    """
    named: str = conf.get("mastra", "deployment", fallback="")
    if named:
        return named
    return _read() or _create()


def _create() -> str:
    from airflow.sdk import Variable

    try:
        Variable.set(
            VARIABLE,
            uuid.uuid4().hex,
            description="Separates the Mastra runs of this Airflow deployment from those of others "
            "on the same Mastra server. Changing it makes retries start new runs.",
        )
    except Exception as error:  # whatever Airflow raises when it refuses or cannot be reached
        raise _refused(f"it could not be written ({error})") from error
    time.sleep(SETTLE_SECONDS)
    if (found := _read()) is None:
        raise _refused("it is missing after it was written")
    return found


def _read() -> str | None:
    from airflow.sdk import Variable

    found = Variable.get(VARIABLE, default=None)
    return str(found) if found else None


def _refused(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"This Airflow deployment has no identity: the Variable {VARIABLE!r} is not set, and {why}."
        " Nothing was sent. Set the option [mastra] deployment to a name that is unique among the "
        "deployments that use the Mastra server, or create the Variable with a random value."
    )
