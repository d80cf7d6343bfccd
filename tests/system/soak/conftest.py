"""Command-line options and fixtures of the soak tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from testkit.sample_server import Generation, SampleServer
from tests.support.fault_proxy import FaultProxy
from tests.system.soak.plan import GENERATIONS, draw
from tests.system.soak.report import write_row
from tests.system.soak.soaking import Orchestrator, Soak, Soaked
from tests.system.soak.work import Slot

RUNS = 200
SEED = 1
WAYS = 10
"""The maximum number of concurrent runs on each generation."""

Soaking = Callable[[Orchestrator, str], Soaked]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of `make soak ARGS="…"`."""
    group = parser.getgroup("soak")
    group.addoption("--runs", type=int, default=RUNS, help="runs in each mode")
    group.addoption("--seed", type=int, default=SEED, help="what the faults are drawn from")
    group.addoption(
        "--mode", action="append", help="only this mode, such as airflow-sync; may be repeated"
    )
    group.addoption("--run", type=int, help="only this run of those, by its number, from 0")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the slow soak tests unless ``-m soak`` selects them."""
    if "soak" in config.getoption("markexpr"):
        return
    soaks = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=soaks)
    items[:] = [item for item in items if item not in soaks]


@pytest.fixture
def mode(request: pytest.FixtureRequest) -> str:
    """The mode of this soak. Skip the test if ``--mode`` selects other modes."""
    mode: str = request.param
    asked = request.config.getoption("--mode")
    if asked and mode not in asked:
        pytest.skip("not selected by --mode")
    return mode


@pytest.fixture(scope="session")
def slots(servers: Callable[[Generation], SampleServer]) -> Iterator[list[Slot]]:
    """The slots: `WAYS` proxies in front of the server of each generation."""
    with ExitStack() as stack:
        yield [
            Slot(
                f"{generation}_{number}",
                servers(generation),
                stack.enter_context(FaultProxy(servers(generation).url)),
            )
            for number in range(WAYS)
            for generation in GENERATIONS
        ]


@pytest.fixture
def soak(request: pytest.FixtureRequest, slots: list[Slot]) -> Soaking:
    """Soak an orchestrator in one mode, and return the results."""
    option = request.config.getoption

    def soak(orchestrator: Orchestrator, mode: str) -> Soaked:
        seed: int = option("--seed")
        only: int | None = option("--run")
        plans = [
            draw(
                seed,
                mode,
                index,
                process_faults=orchestrator.process_faults,
                component_faults=list(orchestrator.component_faults),
            )
            for index in range(option("--runs"))
            if only in (None, index)
        ]
        began = time.monotonic()
        soak = Soak(orchestrator, plans, slots[: orchestrator.at_once])
        print(f"\n{mode}: {len(plans)} runs, seed {seed}", flush=True)
        soak.run()
        soaked = Soaked(mode, seed, list(soak.over.values()), time.monotonic() - began)
        print(soaked.summary(), flush=True)
        write_row(soaked)
        return soaked

    return soak
