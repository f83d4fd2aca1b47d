"""Which folders a run looks at: the paths a person named -> roots of the library, and parts of them.

A folder inside a root belongs to that root, unless the root's walk does not come to it (it is hidden, say): then it
becomes a root of its own. A root inside another one stays what it is, and the outer walk leaves it out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from indexer.scan import Rules, Scan
from library.catalog import Connection, reading
from library.errors import UsageError
from library.records import Root
from library.store import Store

NO_ID = -1  # no row has it


@dataclass(frozen=True, slots=True)
class Target:
    """One root, and the part of it that is to be looked at (b"" means all)."""

    root: Root
    below: bytes = b""
    elsewhere: frozenset[bytes] = frozenset()  # roots of their own inside this one


def targets_for(store: Store, paths: Sequence[Path], rules: Rules) -> list[Target]:
    """What the paths mean; no paths mean every root. New folders become roots.

    Raises UsageError for a path that is neither there nor known, and for a file outside the indexed folders.
    """
    absolute = [_absolute(path) for path in paths]
    with store.catalog.reading() as c:
        roots = reading.roots(c)
    roots = _with_new_roots(absolute, roots, rules, store.add_root)
    targets = _targets(absolute, roots)
    require_known(store, targets)
    return targets


def planned_targets(store: Store | None, paths: Sequence[Path], rules: Rules) -> list[Target]:
    """The same without writing anything; folders that would become roots have no number."""
    absolute = [_absolute(path) for path in paths]
    roots: list[Root] = []
    if store is not None:
        with store.catalog.reading() as c:
            roots = reading.roots(c)
    return _targets(absolute, _with_new_roots(absolute, roots, rules, lambda path: Root(NO_ID, path)))


def require_known(store: Store, targets: Sequence[Target]) -> None:
    """Raises UsageError for a target that is neither there nor known."""
    with store.catalog.reading() as c:
        for target in targets:
            _require_known(c, target)


def _with_new_roots(
    paths: Sequence[Path], roots: Sequence[Root], rules: Rules, make: Callable[[Path], Root]
) -> list[Root]:
    found = list(roots)
    for path in paths:
        holder = _holder(path, found)
        if holder is None or (holder.path != path and _is_out_of_reach(path, holder, rules)):
            found.append(make(_existing(path)))
    return found


def _is_out_of_reach(path: Path, holder: Root, rules: Rules) -> bool:
    return os.path.isdir(path) and not Scan(holder.path, rules).enters(
        os.fsencode(path.relative_to(holder.path))
    )


def _targets(paths: Sequence[Path], roots: Sequence[Root]) -> list[Target]:
    wanted: dict[tuple[Path, bytes], Target] = {}
    for path in paths or [root.path for root in roots]:
        holder = _holder(path, roots)
        assert holder is not None, "every path has a root by now"
        below = b"" if holder.path == path else os.fsencode(path.relative_to(holder.path))
        inside = [root for root in roots if path in root.path.parents]
        for root, part in ((holder, below), *((root, b"") for root in inside)):
            wanted[(root.path, part)] = Target(root, part, _elsewhere(root, roots))
    whole = {root for root, part in wanted if not part}
    return [target for (root, part), target in wanted.items() if not part or root not in whole]


def _holder(path: Path, roots: Sequence[Root]) -> Root | None:
    """The innermost root that is the path, or is around it."""
    around = [root for root in roots if root.path == path or root.path in path.parents]
    return max(around, key=lambda root: len(root.path.parts), default=None)


def _elsewhere(root: Root, roots: Sequence[Root]) -> frozenset[bytes]:
    return frozenset(os.fsencode(other.path) for other in roots if root.path in other.path.parents)


def _absolute(path: Path) -> Path:
    return Path(os.path.realpath(path.expanduser()))


def _require_known(c: Connection, target: Target) -> None:
    path = Path(os.fsdecode(os.path.join(os.fsencode(target.root.path), target.below)))
    there = not target.below or os.path.lexists(path)
    if not there and next(reading.file_rows(c, target.root.id, NO_ID, target.below), None) is None:
        raise UsageError(f"there is no file or folder {path}", hint="Look at the spelling.")


def _existing(path: Path) -> Path:
    if os.path.isdir(path):
        return path
    if os.path.exists(path):
        raise UsageError(
            f"{path} is a file outside the indexed folders",
            hint=f"oko indexes folders: oko index '{path.parent}'",
        )
    raise UsageError(f"there is no folder {path}", hint="Look at the spelling, or connect the drive.")
