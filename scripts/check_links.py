"""Check the links of the documentation that Sphinx does not: `make docs`, `make docs-links`.

Sphinx fails on a broken link or anchor in docs/. This checks the Markdown files outside docs/, and
the HTML in all of them. With ``--external`` it requests the URLs of other sites, of those that the
packages name too, and checks nothing else.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^( *)(```|:::).*?^\1\2$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HTML_LINK = re.compile(r"<[a-z]+\s[^>]*?(?:src|href)=\"([^\"]+)\"")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
URL = re.compile(r"https?://(?=[\w\[])[^\s\"'`<>()\[\]{}\\|]+")
PLACEHOLDER = re.compile(
    r"https?://(?:[^/]*@)?(?:localhost|127\.|\[|[^/:]*\bexample\b|mastra(?:-\d)?[:/])"
)
"""URLs that belong to no site: examples, and those of servers on the same machine."""
TIMEOUT = 20.0
AGENT = {"User-Agent": "Mozilla/5.0 (link check)"}


def tracked(*patterns: str) -> list[Path]:
    """Return the files of the repository that match patterns."""
    listed = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.splitlines()]


def prose(path: Path) -> str:
    """Return a Markdown file without its code, with the same number of lines."""
    text = path.read_text(encoding="utf-8")
    text = FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
    return CODE.sub("", text)


def anchors(path: Path) -> set[str]:
    """Return the anchors of a Markdown file's headings, as GitHub and MyST name them."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    headings = [re.sub(r"[^\w\- ]", "", found.lower()) for found in HEADING.findall(text)]
    return {heading.strip().replace(" ", "-") for heading in headings}


def internal_problems(path: Path, *, only_html: bool) -> Iterator[str]:
    """Yield the relative links of a Markdown file that lead nowhere."""
    text = prose(path)
    for pattern in (HTML_LINK,) if only_html else (HTML_LINK, LINK):
        for match in pattern.finditer(text):
            target = match[1]
            if re.match(r"[a-z][a-z+.-]*:", target):
                continue
            name, _, anchor = target.partition("#")
            file = path.parent / name if name else path
            line = text.count("\n", 0, match.start()) + 1
            place = f"{path.relative_to(ROOT)}:{line}"
            if not file.exists():
                yield f"{place}: {target}: no such file"
            elif anchor and file.suffix == ".md" and anchor not in anchors(file):
                yield f"{place}: {target}: no such heading"


def external_urls() -> dict[str, Path]:
    """Return the URLs of other sites, each with the first file that has it."""
    packages = ("mastra_workflows", "airflow_provider_mastra", "prefect_mastra", "example_dags")
    files = tracked("*.md", ".github", "pyproject.toml", *(f"{name}/**.py" for name in packages))
    found: dict[str, Path] = {}
    for path in files:
        for url in URL.findall(path.read_text(encoding="utf-8")):
            if not PLACEHOLDER.match(url):
                found.setdefault(url.rstrip(".,:;*_"), path)
    return found


def request_problem(url: str) -> str | None:
    """Request a URL; return what is wrong, or None."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=AGENT), timeout=TIMEOUT
        ) as response:
            response.read(1)
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}"
    except (OSError, ValueError) as error:
        return f"unreachable: {error}"
    return None


def external_problems(urls: dict[str, Path]) -> list[str]:
    """Request all URLs, several at a time; return the broken ones."""
    with ThreadPoolExecutor(8) as threads:
        results = zip(urls.items(), threads.map(request_problem, urls), strict=True)
        return [f"{path.relative_to(ROOT)}: {url}: {why}" for (url, path), why in results if why]


def main() -> int:
    """Print every broken link; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--external", action="store_true", help="request the URLs of other sites")
    if parser.parse_args().external:
        urls = external_urls()
        problems = external_problems(urls)
        print(f"    {len(urls)} external links, {len(problems)} broken")
    else:
        docs = ROOT / "docs"
        problems = [
            problem
            for path in tracked("*.md")
            for problem in internal_problems(path, only_html=docs in path.parents)
        ]
    for problem in problems:
        print(f"*** {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
