"""What the documents say is what the code does. To bring them up to date: python -m oko.docs --write"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.source import LAYERS, ROOT, project_files

REGENERATE = "run: python -m oko.docs --write"
BLOCK = re.compile(r"<!-- block: (?P<name>[\w-]+) -->\n(?P<text>.*?)<!-- end: (?P<end>[\w-]+) -->", re.DOTALL)
BACKTICKED = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)[^)]*\)")
MAKE = re.compile(r"\bmake ([a-z]+)\b")
OUR_PATH = re.compile(rf"(?:{'|'.join([*LAYERS, 'tests', 'benchmarks', 'docs'])})/[\w./-]*")

# In parts, so that this file does not name them.
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in [
        ("pypi", "org"),
        ("pypi", "python", "org"),
        ("files", "pythonhosted", "org"),
        ("download", "pytorch", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("conda", "anaconda", "org"),
        ("deb", "debian", "org"),
        ("archive", "ubuntu", "com"),
    ]
]


def documents() -> list[Path]:
    """The project's pages; the change log speaks of the past and may name what is gone."""
    return [path for path in project_files() if path.suffix == ".md" and path.name != "CHANGELOG.md"]


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_blocks_are_what_the_code_generates() -> None:
    from oko.docs import readme_blocks

    found = [(m["name"], m["end"], m["text"].strip("\n")) for m in BLOCK.finditer(readme())]
    generated = sorted((name, name, text.strip("\n")) for name, text in readme_blocks().items())
    assert sorted(found) == generated, REGENERATE


def test_readme_shows_every_command() -> None:
    import argparse

    from oko.cli import build_parser

    choosers = [a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    commands = {name for chooser in choosers for name in chooser.choices}
    assert commands, "build_parser() has no subcommands"
    assert {name for name in commands if not re.search(rf"\boko {re.escape(name)}\b", readme())} == set()


def test_config_toml_is_what_the_code_generates() -> None:
    from library.config import default_toml

    assert (ROOT / "config.toml").read_text(encoding="utf-8") == default_toml(), REGENERATE


def test_paths_named_in_documents_exist() -> None:
    gone = []
    for page in documents():
        text = (ROOT / page).read_text(encoding="utf-8")
        named = [t.split("::")[0] for t in BACKTICKED.findall(text) if OUR_PATH.fullmatch(t.split("::")[0])]
        gone += [f"{page}: {path}" for path in named if not (ROOT / path).exists()]
    assert gone == []


def test_links_between_documents_lead_somewhere() -> None:
    gone = []
    for page in documents():
        targets = LINK.findall((ROOT / page).read_text(encoding="utf-8"))
        gone += [f"{page}: {target}" for target in targets if not (ROOT / page.parent / target).exists()]
    assert gone == []


def test_make_targets_named_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    commands = {
        target
        for page in documents()
        for quoted in re.findall(
            r"`[^`\n]+`|^ {4}.*$|```.*?```", (ROOT / page).read_text("utf-8"), re.M | re.S
        )
        for target in MAKE.findall(quoted)
    }
    assert commands
    assert commands - targets == set()


def test_no_file_names_a_package_registry() -> None:
    found = []
    for path in project_files():
        content = (ROOT / path).read_bytes()
        if b"\0" not in content[:8192]:
            found += [f"{path}: {host}" for host in REGISTRY_HOSTS if host.encode() in content]
    assert found == []


@pytest.mark.parametrize("text", ["see `tests/house/nowhere.py`", "see `library/nowhere.py::f`"])
def test_a_named_path_is_recognised(text: str) -> None:
    (token,) = BACKTICKED.findall(text)
    assert OUR_PATH.fullmatch(token.split("::")[0])


def test_no_file_installs_another_projects_oko() -> None:
    """The registry's project of that name is not ours."""
    command = re.compile(rb"pip3? install(?: +-{1,2}[\w-]+)* +[\"']?oko(?![\w/.-])")
    assert command.search(b"pip install " + b"-U oko[heic]")
    found = [path for path in project_files() if command.search((ROOT / path).read_bytes())]
    assert found == []
