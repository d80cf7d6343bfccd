"""Extract the code blocks of README and docs, and complete the Python ones to programs.

A Python block may continue earlier blocks of its page: `program` puts the statements that define
its names in front of it. Every piece of code keeps its line number of the page, so that an error
shows where to look. `make lint` type-checks the programs::

    python -m tests.support.documented_code airflow .build/documented/airflow/documented
"""

from __future__ import annotations

import ast
import builtins
import re
import shlex
import shutil
import symtable
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "example_dags" / "mastra_server" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^( *)(```|:::)(\S*)[^\n]*\n(.*?)^\1\2$", re.MULTILINE | re.DOTALL)
HOSTS = {
    "airflow": "airflow",
    "airflow_provider_mastra": "airflow",
    "prefect": "prefect",
    "prefect_mastra": "prefect",
}

RUN = "from airflow_provider_mastra.operators.workflow import MastraRunWorkflowOperator as Run"
SERVER = (
    "from prefect_mastra import MastraServer as Server;"
    " server = Server(base_url='http://localhost:4111')"
)
LOCAL_SERVER = "http://localhost:4111"
"""The server of the examples, which the tests replace by theirs."""
GIVEN = {
    ("docs/how-to/deferrable.md", "start"): (
        f"{RUN}; start = Run(task_id='start', workflow_id='orderReport',"
        " input_data={'city': 'Hamburg'}, wait_for_completion=False)"
    ),
    ("docs/how-to/results.md", "report"): (
        f"{RUN}; report = Run(task_id='report', workflow_id='orderReport',"
        " input_data={'city': 'Hamburg'})"
    ),
    ("docs/how-to/results.md", "ask"): (
        f"{RUN}; ask = Run(task_id='ask', workflow_id='refundApproval', on_suspend='return',"
        " input_data={'order': 'A-1042', 'amount': 4200, 'reason': 'arrived broken'})"
    ),
    ("docs/how-to/retries-and-reruns.md", "city"): "city = 'Hamburg'",
    ("docs/how-to/retries-and-reruns.md", "now"): "now = '2026-11-22T06:00:00Z'",
    ("docs/how-to/retries-and-reruns.md", "server"): SERVER,
    ("docs/inbox.md", "server"): SERVER,
}
"""The definitions of names that the text of a page presents, by page and name. One line each."""

TYPE_IGNORES = {
    "flow.from_source(": "union-attr",  # Prefect: a coroutine, if an event loop is running
    "task_runner=ProcessPoolTaskRunner(": "arg-type",  # Prefect's types contradict each other
    ".submit(server, run)": "call-overload",  # Prefect's types do not know futures as arguments
    "from daily import": "import-not-found",  # the reader's own module
    "import reports": "import-not-found",
}
"""The code of mypy's error in a line, by a text in the line, where the code is not at fault."""


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        page: the path of its page.
        line: the line of its first code, counted from 1.
        language: the language in its fence; empty if it has none.
        code: the code, without the indentation of the fence.
    """

    page: str
    line: int
    language: str
    code: str

    @property
    def place(self) -> str:
        """The page and line."""
        return f"{self.page}:{self.line}"

    def reason(self, reasons: Mapping[str, str]) -> str | None:
        """Return the reason of the first text that the code contains."""
        return next((why for text, why in reasons.items() if text in self.code), None)


def place(block: Block) -> str:
    """Return a block's place, as the id of a test."""
    return block.place


def blocks(*languages: str) -> list[Block]:
    """Return the code blocks of every page in some languages; those in any by default."""
    return [block for block in _blocks() if not languages or block.language in languages]


@cache
def _blocks() -> tuple[Block, ...]:
    return tuple(block for page in PAGES for block in _blocks_of(page))


def _blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        if not match[3].startswith("{"):  # a directive, such as {toctree}
            line = text.count("\n", 0, match.start(4)) + 1
            yield Block(str(page.relative_to(ROOT)), line, match[3], textwrap.dedent(match[4]))


def distinct(among: Iterable[Block]) -> list[Block]:
    """Return the blocks with different code, the first one of each."""
    return list({block.code: block for block in reversed(list(among))}.values())[::-1]


def python_blocks(host: str) -> list[Block]:
    """Return the Python blocks for an orchestrator, or those for the client alone (``core``)."""
    return [block for block in blocks("python") if host_of(block) == host]


def host_of(block: Block) -> str:
    """Return ``airflow``, ``prefect`` or ``core``, by the imports of a block's program."""
    for node in ast.walk(ast.parse(program(block))):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        for module in modules:
            if host := HOSTS.get(module.partition(".")[0]):
                return host
    return "core"


def program(block: Block) -> str:
    """Return a block's code with the earlier blocks and given names that it needs.

    Raises:
        AssertionError: the code uses a name that neither the page nor `GIVEN` defines.
    """
    parts, given = [(block.line, block.code)], set()
    needed = undefined(block.code)
    for line, code in reversed(list(_statements_before(block))):
        given |= {name for name in needed if (block.page, name) in GIVEN}
        needed -= given
        if needed & defined(code):
            parts.insert(0, (line, code))
            needed = needed - defined(code) | undefined(code)
    given |= {name for name in needed if (block.page, name) in GIVEN}
    assert needed <= given, f"{block.place}: undefined names {sorted(needed - given)}"
    text = "; ".join(GIVEN[block.page, name] for name in sorted(given))
    for line, code in parts:
        text += "\n" * (line - 1 - text.count("\n")) + code
    return text


def _statements_before(block: Block) -> Iterator[tuple[int, str]]:
    """Yield the line and code of each statement in the earlier Python blocks of a page."""
    for earlier in blocks("python"):
        if earlier.page == block.page and earlier.line < block.line:
            for node in ast.parse(earlier.code).body:
                decorators = getattr(node, "decorator_list", [])
                first = min([node, *decorators], key=lambda one: one.lineno).lineno
                lines = earlier.code.splitlines(keepends=True)[first - 1 : node.end_lineno]
                yield earlier.line + first - 1, "".join(lines)


def defined(code: str) -> set[str]:
    """Return the names that a module's code defines."""
    symbols = symtable.symtable(code, "block", "exec").get_symbols()
    return {one.get_name() for one in symbols if one.is_assigned() or one.is_imported()}


def undefined(code: str) -> set[str]:
    """Return the names that a module's code, its functions included, uses without a definition."""
    used: set[str] = set()
    tables = [symtable.symtable(code, "block", "exec")]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        used |= {one.get_name() for one in table.get_symbols() if one.is_global()}
    names = used - defined(code)
    return {name for name in names if not hasattr(builtins, name) and name != "__name__"}


def commands(block: Block) -> list[list[str]]:
    """Return the words of each command of a shell block. An assignment gives its name alone."""
    code = re.sub(r" +# .*", "", block.code.replace("\\\n", " "))
    lines = shlex.shlex(code, posix=True, punctuation_chars="\n")
    lines.commenters = ""
    lines.whitespace = " \t"
    lines.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lines:
        if not word.strip("\n"):
            found.append([])
        elif word != "export" and not found[-1] and re.match(r"[A-Z_]+=", word):
            found[-1].append(word.partition("=")[0])
        elif word != "export":
            found[-1].append(word)
    return [words for words in found if words]


def write_programs(host: str, folder: Path) -> None:
    """Write the program of each Python block for a host to a module in a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for block in python_blocks(host):
        name = re.sub(r"\W", "_", block.place)
        lines = [_with_ignore(line) for line in program(block).splitlines()]
        (folder / f"{name}.py").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _with_ignore(line: str) -> str:
    codes = [code for text, code in TYPE_IGNORES.items() if text in line]
    return f"{line}  # type: ignore[{codes[0]}]" if codes else line


if __name__ == "__main__":
    write_programs(sys.argv[1], Path(sys.argv[2]))
