"""The identity of an Airflow deployment, for versions of Airflow without task state."""

from __future__ import annotations

import time
import uuid

from airflow.providers.common.compat.sdk import conf

from mastra_workflows.errors import ConfigurationError

VARIABLE = "mastra_deployment_id"
"""The Airflow Variable that holds the id."""

SETTLE_SECONDS = 1.0
"""How long a task waits after writing the id, so that concurrent tasks all read the last one
written."""


def deployment() -> str:
    """Return the option ``[mastra] deployment``, or an id stored in Airflow's metadata database.

    The first task that needs the id creates it. You can also set it with the environment variable
    ``AIRFLOW_VAR_MASTRA_DEPLOYMENT_ID``, with the same value on every worker.

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
    except Exception as error:  # Airflow's errors for a refused request or an outage
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
