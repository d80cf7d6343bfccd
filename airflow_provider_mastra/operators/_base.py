"""The base class of all operators and the sensor."""

from __future__ import annotations

import json
import time
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_mastra.hooks.mastra import MastraHook
from airflow_provider_mastra.links.mastra import MastraRunLink
from airflow_provider_mastra.utils._arguments import naming, reject_unknown
from airflow_provider_mastra.utils._outages import RECONNECT_SECONDS, Outage
from airflow_provider_mastra.utils.xcoms import escape_keys
from mastra_workflows.errors import ConfigurationError, MastraError, ServerLostError
from mastra_workflows.integration import require_flags, safe_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_mastra.triggers.workflow import WaitEvent
    from mastra_workflows import JSON, Run, WorkflowRun
    from mastra_workflows.integration import WaitArguments

STALLED = (
    "{}, but has made no progress for long, and the server does not execute it. Most likely the "
    "server lost the run by restarting. A lost run stays in this state: set on_stall='restart' to "
    "continue it (Mastra 0.24.8 and later), or start a new run."
)
"""Formatted with the run's record."""


class MastraBaseOperator(BaseOperator):
    """The base class of the operators and the sensor: ids, hook, extra link and XComs of a run.

    Args:
        workflow_id: the workflow's registry key, such as ``orderReport``. (templated)
        run_id: the id of the run. (templated)
        mastra_conn_id: the id of the Airflow connection to the server. (templated)
        check_data: whether to validate input and resume data against the workflow's JSON Schemas
            before sending them. A missing field is an error. Values that ``z.coerce`` or
            ``z.preprocess`` may convert are sent with a warning.

    The return value is the workflow's result. Separate XComs hold the metadata: ``run_id``,
    ``status`` and the link and, if present, ``error`` and ``suspensions``. With
    ``do_xcom_push=False`` the task pushes none of them.
    """

    template_fields: Sequence[str] = ("workflow_id", "run_id", "mastra_conn_id")
    operator_extra_links = (MastraRunLink(),)
    ui_color = "#e8e4f5"

    def __init__(
        self,
        *,
        workflow_id: str,
        run_id: str | None,
        mastra_conn_id: str = MastraHook.default_conn_name,
        check_data: bool = True,
        **kwargs: Any,
    ) -> None:
        reject_unknown(type(self), kwargs)
        with naming(self):
            require_flags(check_data=check_data)
        super().__init__(**kwargs)
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.mastra_conn_id = mastra_conn_id
        self.check_data = check_data
        self.link: str | None = None

    @cached_property
    def hook(self) -> MastraHook:
        """The hook for the connection to the server."""
        return MastraHook(self.mastra_conn_id, check_data=self.check_data)

    def handle(self, context: Context) -> Run:
        """Return the run's handle, after logging and pushing the run's id and link.

        This sends no request about the run.

        Raises:
            ConfigurationError: an id is missing, a templated option is out of range, or the
                connection is invalid.
        """
        self.check_rendered()
        workflow_id = _given("workflow_id", self.workflow_id)
        run_id = self.choose_run_id(context)
        run = self.hook.get_conn().get_workflow(workflow_id).get_run(run_id)
        self.announce_run(run, context)
        return run

    def prepare_template(self) -> None:
        """Load each structured field that is the path of a JSON file, before Airflow renders it.

        The path is relative to the DAG file or to the DAG's ``template_searchpath``. Airflow's
        ``template_ext`` is not used, because it would also treat file names inside the data as
        templates.

        Raises:
            ConfigurationError: the file is not JSON.
            TemplateNotFound: the file does not exist.
        """
        for name, renderer in self.template_fields_renderers.items():
            path = getattr(self, name, None)
            if renderer != "json" or not isinstance(path, str) or "{{" in path:
                continue
            if path.endswith(".json"):
                environment: Any = self.get_template_env()
                source, _, _ = environment.loader.get_source(environment, path)
                try:
                    setattr(self, name, json.loads(source))
                except ValueError as error:
                    raise ConfigurationError(f"{name}: {path} is not JSON: {error}.") from None

    def check_rendered(self) -> None:
        """Validate the options that templates may have changed, before any request.

        Raises:
            ConfigurationError: an option is out of range.
        """

    def current_handle(self, run: Run) -> Run:
        """Return a handle for the run that uses the latest version of the connection."""
        return self.hook.get_conn().get_workflow(run.workflow_id).get_run(run.run_id)

    def follow(self, run: Run, arguments: WaitArguments) -> WorkflowRun:
        """Wait for a run, and reload the connection during an outage.

        Args:
            run: the run's handle; afterwards, `current_handle` returns one with a current
                connection.
            arguments: the arguments of `Run.wait`, including ``outage_timeout``.

        Raises:
            ServerLostError: the server was unreachable for longer than ``outage_timeout``.
            MastraError: see `Run.wait`.
        """
        outage = Outage(arguments["outage_timeout"])
        timeout, on_record = arguments.get("timeout"), arguments.get("on_record")
        deadline = inf if timeout is None else time.monotonic() + timeout
        is_known = arguments.get("is_known", False)

        def look(record: WorkflowRun) -> None:
            nonlocal is_known
            is_known = True
            outage.end()
            if on_record is not None:
                on_record(record)

        while True:
            part: WaitArguments = {
                **arguments,
                "timeout": None if timeout is None else max(0.0, deadline - time.monotonic()),
                "outage_timeout": outage.next_timeout,
                "is_known": is_known,
                "on_record": look,
            }
            try:
                return run.wait(**part)
            except MastraError as error:
                if not is_known and not isinstance(error, ServerLostError):
                    raise  # such as an invalid token or an unknown workflow
                pause = outage.pause_after(error)
                if pause is None or time.monotonic() + pause >= deadline:
                    if isinstance(error, ServerLostError) and outage.seconds > RECONNECT_SECONDS:
                        whole = f"{error} The whole outage lasted {outage.seconds:.0f} s."
                        raise ServerLostError(whole) from error
                    raise
                self.log.warning("%s Reloading the connection %r.", error, self.mastra_conn_id)
            time.sleep(pause)
            self.reload_connection()
            run = self.current_handle(run)

    def reload_connection(self) -> None:
        """Reload the connection for the next client; log a failure instead of raising it."""
        try:
            if self.hook.reload():
                self.log.info(
                    "The connection %r has changed; using its new values.", self.mastra_conn_id
                )
        except Exception as error:  # Airflow may be unreachable, or the new connection invalid
            self.log.warning(
                "The connection %r was not reloaded: %s", self.mastra_conn_id, safe_text(error)
            )

    def announce_run(self, run: Run, context: Context) -> None:
        """Log the run, and push its id and link."""
        url = self.url(run)
        self.link = url or ""
        where = f": {url}" if url else ""
        self.log.info("Run %r of workflow %r%s", run.run_id, run.workflow_id, where)
        self.push(context, "run_id", run.run_id)
        # Airflow stores the link only when the task's process ends.
        self.push(context, MastraRunLink.xcom_key, self.link)

    def push(self, context: Context, key: str, value: JSON) -> None:
        """Push an XCom, unless ``do_xcom_push`` is off."""
        if self.do_xcom_push:
            context["ti"].xcom_push(key=key, value=value)

    def resume_from_trigger(self, event: WaitEvent) -> tuple[Run, WorkflowRun | None]:
        """Take over the wait from the triggerer, and log why the trigger fired.

        Returns:
            The run's handle, and the run's record if its server no longer executes it, else None.
        """
        why = event["error"] or event["reason"]
        self.log.info("The trigger has fired (%s).", why)
        run = self.hook.get_conn().get_workflow(event["workflow_id"]).get_run(event["run_id"])
        self.link = self.url(run) or ""
        record = run.read() if event["reason"] == "stalled" else None
        return run, record if record is not None and record.is_active else None

    def push_metadata(self, record: WorkflowRun, context: Context) -> None:
        """Push the run's status and, if present, its error and suspensions."""
        self.push(context, "status", record.status)
        if record.error is not None:
            self.push(context, "error", escape_keys(record.error.to_dict()))
        if record.suspensions:
            suspensions = [suspension.to_dict() for suspension in record.suspensions]
            self.push(context, "suspensions", escape_keys(suspensions))
        self._describe_outlets(record, context)

    def _describe_outlets(self, record: WorkflowRun, context: Context) -> None:
        """Add the run to the asset event of each outlet; keep the author's own extra."""
        if not self.outlets:
            return
        from airflow.sdk import Asset  # not needed to parse most DAG files

        run = {"mastra_run_id": record.run_id, "mastra_run_url": self.link or ""}
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                event: Any = context["outlet_events"][outlet]
                event.extra = {**run, **event.extra}

    def result(self, record: WorkflowRun, context: Context) -> JSON:
        """Push the run's metadata, and return the workflow's result for Airflow to store.

        Returns:
            The result, with Airflow's reserved keys escaped; None unless the run succeeded.
        """
        self.push_metadata(record, context)
        result: JSON = escape_keys(record.result)
        return result

    def choose_run_id(self, context: Context) -> str:
        """Return the id of the task's run."""
        return _given("run_id", self.run_id)

    def url(self, run: Run) -> str | None:
        """Return the URL of the run in Mastra Studio; None without a ``studio_url``."""
        return self.hook.run_url(run.workflow_id, run.run_id)


def _given(name: str, value: object) -> str:
    # A template renders a missing upstream result as "None".
    if not isinstance(value, str) or value in ("", "None"):
        raise ConfigurationError(f"{name}: expected a string, got {value!r}. Nothing was sent.")
    return value
