"""Record responses of real servers, for tests without a server.

``python -m tests.core.record_responses`` rewrites ``responses/<generation>/<name>.json``. Run it
after changing the sample workflows or the Mastra versions, and review the diff.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from testkit.sample_server import ROOT, Generation, SampleServer

FOLDER = Path(__file__).parent / "responses"
REFUND = {"order": "A-17", "amount": 2500, "reason": "broken"}
APPROVED = {"approved": True}
KEPT_HEADERS = ("content-type", "retry-after")


class Recorder:
    """Sends plain requests to one server and keeps the responses, each under a name."""

    def __init__(self, server: SampleServer, token: str | None = None) -> None:
        self._api = f"{server.url}/api"
        self._folder = FOLDER / f"v{server.generation}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._session = requests.Session()
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, *, save: str = "", **query: Any) -> None:
        """Send a GET."""
        self.keep(save, self._session.get(self._api + path, params=query, timeout=60))

    def post(self, path: str, body: Any, *, save: str = "", **query: Any) -> None:
        """Send a POST."""
        response = self._session.post(self._api + path, params=query, json=body, timeout=60)
        self.keep(save, response)

    def begin(self, path: str, body: Any, **query: Any) -> None:
        """Start something by a stream and leave it at its second record, the first step's."""
        url = self._api + path
        with self._session.post(url, params=query, json=body, stream=True, timeout=60) as response:
            records = 0
            for chunk in response.iter_content(None):
                records += chunk.count(b"\x1e")
                if records > 1:
                    return

    def first_records(self, path: str, count: int, *, save: str, get: bool, **query: Any) -> None:
        """Keep the first records of a stream that continues."""
        method = "GET" if get else "POST"
        body: dict[str, Any] | None = None if get else {}
        text = ""
        with self._session.request(
            method, self._api + path, params=query, json=body, stream=True, timeout=60
        ) as response:
            for chunk in response.iter_content(None):
                text += chunk.decode()
                if text.count("\x1e") >= count:
                    break
            self.write(save, response, text)

    def keep(self, name: str, response: requests.Response) -> None:
        if name:
            response.encoding = "utf-8"
            self.write(name, response, response.text)

    def write(self, name: str, response: requests.Response, text: str) -> None:
        text = _without_folders(text)
        headers = {key: response.headers[key] for key in KEPT_HEADERS if key in response.headers}
        record: dict[str, Any] = {"status": response.status_code, "headers": headers}
        try:
            record["body"] = json.loads(text)
        except ValueError:
            record["text"] = text
        path = self._folder / f"{name}.json"
        path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _without_folders(text: str) -> str:
    """Stack traces name the files of the machine that they come from."""
    text = text.replace(str(ROOT), "/srv/mastra")
    return re.sub(r"(\\+n    at )[^\"]*", r"\1somewhere (file:///srv/mastra/index.mjs:1:1)", text)


def _run_path(workflow: str, run_id: str, generation: Generation) -> str:
    tail = "/execution-result" if generation == "0" else ""
    return f"/workflows/{workflow}/runs/{quote(run_id, safe='')}{tail}"


def record(server: SampleServer) -> None:
    """All responses of a server without authentication."""
    api, generation = Recorder(server), server.generation

    def run(workflow: str, run_id: str, save: str) -> None:
        api.get(_run_path(workflow, run_id, generation), save=save)

    def finish(workflow: str, run_id: str, data: Any, save: str = "") -> None:
        api.post(f"/workflows/{workflow}/start-async", {"inputData": data}, runId=run_id)
        run(workflow, run_id, save or run_id)

    api.get("/system/packages", save="packages")
    for workflow in ("orderReport", "refundApproval", "nestedApproval", "photoReview"):
        api.get(f"/workflows/{workflow}", save=f"details-{workflow}")
    api.get("/workflows/nope", save="unknown-workflow")
    run("nope", "nope", "unknown-workflow-of-run")
    run("orderReport", "nope", "unknown-run")

    api.post("/workflows/orderReport/create-run", {}, runId="pending", save="create-run")
    run("orderReport", "pending", "pending")
    finish("orderReport", "success", {"city": "Köln", "limit": 1})
    finish("failingImport", "failed", {"file": "a.csv"})
    finish("refundApproval", "suspended", REFUND)
    finish("nestedApproval", "suspended-nested", {"document": "plan"})
    finish("parallelReview", "suspended-parallel", {"document": "plan"})
    finish("photoReview", "suspended-foreach", {"photos": ["a.jpg", "b.jpg"]})
    finish("photoReviewAtOnce", "suspended-items", {"photos": ["a.jpg", "b.jpg", "c.jpg"]})
    finish("earlyExit", "bailed", {"stock": 3})
    api.get("/workflows/orderReport/runs", save="runs", limit=2, offset=0, page=0, perPage=2)

    api.begin("/workflows/slowExport/stream", {"inputData": {"seconds": 3600}}, runId="running")
    run("slowExport", "running", "running")
    watch = "/workflows/slowExport/" + ("watch" if generation == "0" else "observe")
    if generation == "1":
        api.first_records(watch, 4, save="watch", get=False, runId="running")
    api.post("/workflows/slowExport/runs/running/cancel", {}, save="cancel")
    run("slowExport", "running", "canceled")
    api.begin("/workflows/coolDown/stream", {"inputData": {"seconds": 3600}}, runId="waiting")
    run("coolDown", "waiting", "waiting")

    body = {"inputData": {"city": "Köln", "limit": 1}}
    api.post("/workflows/orderReport/stream", body, runId="streamed", save="stream-success")
    api.post("/workflows/refundApproval/stream", {"inputData": REFUND}, runId="s2",
             save="stream-suspended")  # fmt: skip
    if generation == "1":
        api.post("/workflows/orderReport/stream", body, runId="streamed", save="stream-conflict")
        api.post("/workflows/orderReport/stream", {"inputData": {"day": 3}}, runId="refused",
                 save="stream-refused")  # fmt: skip
        run("orderReport", "refused", "refused-run")
    resume = {"step": "approve", "resumeData": APPROVED}
    api.post("/workflows/refundApproval/resume-stream", resume, runId="s2", save="resume-stream")
    run("refundApproval", "s2", "resumed")
    api.post("/workflows/refundApproval/resume-stream", resume, runId="s2",
             save="resume-stream-refused")  # fmt: skip
    api.post("/workflows/refundApproval/resume-async", resume, runId="s2",
             save="resume-async-refused")  # fmt: skip
    if generation == "1":
        large = {"inputData": {"words": {"a": "x" * 5_000_000}}}
        api.post("/workflows/translation/start", large, runId="large", save="too-large")

    # A run that is suspended and resumed twice, and observed after each.
    path = "/workflows/twoRequests"
    api.post(f"{path}/create-run", {}, runId="q")
    api.post(f"{path}/stream", {"inputData": {"campaign": "c"}}, runId="q")
    budget = {"step": "ask-budget", "resumeData": {"budget": 1}}
    api.post(f"{path}/resume-stream", budget, runId="q")
    deadline = {"step": "ask-deadline", "resumeData": {"deadline": "2026-01-31"}}
    if generation == "1":
        api.post(f"{path}/observe", {}, runId="q", save="observe-suspended")
        api.post(f"{path}/resume-stream", deadline, runId="q")
        api.post(f"{path}/observe", {}, runId="q", save="observe-finished")


def record_watch(server: SampleServer) -> None:
    """0.x's own stream, which tells of what happens from then on only."""
    api = Recorder(server)
    path = "/workflows/orderReport"
    api.post(f"{path}/create-run", {}, runId="watched")
    with requests.get(
        f"{server.url}/api{path}/watch", params={"runId": "watched"}, stream=True, timeout=60
    ) as response:
        api.post(f"{path}/start", {"inputData": {"city": "Köln", "limit": 1}}, runId="watched")
        text = ""
        for chunk in response.iter_content(None):
            text += chunk.decode()
            if text.count("\x1e") == 7:  # two for each of three steps, and the run's end
                break
        api.write("watch", response, text)


def record_refusals(server: SampleServer, token: str) -> None:
    """What a server says that asks for a token, and that cuts long requests."""
    path = "/workflows/slowExport"
    Recorder(server).get(path, save="no-token")
    Recorder(server, "wrong").get(path, save="wrong-token")
    body = {"inputData": {"seconds": 3600}}
    Recorder(server, token).post(f"{path}/start-async", body, runId="cut", save="cut")


def main() -> None:
    """Record everything."""
    token = "a-token"
    generations: tuple[Generation, ...] = ("0", "1")
    for generation in generations:
        with SampleServer(generation) as server:
            record(server)
            if generation == "0":
                record_watch(server)
        with SampleServer(generation, token=token, request_timeout=1) as server:
            record_refusals(server, token)


if __name__ == "__main__":
    main()
