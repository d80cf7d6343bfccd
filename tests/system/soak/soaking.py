"""Execute many runs concurrently and inject their planned faults."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from testkit.processes import ProcessStack
from tests.system.soak.plan import BreakComponent, KillProcess, Plan
from tests.system.soak.work import Slot, Work

LOOK_SECONDS = 0.4
TICK_SECONDS = 0.02
STUCK_SECONDS = 300.0
"""When no run has ended for so long, none will: the running ones are lost."""
QUIET_SECONDS = 45.0
"""What a component that was started again is given before it is broken again."""
TELL_SECONDS = 20.0


@dataclass(frozen=True)
class ComponentFault:
    """How a component is ended.

    Attributes:
        component: its name in the stack.
        signal: SIGKILL or SIGTERM.
        with_children: whether SIGKILL ends what it has started too.
    """

    component: str
    signal: signal.Signals = signal.SIGKILL
    with_children: bool = False


class Orchestrator(ABC):
    """What an orchestrator must offer to be soaked.

    Args:
        stack: its processes.
        components: what the stack calls them.
        process_faults: whose processes can be killed, for a run.
        component_faults: which components can be broken, by what it is called.

    Attributes:
        at_once: how many runs may be running.
    """

    at_once: int

    def __init__(
        self,
        stack: ProcessStack,
        components: Iterable[str],
        process_faults: Sequence[str],
        component_faults: Mapping[str, ComponentFault],
    ) -> None:
        self.process_faults = process_faults
        self.component_faults = component_faults
        self._services = {name: stack.service(name) for name in components}
        self._down: dict[str, float] = {}
        self._quiet_until: dict[str, float] = {}

    @abstractmethod
    def begin(self, work: Work) -> str:
        """Ask for a run that does this work; returns the run's id."""

    @abstractmethod
    def look(self, works: Mapping[str, Work]) -> dict[str, str]:
        """Poll all running runs.

        Each process that works for a run is passed to its `Work`.

        Returns:
            The states of those that are over.
        """

    @abstractmethod
    def result(self, run_id: str) -> Any:
        """What the workflow returned, as it has arrived; None if nothing has."""

    @abstractmethod
    def log(self, run_id: str) -> str:
        """What the run's tries have logged."""

    @abstractmethod
    def kill(self, whose: str, pid: int) -> bool:
        """Kill a process that works for a run; False if it is gone already."""

    def inject(self, fault: BreakComponent) -> bool:
        """Break a component; False if it is down, or was just before."""
        injection = self.component_faults[fault.what]
        component = injection.component
        now = time.monotonic()
        if component in self._down or now < self._quiet_until.get(component, 0.0):
            return False
        if injection.signal == signal.SIGKILL:
            self._services[component].kill(with_children=injection.with_children)
        else:
            self._services[component].ask_to_end()
        self._down[component] = now + fault.down
        return True

    def repair(self) -> None:
        """Start again what has been down for long enough.

        Raises:
            ServiceError: a component has ended by itself.
        """
        for component, service in self._services.items():
            until = self._down.get(component)
            if until is None:
                service.check()
            elif not service.running and time.monotonic() >= until:
                service.start()
                del self._down[component]
                self._quiet_until[component] = time.monotonic() + QUIET_SECONDS

    def recover(self) -> None:
        """Wait until everything that is down has been started again."""
        while self._down:
            self.repair()
            time.sleep(LOOK_SECONDS)


@dataclass
class Soaked:
    """What came of a soak in one mode.

    Attributes:
        mode: the mode.
        seed: what its plans were drawn from.
        works: its runs.
        seconds: how long it took.
    """

    mode: str
    seed: int
    works: list[Work]
    seconds: float

    @property
    def injected(self) -> Counter[str]:
        """How many faults of each kind there were."""
        return sum((work.injected for work in self.works), Counter())

    @property
    def duplicates(self) -> int:
        """How many pieces of work were done more than once."""
        return sum(work.is_duplicate for work in self.works)

    @property
    def lost(self) -> int:
        """How many were not done, or their result has not arrived."""
        return sum(work.is_lost for work in self.works)

    @property
    def leaked(self) -> int:
        """How many still went on when they were over."""
        return sum(work.is_leaked for work in self.works)

    def summary(self) -> str:
        """All of this in a few lines."""
        injected = ", ".join(f"{kind} {number}" for kind, number in sorted(self.injected.items()))
        return (
            f"{self.mode}: {len(self.works)} runs, seed {self.seed}, {self.seconds:.0f} s: "
            f"duplicates {self.duplicates}, lost {self.lost}, leaked {self.leaked}\n"
            f"  {self.injected.total()} faults: {injected}"
        )


class Soak:
    """Does the planned works, as many at once as there are slots.

    Args:
        orchestrator: what does them.
        plans: what is to be done, and to go wrong.
        slots: the ways to the servers.
    """

    def __init__(
        self, orchestrator: Orchestrator, plans: Iterable[Plan], slots: Iterable[Slot]
    ) -> None:
        self._orchestrator = orchestrator
        self._plans = deque(plans)
        self._free = list(slots)
        self._running: dict[str, Work] = {}
        self.over: dict[str, Work] = {}
        """The works that are over, by the ids of their runs."""

    def run(self) -> None:
        """Do them all."""
        last_end = last_word = time.monotonic()
        while self._plans or self._running:
            self._begin_some()
            self._orchestrator.repair()
            if self._end_some():
                last_end = time.monotonic()
            self._break_some(LOOK_SECONDS)
            if time.monotonic() - last_end > STUCK_SECONDS:
                break
            if time.monotonic() - last_word > TELL_SECONDS:
                last_word = time.monotonic()
                print(f"  {len(self.over)} finished, {len(self._running)} running", flush=True)
        for run_id in list(self._running):
            self._end(run_id, "never ended", None)
        self._orchestrator.recover()
        for work in self.over.values():
            if work.is_well:
                work.look()  # nothing may have begun since

    def _begin_some(self) -> None:
        for slot in list(self._free):
            plan = next((one for one in self._plans if one.generation == slot.generation), None)
            if plan is not None:
                self._plans.remove(plan)
                self._free.remove(slot)
                work = Work(plan, slot)
                work.begin()
                self._running[self._orchestrator.begin(work)] = work

    def _end_some(self) -> bool:
        with contextlib.suppress(OSError):  # an API that has too much to do to respond in time
            states = self._orchestrator.look(self._running)
            for run_id, state in states.items():
                self._end(run_id, state, self._orchestrator.result(run_id))
            return bool(states)
        return False

    def _end(self, run_id: str, state: str, result: Any) -> None:
        work = self._running.pop(run_id)
        work.end(state, result)
        self.over[run_id] = work
        self._free.append(work.slot)
        if not work.is_well:
            print(work.story(), flush=True)
            print(self._orchestrator.log(run_id), flush=True)

    def _break_some(self, seconds: float) -> None:
        """Do for a while what comes due; nearly at its time, so that every moment is met."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for work in self._running.values():
                for fault, pid in work.pop_due():
                    self._break(work, fault, pid)
            time.sleep(TICK_SECONDS)

    def _break(self, work: Work, fault: KillProcess | BreakComponent, pid: int) -> None:
        if isinstance(fault, KillProcess):
            if self._orchestrator.kill(fault.whose, pid):
                work.injected[f"SIGKILL of {fault.whose}"] += 1
                work.note(f"{fault}: done to process {pid}")
        elif self._orchestrator.inject(fault):
            work.injected[fault.what] += 1
            for other in self._running.values():
                other.note(f"{fault.what}, to be started again in {fault.down:.1f} s")


def kill_process(pid: int) -> bool:
    """Kill a process at once; False if there is none."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
