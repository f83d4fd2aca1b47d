"""The examination of a library as the command line shows it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from library import health
from library.errors import LibraryDamaged, LibraryOnNetwork, NoLibrary, OkoError
from library.folder import CATALOG_NAME
from library.health import Finding
from library.models import Registry
from library.textual import read_record
from oko import assemble, exits
from oko.aligned import columns, count
from oko.context import Context
from oko.searching import status


def examine_library(context: Context, *, mend: bool) -> list[Finding]:
    """Everything that is wrong with the library of a command. Raises NoLibrary, LibraryLocked."""
    folder, config = context.folder, context.config
    if not config.database_url and not (folder / CATALOG_NAME).exists():
        raise NoLibrary(folder)
    with status(context, "Examining the library"):
        findings = list(health.examine_folder(folder, mend=mend))
        try:
            with assemble.reading(folder, config) as store:
                indexes = health.saved_indexes(store)
                if not mend:
                    return findings + list(health.examine(store, indexes, mend=False))
            with assemble.writing(folder, config, purpose=context.purpose) as store:
                return findings + list(health.examine(store, indexes, mend=True))
        except LibraryDamaged as e:
            return [*findings, health.damaged(e)]
        except LibraryOnNetwork:
            return findings  # it is among them; such a library is not opened


def exit_code(findings: Sequence[Finding]) -> int:
    """1 if something serious is wrong still."""
    return exits.FAILED if any(each.serious and not each.mended for each in findings) else exits.DONE


def print_findings(context: Context, findings: Sequence[Finding], *, check: bool, as_json: bool) -> None:
    """The findings as JSON or in sentences."""
    if as_json:
        context.result(json.dumps(as_object(findings), indent=2))
        return
    for line in _lines(findings):
        context.result(line)
    context.result(_verdict(findings, check=check))
    versions = ", ".join(
        f"{name} {version or 'not installed'}" for name, version in health.versions().items()
    )
    context.note(f"Versions: {versions}")
    if sentence := _about_words(context):
        context.note(sentence)


def _about_words(context: Context) -> str:
    """A sentence on whether searches in words load torch, which takes seconds; "" where nobody can tell."""
    try:
        with assemble.reading_if_there(context.folder, context.config) as store:
            name = store.default_model() if store is not None else None
        spec = Registry(context.folder).resolve(name) if name else None
    except OkoError:
        return ""
    if spec is None:
        return ""
    record = read_record(spec)
    if record is None:
        return f"Words: the next search that loads PyTorch finds out how the texts of {spec.name} are read without it"
    if record.refused:
        return f"Words: each search loads PyTorch for the texts of {spec.name}: {record.refused}"
    return f"Words: the texts of {spec.name} are read without PyTorch"


def _lines(findings: Sequence[Finding]) -> list[str]:
    states = [_state(each) for each in findings]
    rows = [(state, f"{each.count:,}", each.sentence) for state, each in zip(states, findings, strict=True)]
    lines = []
    for line, each in zip(columns(rows, right=frozenset({1})), findings, strict=True):
        lines.append(line)
        if each.hint:
            lines.append(" " * line.index(each.sentence) + each.hint)
    return lines


def _state(finding: Finding) -> str:
    if finding.mended:
        return "mended"
    return "WRONG" if finding.serious else "note"


def _verdict(findings: Sequence[Finding], *, check: bool) -> str:
    wrong = [each for each in findings if each.serious and not each.mended]
    mended = [each for each in findings if each.mended]
    if not wrong and not mended:
        return "The library is sound."
    parts = [count(len(mended), "thing") + " mended"] if mended else []
    if wrong:
        parts.append(
            count(len(wrong), "thing")
            + " wrong"
            + (" (oko doctor mends what can be mended)" if check else "")
        )
    return ", ".join(parts) + "."


def as_object(findings: Sequence[Finding]) -> dict[str, object]:
    """The findings as one object."""
    return {
        "sound": exit_code(findings) == exits.DONE,
        "findings": [dataclasses.asdict(each) for each in findings],
        "versions": health.versions(),
    }
