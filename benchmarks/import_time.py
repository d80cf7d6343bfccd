"""Measure the import time that each example DAG adds to Airflow's: ``make bench-import``.

Each figure is in CPU seconds, the median of several fresh interpreters. Each interpreter first
imports what any DAG needs (`airflow.sdk` and the provider of the task decorator), then the file.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 5
PROGRAM = """
import runpy, sys, time
began = time.process_time()
import airflow.sdk
airflow.sdk.DAG, airflow.sdk.dag, airflow.sdk.task.python, airflow.sdk.BaseOperator
own = time.process_time() - began
began = time.process_time()
runpy.run_path(sys.argv[1])
print(own, time.process_time() - began)
"""


def measure(file: Path) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, file], capture_output=True, text=True, check=True, cwd=ROOT
    )
    own, added = done.stdout.split()[-2:]
    return float(own), float(added)


def main() -> None:
    print(f"{'example':<24}{'Airflow itself':>16}{'the file adds':>16}")
    for file in sorted((ROOT / "example_dags").glob("*.py")):
        rounds = [measure(file) for _ in range(ROUNDS)]
        own, added = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{file.name:<24}{own:>14.2f} s{added:>14.2f} s")


if __name__ == "__main__":
    main()
