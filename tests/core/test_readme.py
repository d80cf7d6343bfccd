"""Test the README of the distribution: no link of it needs the repository."""

from __future__ import annotations

import re

from scripts.readme import portable_readme, relative_links
from tests.support.documented_code import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
SOURCE = "https://git.example.com/team/mastra-workflows"


def test_the_repository_has_relative_links() -> None:
    assert "docs/reliability.md" in relative_links(README)
    assert any(link.endswith(".png") for link in relative_links(README))


def test_links_lead_to_the_tag_of_the_version() -> None:
    text = portable_readme(README, SOURCE, "1.2.3")
    assert relative_links(text) == []
    assert f"]({SOURCE}/blob/v1.2.3/docs/reliability.md)" in text
    assert f'<img src="{SOURCE}/raw/v1.2.3/docs/asking/airflow-form.png"' in text
    assert "](https://mastra.ai)" in text


def test_without_an_address_links_become_text() -> None:
    text = portable_readme(README, None, "1.2.3")
    assert relative_links(text) == []
    assert "<img" not in text
    assert "limits of the rows above" in text
    assert "](https://mastra.ai)" in text


def test_code_stays_as_it_is() -> None:
    blocks = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
    for source in (SOURCE, None):
        assert blocks.findall(portable_readme(README, source, "1")) == blocks.findall(README)
    assert portable_readme("```\n[a](b.md)\n```\n", None, "1") == "```\n[a](b.md)\n```\n"


def test_it_stays_short() -> None:
    assert README.count("\n") < 120
