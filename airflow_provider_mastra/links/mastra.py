"""The extra link from a task to its run in Mastra Studio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey


class MastraRunLink(BaseOperatorLink):
    """Open a task's run in Mastra Studio.

    The operator pushes the URL as the XCom `xcom_key`, where Airflow's pages look it up. The link
    therefore works while the run is still running.
    """

    name = "Mastra Studio"
    xcom_key = "mastra_run_url"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the run's URL; empty if the connection has no ``studio_url``."""
        # Airflow calls this when the task's process ends, and stores the returned value.
        if (link := getattr(operator, "link", None)) is not None:
            return str(link)
        return XCom.get_value(key=self.xcom_key, ti_key=ti_key) or ""
