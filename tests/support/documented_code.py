"""Extract the Python code of README and docs, and check its imports."""

from __future__ import annotations

import ast
import importlib
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
HOSTS = {"airflow": "airflow", "airflow_provider_mastra": "airflow"} | {
    "prefect": "prefect",
    "prefect_mastra": "prefect",
}


def blocks() -> dict[str, str]:
    """Return each Python code block by its page and line."""
    found = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            line = text.count("\n", 0, block.start()) + 1
            found[f"{page.relative_to(ROOT)}:{line}"] = textwrap.dedent(block[2])
    return found


def imported(code: str) -> list[tuple[str, str | None]]:
    """Return a block's imports from this project and its hosts, as pairs of module and name."""
    names: list[tuple[str, str | None]] = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [(str(node.module), alias.name) for alias in node.names]
    ours = {*HOSTS, "mastra_workflows"}
    return [(module, name) for module, name in names if module.partition(".")[0] in ours]


def missing(code: str, *hosts: str) -> list[str]:
    """Return the failed imports of a block. Imports from hosts not listed are skipped."""
    failed = []
    for module, name in imported(code):
        host = HOSTS.get(module.partition(".")[0])
        if host is not None and host not in hosts:
            continue
        try:
            found = importlib.import_module(module)
            if name is not None and not hasattr(found, name):
                importlib.import_module(f"{module}.{name}")
        except ImportError as error:
            failed.append(f"{module} {name or ''}: {error}")
    return failed
