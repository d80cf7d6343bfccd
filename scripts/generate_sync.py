"""Generate the synchronous versions of the client and of the Prefect tasks: `make generate`.

The source is the asyncio code in `mastra_workflows/aio` and `prefect_mastra/aio`. The synchronous
code differs only in names and in the absence of ``async`` and ``await``, so the substitutions below
produce it. `make lint` runs this with ``--check``, which writes nothing and fails if a generated
file differs.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE, TARGET = ROOT / "mastra_workflows" / "aio", ROOT / "mastra_workflows" / "_sync"
PREFECT = ROOT / "prefect_mastra"
PREFECT_TARGETS = {
    PREFECT / "aio" / "_ask.py": PREFECT / "hitl" / "_ask.py",
    PREFECT / "aio" / "flows.py": PREFECT / "flows.py",
    PREFECT / "aio" / "tasks.py": PREFECT / "tasks.py",
}
RUFF = Path(sys.executable).parent / "ruff"

SUBSTITUTIONS = [
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"__a(enter|exit)__", r"__\1__"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\b_async_transport\b", "_transport"),
    (r"\bmastra_workflows\.aio\b", "mastra_workflows._sync"),
    (
        r"`MastraClient` is for threads, `MastraClient`",
        "`MastraClient` is for threads, `AsyncMastraClient`",
    ),
    (
        r"The asyncio client, from which (?s:.*)",
        'The synchronous client.\n\nImport its classes from `mastra_workflows`.\n"""\n',
    ),
]
PREFECT_SUBSTITUTIONS = [
    (r"\bawait_for_workflow_run\b", "wait_for_workflow_run"),
    (
        r"\ba((?:start|execute|resume|run)_workflow|cancel_workflow_run|list_pending_requests"
        r"|ask_and_resume|drive)\b",
        r"\1",
    ),
    (r"\.a(start|resume|cancel|cancelling_on_kill|wait_for_completion)\(", r".\1("),
    (r"\basync (def|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"mastra-arun-workflow", "mastra-run-workflow"),
    (r"\bget_async_client\(", "get_client("),
    # Prefect's client, sleeping, and the names of a run's methods.
    (r"\bget_client\(\) as prefect", "get_client(sync_client=True) as prefect"),
    (r'f"a\{method\}"', "method"),
    (r"\banyio\b", "time"),
    (r"\bprefect_mastra\.aio\._ask\b", "prefect_mastra.hitl._ask"),
    (r"\bprefect_mastra\.aio\b", "prefect_mastra"),
]
HEADER = "# Generated from {source} by `make generate`. Do not edit.\n"


def convert(source: Path, target: Path, substitutions: list[tuple[str, str]]) -> str:
    """Return the synchronous text of an asyncio module."""
    text = source.read_text(encoding="utf-8")
    for pattern, replacement in substitutions:
        text = re.sub(pattern, replacement, text)
    text = HEADER.format(source=source.relative_to(ROOT).as_posix()) + text
    # Explicit, because ruff searches for the modules, and a generated one may not exist yet.
    first_party = 'lint.isort.known-first-party = ["mastra_workflows", "prefect_mastra"]'
    sort = ["check", "--quiet", "--select", "I,SIM117,UP028", "--fix", "--unsafe-fixes"]
    sort += ["--config", first_party]
    for command in (sort, ["format", "--quiet"]):
        arguments = [str(RUFF), *command, "--stdin-filename", str(target), "-"]
        text = subprocess.run(
            arguments, input=text, capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout
    return text


def main() -> int:
    """Write the generated files, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if one differs")
    is_check = parser.parse_args().check
    wanted = {}
    for source in sorted(SOURCE.glob("*.py")):
        target = TARGET / source.name
        wanted[target] = convert(source, target, SUBSTITUTIONS)
    for source, target in PREFECT_TARGETS.items():
        wanted[target] = convert(source, target, PREFECT_SUBSTITUTIONS)
    written = [*TARGET.glob("*.py"), *filter(Path.exists, PREFECT_TARGETS.values())]
    found = {path: path.read_text(encoding="utf-8") for path in written}
    if is_check:
        differing = sorted(
            path.relative_to(ROOT).as_posix()
            for path in wanted.keys() | found.keys()
            if wanted.get(path) != found.get(path)
        )
        if differing:
            print(f"Run `make generate`; these differ from their source: {', '.join(differing)}")
        return 1 if differing else 0
    TARGET.mkdir(exist_ok=True)
    for path in found.keys() - wanted.keys():
        path.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
