"""Check that the output of `make build` in dist/ can be released: version, changelog, metadata.

Run by `make release-check`. It prints every problem and exits with status 1 if there is one.
"""

import re
import sys
import tarfile
import zipfile
from pathlib import Path

from packaging.metadata import Metadata
from trove_classifiers import classifiers

from scripts.readme import relative_links

DIST = Path("dist")
VERSION_FILE = Path("mastra_workflows/__init__.py")
PACKAGES = ("mastra_workflows", "airflow_provider_mastra", "prefect_mastra")
MAX_SUMMARY = 200


def source_version() -> str:
    """Return the version in the source, which hatchling builds with."""
    match = re.search(r'^__version__ = "([^"]+)"$', VERSION_FILE.read_text("utf-8"), re.MULTILINE)
    if match is None:
        sys.exit(f'*** {VERSION_FILE} has no line __version__ = "..."')
    return match[1]


def changelog_problems(version: str, changelog: str) -> list[str]:
    """Require a dated section for the version, above those of earlier releases."""
    sections = re.findall(r"^## \[([^\]]+)\](.*)$", changelog, re.MULTILINE)
    dates = dict(sections)
    if version not in dates:
        return [f"CHANGELOG.md has no section [{version}]; it has {', '.join(dates) or 'none'}"]
    problems = []
    if not re.fullmatch(r" - \d{4}-\d{2}-\d{2}", dates[version]):
        problems.append(f"CHANGELOG.md: expected '## [{version}] - YYYY-MM-DD'")
    released = [name for name, _ in sections if name != "Unreleased"]
    if released[0] != version:
        problems.append(f"CHANGELOG.md: [{version}] is listed below [{released[0]}]")
    body = changelog.split(f"## [{version}]", 1)[1].split("\n## ", 1)[0]
    if "\n- " not in body:
        problems.append(f"CHANGELOG.md: section [{version}] is empty")
    return problems


def metadata_problems(file: Path, raw: bytes, version: str) -> list[str]:
    """Return what a package index would refuse or display incorrectly."""
    try:
        metadata = Metadata.from_email(raw, validate=True)
    except ExceptionGroup as group:
        return [f"{file}: {error}" for error in group.exceptions]
    problems = []
    if str(metadata.version) != version:
        problems.append(f"{file}: version {metadata.version}, the source states {version}")
    unknown = set(metadata.classifiers or ()) - classifiers
    problems += [f"{file}: unknown classifier {classifier!r}" for classifier in sorted(unknown)]
    if metadata.description_content_type != "text/markdown":
        problems.append(f"{file}: the description is not text/markdown")
    problems += [
        f"{file}: the README has a relative link, which a package index cannot follow: {target}"
        for target in relative_links(metadata.description or "")
    ]
    if len(metadata.summary or "") not in range(1, MAX_SUMMARY + 1):
        problems.append(f"{file}: the summary is missing or too long")
    if not metadata.license_expression or not metadata.license_files:
        problems.append(f"{file}: no licence expression or no licence file")
    if not metadata.project_urls:
        problems.append(
            f"{file}: no project URLs; add [project.urls] with Source, the address of the "
            "repository, to pyproject.toml. The links of the README then lead there"
        )
    return problems


def distribution_problems(version: str) -> list[str]:
    """Require exactly one wheel and one sdist of this version, complete and with valid metadata."""
    wheel = DIST / f"mastra_workflows-{version}-py3-none-any.whl"
    sdist = DIST / f"mastra_workflows-{version}.tar.gz"
    built = {file for file in DIST.glob("*") if file.suffix in {".whl", ".gz"}}
    if built != {wheel, sdist}:
        found = ", ".join(sorted(file.name for file in built)) or "nothing"
        return [f"{DIST}: expected {wheel.name} and {sdist.name}, found {found}"]
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = f"mastra_workflows-{version}.dist-info"
        problems = metadata_problems(wheel, archive.read(f"{info}/METADATA"), version)
    expected = {f"{package}/py.typed" for package in PACKAGES} | {f"{info}/entry_points.txt"}
    problems += [f"{wheel}: has no {name}" for name in sorted(expected - names)]
    extra = {name.partition("/")[0] for name in names} - {*PACKAGES, info}
    problems += [f"{wheel}: installs {name} besides the packages" for name in sorted(extra)]
    with tarfile.open(sdist) as archive:
        member = archive.extractfile(f"mastra_workflows-{version}/PKG-INFO")
        assert member is not None
        problems += metadata_problems(sdist, member.read(), version)
    return problems


def main() -> None:
    version = source_version()
    problems = [
        *changelog_problems(version, Path("CHANGELOG.md").read_text("utf-8")),
        *distribution_problems(version),
    ]
    for problem in problems:
        print(f"*** {problem}")
    if problems:
        sys.exit(1)
    print(f"    {version}: version, changelog, README and metadata are ready for a release")


if __name__ == "__main__":
    main()
