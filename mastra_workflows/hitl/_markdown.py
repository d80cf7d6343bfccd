"""Render untrusted JSON as safe, readable Markdown.

Step payloads hold text from models, customers and the web. The output contains no HTML, no image to
load, no injected heading or table and no invisible characters, and its size is bounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from urllib.parse import quote, urlsplit

from mastra_workflows._models import JSON
from mastra_workflows._text import printable

MAX_BODY = 20_000
MAX_TEXT = 4_000
MAX_CELL = 120
MAX_ROWS = 100
MAX_COLUMNS = 8

URL_CHARACTERS = "/:?#@!$&*+,;=%[]~"
"""Characters that stay as they are in a URL. Those that would end a link (brackets, quotes, spaces)
are percent-encoded."""

SPECIAL = re.compile(r"([\\`*_\[\]|~#!])")
LINE_START = re.compile(r"^( *)([-+=]|\d+[.)])")


def shown(value: JSON) -> str:
    """Render a value as blocks of Markdown, with at most about 20,000 characters."""
    kept, left = [], MAX_BODY
    for block in _blocks(value):
        if len(block) > left:
            kept += [*_beginning(block, left), "… There is more than is shown here."]
            break
        left -= len(block)
        kept.append(block)
    return "\n\n".join(kept)


def _beginning(block: str, most: int) -> list[str]:
    """Return the whole lines of a block that fit into a number of characters, if any."""
    lines = block.split("\n")
    closing = lines[-1:] if lines[0].startswith("```") else []
    ends = accumulate((len(line) + 1 for line in lines), initial=sum(map(len, closing)))
    kept = lines[: max(0, sum(end <= most for end in ends) - 1)]
    return ["\n".join([*kept, *closing])] if len(kept) > len(closing) else []


def _blocks(value: JSON) -> Iterator[str]:
    if isinstance(value, Mapping) and value and not _is_flat(value):
        for name, part in value.items():
            title = _name(str(name))
            if _is_short(part):
                yield f"{title}: {_cell(part)}"
            else:
                yield title
                yield _block(part)
    elif value not in (None, {}, []):
        yield _block(value)


def _block(value: JSON) -> str:
    if isinstance(value, str):
        return quoted(value)
    if _is_short(value):
        return _cell(value)
    if isinstance(value, Mapping) and _is_flat(value):
        return _table(["", ""], [[_name(str(key)), _cell(value[key])] for key in value])
    if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
        most = min(MAX_TEXT, MAX_BODY // (len(value[:MAX_ROWS]) + 1))
        lines = [f"- {inline(item[:most])}{'…' * (len(item) > most)}" for item in value[:MAX_ROWS]]
        return "\n".join([*lines, *_rest(len(value) - MAX_ROWS)])
    if isinstance(value, Sequence) and (columns := _columns(value)):
        rows = [[_cell(row.get(name, "")) for name in columns] for row in value[:MAX_ROWS]]
        table = _table([inline(name) for name in columns], rows)
        return "\n\n".join([table, *_rest(len(value) - MAX_ROWS)])
    return fenced(_beginning_of_json(value))


def _beginning_of_json(value: JSON) -> str:
    """Serialise a value up to a size limit: indentation multiplies the size of nested values."""
    text = ""
    for piece in json.JSONEncoder(indent=2, ensure_ascii=False, default=str).iterencode(value):
        text += piece
        if len(text) > MAX_TEXT:
            break
    return text


def _columns(rows: Sequence[JSON]) -> list[str]:
    """Return the columns of a table of objects; none if the table would not be readable."""
    if not all(isinstance(row, Mapping) and _is_flat(row) for row in rows[:MAX_ROWS]):
        return []
    names = list(dict.fromkeys(str(name) for row in rows[:MAX_ROWS] for name in row))
    return names if len(names) <= MAX_COLUMNS else []


def _is_flat(value: Mapping[str, JSON]) -> bool:
    return len(value) <= MAX_ROWS and all(
        _is_short(part) and len(str(name)) <= MAX_CELL for name, part in value.items()
    )


def _is_short(value: JSON) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_CELL and not re.search(r"[\r\n]", value)
    return value is None or isinstance(value, bool | int | float)


def _cell(value: JSON) -> str:
    return inline(value) if isinstance(value, str) else json.dumps(value)


def _name(text: str) -> str:
    return f"**{inline(text[:MAX_CELL]).strip() or '(no name)'}**"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _rest(more: int) -> list[str]:
    return [f"… and {more:,} more."] if more > 0 else []


def inline(text: str) -> str:
    """Escape text for use within a line."""
    text = printable(text, keep="").replace("&", "&amp;").replace("<", "&lt;")
    text = SPECIAL.sub(r"\\\1", text.replace(">", "&gt;"))
    return LINE_START.sub(_literally, text)


def _literally(start: re.Match[str]) -> str:
    mark = start[2]
    return f"{start[1]}{mark[:-1]}\\{mark[-1]}"


def quoted(text: str) -> str:
    """Render text of any length as a block quote, line by line."""
    lines = text[:MAX_TEXT].splitlines()
    block = "\n".join(f"> {_kept(line)}  " if line.strip() else ">" for line in lines)
    if len(text) > MAX_TEXT:
        block += f"\n\n… The first {MAX_TEXT:,} of {len(text):,} characters."
    return block


def _kept(line: str) -> str:
    """Escape a line and keep its indentation, which Markdown would render as code."""
    stripped = line.lstrip(" \t")
    indent = line[: len(line) - len(stripped)].expandtabs(4)
    return "\u00a0" * len(indent) + inline(stripped)


def link(text: str, url: str | None) -> str:
    """Return a link to a web page, or an empty string if the URL is unsafe.

    Args:
        text: the text of the link.
        url: the URL; schemes other than http and https (``javascript:``, ``data:``) are refused.
    """
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return ""
    return f"[{inline(text)}]({quote(parts.geturl(), safe=URL_CHARACTERS, errors='replace')})"


def fenced(text: str) -> str:
    """Render text as a fenced code block."""
    more = "\n…" if len(text) > MAX_TEXT else ""
    text = printable(text[:MAX_TEXT])
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}json\n{text}{more}\n{fence}"


def code(text: str) -> str:
    """Render an id as inline code."""
    text = printable(text, keep="")
    fence = "`" * (1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    padding = " " if "`" in text else ""
    return f"{fence}{padding}{text}{padding}{fence}"
