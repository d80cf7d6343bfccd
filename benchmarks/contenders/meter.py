"""Measure the time, CPU, memory and requests of one contender's round."""

from __future__ import annotations

import time

from benchmarks import machine
from benchmarks.work import Job, Outcome


class Meter:
    """The measurements of a round. Create it after the warm-up.

    The contender reports the end of starting, each run's end and each request.
    """

    def __init__(self, job: Job) -> None:
        self._pid = job.server_pid
        self.requests = 0
        self._memory = self._most_memory = machine.memory()
        self._late_ms: list[float] = []
        self._run_seconds = 0.0
        self._began = self._all_started = self._now()

    def all_started(self) -> None:
        self._all_started = self._now()

    def look_at_memory(self) -> None:
        if not self._late_ms:
            self._most_memory = max(self._most_memory, machine.memory())

    def known(self, waited_from: float, ended_ms: float) -> None:
        """Report that a run's record was received now."""
        now = time.time()
        self._late_ms.append(now * 1000 - ended_ms)
        self._run_seconds += now - waited_from

    def outcome(self) -> Outcome:
        began, started, done = self._began, self._all_started, self._now()
        elsewhere = [mark[4] - mark[2] - mark[3] for mark in (began, done)]
        return Outcome(
            late_ms=self._late_ms,
            start_seconds=started[0] - began[0],
            run_seconds=self._run_seconds,
            start_requests=int(started[1] - began[1]),
            wait_requests=int(done[1] - started[1]),
            client_cpu=done[2] - started[2],
            server_cpu=done[3] - started[3],
            start_client_cpu=started[2] - began[2],
            start_server_cpu=started[3] - began[3],
            elsewhere_cpu=elsewhere[1] - elsewhere[0],
            seconds=done[0] - began[0],
            bytes_waiting=self._most_memory - self._memory,
        )

    def _now(self) -> tuple[float, float, float, float, float]:
        return (
            time.monotonic(),
            self.requests,
            machine.own_cpu(),
            machine.cpu_of(self._pid),
            machine.busy_cpu(),
        )
