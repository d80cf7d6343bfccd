"""Implement the hand-written contenders: a thread per run that starts and polls it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import requests

from benchmarks.contenders.meter import Meter
from benchmarks.work import Job, Outcome, Work, last_end_ms

INTERVALS = {f"requests loop, {seconds} s": seconds for seconds in (1, 5, 30)}
ACTIVE = ("pending", "running", "waiting")


def race(job: Job) -> Outcome:
    """Run one round."""
    interval = INTERVALS[job.contender]
    gate = threading.Semaphore(job.starts_at_once)
    meter = Meter(job)
    lock = threading.Lock()
    to_start = len(job.works)

    def one(work: Work) -> None:
        nonlocal to_start
        workflow = f"{job.url}/api/workflows/{work.workflow}"
        with requests.Session() as session:

            def ask(method: str, where: str, body: object = None) -> requests.Response:
                with lock:
                    meter.requests += 1
                response = session.request(method, f"{workflow}/{where}", json=body, timeout=60)
                response.raise_for_status()
                return response

            with gate:
                ask("POST", f"create-run?runId={work.run_id}", {})
                ask("POST", f"start?runId={work.run_id}", {"inputData": work.input})
            with lock:
                to_start -= 1
                if to_start == 0:
                    meter.all_started()
            waited_from = time.time()
            while True:
                time.sleep(interval)
                record = ask("GET", f"runs/{work.run_id}").json()
                if record["status"] not in ACTIVE:
                    break
            with lock:
                meter.known(waited_from, last_end_ms(record))

    with ThreadPoolExecutor(len(job.works)) as threads:
        for _ in threads.map(one, job.works):
            pass
    return meter.outcome()
