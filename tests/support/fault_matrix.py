"""Collect the results of an orchestrator's fault tests for docs/data/fault-matrix.csv."""

from __future__ import annotations

from importlib.metadata import version
from typing import Literal

from testkit.measurements import FaultRow, record

DISTRIBUTIONS = {"airflow": "apache-airflow", "prefect": "prefect"}


class FaultMatrix:
    """The rows of one suite, which may also run in part.

    A result replaces the earlier row of the same fault, mode and Mastra generation. Other rows
    stay, so the row of a removed or renamed fault must be deleted by hand.

    Args:
        orchestrator: the orchestrator of the suite.
    """

    def __init__(self, orchestrator: Literal["airflow", "prefect"]) -> None:
        self._orchestrator = orchestrator
        self._rows: list[FaultRow] = []

    def add(self, fault: str, mode: str, mastra: str, executions: str, outcome: str) -> None:
        """Add the result of a test; the parameters are fields of `FaultRow`."""
        release = version(DISTRIBUTIONS[self._orchestrator])
        row = FaultRow(self._orchestrator, fault, mode, mastra, executions, outcome, release)
        self._rows.append(row)

    def write(self) -> None:
        """Write the rows, if the variable of `record` is set."""
        if self._rows:
            record(FaultRow, self._rows)
