"""Define the DAGs of the fault tests: one piece of work each, for every mode of waiting.

The DAG run's conf sets ``server`` (a connection id), ``key``, ``seconds`` and optionally
``workflow``. slowExport reacts to its abort signal; heldCharge ends when the file ``until`` exists.
With ``linger``, a task sends one more request between its end and its XCom, to a path that ends
with ``/end-of/`` and its id. A test can hold the task at that request.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import requests
from airflow.sdk import DAG, BaseHook, Context

from airflow_provider_mastra.hitl.gates import ask_each
from airflow_provider_mastra.operators.workflow import (
    MastraResumeWorkflowOperator,
    MastraRunWorkflowOperator,
)
from airflow_provider_mastra.sensors.workflow import MastraWorkflowRunSensor

CONF: dict[str, Any] = {
    "server": "",
    "key": "",
    "seconds": 2,
    "workflow": "countedCharge",
    "until": "",
    "linger": False,
}
MODES = {"sync": False, "deferrable": True}
LIMITS: dict[str, dict[str, Any]] = {
    "timeout": {"timeout": 5},
    "execution_timeout": {"execution_timeout": timedelta(seconds=5)},
}
APPROVAL: dict[str, Any] = {
    "workflow_id": "refundApproval",
    "input_data": {"order": "{{ params.key }}", "amount": 7, "reason": "broken"},
    "on_suspend": "wait",
}
ASKING: dict[str, Any] = {**APPROVAL, "on_suspend": "ask", "response_poll_interval": 600}
PATIENT = timedelta(minutes=1)
"""The `retry_delay` that docs/reliability.md recommends."""

REVISION: dict[str, Any] = {
    "workflow_id": "reviseLoop",
    "input_data": {"topic": "{{ params.key }}"},
}

AT_ONCE: dict[str, dict[str, Any]] = {
    "branches": {
        "workflow_id": "parallelReview",
        "input_data": {"document": "{{ params.key }}"},
    },
    "items": {
        "workflow_id": "photoReviewAtOnce",
        "input_data": {"photos": ["a", "b", "c", "d"]},
    },
}


def new_dag(name: str, **options: Any) -> DAG:
    dag = DAG(
        f"faults_{name}",
        schedule=None,
        params=CONF,
        render_template_as_native_obj=True,
        max_active_runs=64,
        **options,
    )
    globals()[dag.dag_id] = dag
    return dag


def linger(context: Context, result: Any) -> None:
    conf: Any = context["params"]
    if conf["linger"]:
        host = BaseHook.get_connection(conf["server"]).host
        requests.get(f"{host}/end-of/{context['ti'].task_id}", timeout=60)


def charge(
    task_id: str,
    operator: type[MastraRunWorkflowOperator] = MastraRunWorkflowOperator,
    **options: Any,
) -> MastraRunWorkflowOperator:
    arguments: dict[str, Any] = {
        "workflow_id": "{{ params.workflow }}",
        "mastra_conn_id": "{{ params.server }}",
        "input_data": {
            "key": "{{ params.key }}",
            "amount": 7,
            "seconds": "{{ params.seconds }}",
            "until": "{{ params.until }}",
        },
        "max_poll_interval": 1,
        "retries": 2,
        "retry_delay": timedelta(0),
        "post_execute": linger,
        **options,
    }
    return operator(task_id=task_id, **arguments)


class ChargeThatAirflowTimesOut(MastraRunWorkflowOperator):
    """Defers with a timeout of Airflow's own, as a subclass or a later Airflow may."""

    def defer(self, **arguments: Any) -> Any:
        return super().defer(**{**arguments, "timeout": timedelta(seconds=5)})


for mode, deferrable in MODES.items():
    with new_dag(mode):
        charge("charge", deferrable=deferrable, stall_timeout=4, on_stall="restart")

    with new_dag(f"approval_{mode}"):
        charge("charge", deferrable=deferrable, **APPROVAL)

    with new_dag(f"patient_{mode}"):
        charge("charge", deferrable=deferrable, retry_delay=PATIENT, **APPROVAL)

    for limit, options in LIMITS.items():
        with new_dag(f"{limit}_{mode}"):
            charge("charge", deferrable=deferrable, retries=0, **options)

    # Long enough for the triggerer to take the trigger up; nobody cancels for it before.
    with new_dag(f"dagrun_timeout_{mode}", dagrun_timeout=timedelta(seconds=15)):
        charge("charge", deferrable=deferrable, retries=0)

    # A person responds, long before the next look.
    with new_dag(f"asking_{mode}"):
        charge("charge", deferrable=deferrable, **ASKING)

# Airflow may park a task whose form gets a response in that moment; its next look finds it.
with new_dag("asking_hurried_sync"):
    charge("charge", **{**ASKING, "response_poll_interval": 20})

# Somebody responds elsewhere, and nobody at all.
with new_dag("asking_looking_sync"):
    charge("charge", **{**ASKING, "response_poll_interval": 5})

with new_dag("asking_default_sync"):
    charge(
        "charge",
        **ASKING,
        response_timeout=5,
        on_response_timeout="respond",
        default_response={"approved": True, "note": "by a person"},
    )

with new_dag("asking_resume"):
    start = charge("start", **REVISION, on_suspend="return")
    revise = MastraResumeWorkflowOperator(
        task_id="charge",
        workflow_id="reviseLoop",
        run_id="{{ ti.xcom_pull(task_ids='start', key='run_id') }}",
        mastra_conn_id="{{ params.server }}",
        resume_data={"verdict": "revise", "remarks": "By code."},
        on_suspend="ask",
        response_poll_interval=600,
    )
    start >> revise

for what, options in AT_ONCE.items():
    with new_dag(f"asking_{what}"):
        start = charge("charge", **options, on_suspend="return")
        ask_each(start, response_poll_interval=600, retries=2, retry_delay=timedelta(0))

with new_dag("deferral_timeout_deferrable"):
    charge("charge", ChargeThatAirflowTimesOut, deferrable=True, retries=0)

with new_dag("unguarded_sync"):
    charge("charge", run_id="run-{{ macros.uuid.uuid4() }}")

for name, workflow, options, retry_delay in [
    ("sensor", "{{ params.workflow }}", {}, timedelta(0)),
    ("approval_sensor", "refundApproval", APPROVAL, timedelta(0)),
    ("patient_sensor", "refundApproval", APPROVAL, PATIENT),
]:
    with new_dag(name):
        start = charge("start", wait_for_completion=False, **options)
        wait = MastraWorkflowRunSensor(
            task_id="charge",
            workflow_id=workflow,
            run_id="{{ ti.xcom_pull(task_ids='start', key='run_id') }}",
            mastra_conn_id="{{ params.server }}",
            on_suspend="wait",
            poke_interval=1,
            retries=2,
            retry_delay=retry_delay,
            post_execute=linger,
        )
        start >> wait
