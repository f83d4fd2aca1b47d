"""How search, opening and space grow from 1,000 to 1,000,000 photos, next to exact search in the same process.

usage: python -m benchmarks.million [--photos 1000 10000 100000 1000000] [--dim 512] [--queries 200] [--folder DIR]

Pictures and queries come from one generator (benchmarks.synthetic; no query lies among the pictures), the photos are
rows written straight into the catalog; ranking, relevance, filters, files and tags of the answers are the real ones.
A time is that of `Searcher.page` in process, 20 answers. Reference: FAISS's flat index of the same vectors as float32,
20 best. Recall at 10 is against the same pages found by looking at everything. Opening is timed in fresh processes,
with the library's files in the page cache: imports, opening, the judge of relevance and the first answers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import write
from benchmarks.synthetic import World, WorldEncoder
from benchmarks.synthetic_library import fill, since
from library.records import PhotoFilter
from library.store import Store
from library.vectors import FlatIndex, read_stamp
from search.query import parse
from search.rank import Searcher

RESULTS = Path(__file__).parent / "results" / "million.json"
LIMIT, DEPTH = 20, 10
SHARES = (0.01, 0.10, 0.50)
OPENINGS = 5
COMPARED = 50  # queries whose answers are compared: looking at everything takes long
F32 = NDArray[np.float32]


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="keep the libraries here, and take those that are there")
    parser.add_argument("--rebuild", action="store_true", help="make an index anew that is there, to time it")
    args = parser.parse_args()
    world = World(args.dim)
    with tempfile.TemporaryDirectory() as temporary:
        sizes = [measure(args.folder or Path(temporary), world, n, args) for n in args.photos]
    figures = {"dim": args.dim, "queries": args.queries, "answers": LIMIT, "sizes": sizes}
    for line in table(sizes):
        print(line)
    write(RESULTS, figures)
    return 0


def measure(base: Path, world: World, photos: int, args: argparse.Namespace) -> dict[str, Any]:
    """All figures of a library of one size."""
    folder, encoder = base / str(photos), WorldEncoder(world)
    fill(folder, world, encoder.stamp, photos)
    figures: dict[str, Any] = {"photos": photos, **built(folder, encoder, rebuild=args.rebuild)}
    queries = world.queries(args.queries + 5, seed=1_000_000)
    store = Store.open(folder)
    try:
        fast = Searcher(store, encoder.stamp, lambda: encoder)
        plain = Searcher(store, encoder.stamp, lambda: encoder, exact=True)
        figures["reference"] = reference(store, encoder, queries)
        figures["unfiltered"] = asked(fast, plain, queries, None)
        for share in SHARES:
            wanted = parse(f"after:{since(share)}").wanted
            figures[f"filter {share:.0%}"] = asked(fast, plain, queries, wanted)
        figures["folder"] = asked(fast, plain, queries, parse("folder:2024").wanted)
    finally:
        store.close()
    figures["ratio"] = round(figures["reference"]["p50_ms"] / figures["unfiltered"]["p50_ms"], 2)
    figures["opening"] = opened(folder, world.dim)
    return figures


def built(folder: Path, encoder: WorldEncoder, *, rebuild: bool) -> dict[str, Any]:
    """How long the index takes, and what is on the disk. A small library's is a plain copy of the vectors."""
    seconds = None
    with Store.open_writer(folder, purpose="benchmark", timeout_s=5) as store:
        path = store.index_path(model_id := store.model_id(encoder.stamp))
        if rebuild or not path.exists():
            began = time.perf_counter()
            store.rebuild_index(model_id, encoder.stamp.dim)
            seconds = round(time.perf_counter() - began, 2)
        store.save_index(model_id, encoder.stamp.dim)
    recall = read_stamp(path).recall
    sizes = {"catalog_mb": (folder / "catalog.sqlite").stat().st_size, "index_mb": path.stat().st_size}
    found = {name: round(size / 1e6, 1) for name, size in sizes.items()}
    return {
        "index_s": seconds,
        "kind": "exact" if recall is None else "inverted",
        "recall_stamp": recall,
        **found,
    }


def reference(store: Store, encoder: WorldEncoder, queries: F32, *, limit: int = LIMIT) -> dict[str, Any]:
    """Exact search over float32 vectors in memory."""
    ids, vectors = store.vectors(store.model_id(encoder.stamp), encoder.stamp.dim).contents()
    flat = FlatIndex(encoder.stamp.dim)
    flat.add(ids, vectors)
    del vectors
    return percentiles(timed(lambda each: flat.search(each, limit), queries[:50]))


def asked(fast: Searcher, plain: Searcher, queries: F32, wanted: PhotoFilter | None) -> dict[str, Any]:
    """Times of the pages, and how many of the ten best by the plain path are among them."""
    ask: dict[str, Any] = {"wanted": wanted, "limit": LIMIT, "everything": True}
    (first,) = timed(lambda each: fast.page(each, **ask), queries[:1])
    for each in queries[1:5]:
        fast.page(each, **ask)
    times = timed(lambda each: fast.page(each, **ask), queries[5:])
    with_line = timed(lambda each: fast.page(each, wanted=wanted, limit=LIMIT), queries[5:])
    met = answers = 0
    for each in queries[5 : 5 + COMPARED]:
        found, best = fast.page(each, **ask), plain.page(each, **{**ask, "limit": DEPTH})
        assert len(found.results) == min(LIMIT, found.total) == min(LIMIT, best.total), "k whenever k pass"
        met += len({r.id for r in found.results[:DEPTH]} & {r.id for r in best.results})
        answers += len(best.results)
    return {
        "passing": found.total,
        "first_ms": round(first * 1000, 1),
        **percentiles(times),
        "recall_at_10": round(met / max(answers, 1), 4),
        "with the relevance line": percentiles(with_line),
        "runs_ms": [round(each * 1000, 2) for each in times],
    }


OPENING = """
import json, sys, time
began = time.perf_counter()
import numpy as np
from library.store import Store
from search.rank import Searcher
from library.records import ModelStamp
imported = time.perf_counter()
folder, dim = sys.argv[1], int(sys.argv[2])
from pathlib import Path
store = Store.open(Path(folder))
stamp = ModelStamp("synthetic", "0" * 64, dim, "none")
index = store.vectors(store.model_id(stamp), dim)
opened = time.perf_counter()
vector = np.ones(dim, np.float32) / np.sqrt(dim)
page = Searcher(store, stamp).page(vector.astype(np.float32), limit=20)
answered = time.perf_counter()
lines = open("/proc/self/status").read().splitlines() if sys.platform == "linux" else []
memory = {l.split(":")[0]: int(l.split()[1]) // 1024 for l in lines if l.startswith(("RssAnon", "RssFile"))}
print(json.dumps({"imports_s": imported - began, "opening_s": opened - imported,
                  "first_answers_s": answered - opened, "total_s": answered - began, **memory}))
store.close()
"""


def opened(folder: Path, dim: int) -> dict[str, Any]:
    """Medians of fresh processes: seconds, and megabytes of memory (RssFile: mapped files, shared with others)."""
    command = [sys.executable, "-W", "ignore", "-c", OPENING, str(folder), str(dim)]
    runs = []
    for _ in range(OPENINGS + 1):
        out = subprocess.run(command, capture_output=True, text=True, check=True)
        runs.append(json.loads(out.stdout))
    runs = runs[1:]  # the first one only fills the page cache
    found = {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}
    return {**found, "runs": runs}


def timed(work: Callable[[F32], Any], queries: Sequence[F32] | F32) -> list[float]:
    """Seconds for each query."""
    times = []
    for each in queries:
        began = time.perf_counter()
        work(each)
        times.append(time.perf_counter() - began)
    return times


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds: the median, and what 95 % stay below."""
    p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
    return {"p50_ms": round(float(p50), 2), "p95_ms": round(float(p95), 2)}


def table(sizes: Sequence[dict[str, Any]]) -> list[str]:
    """Markdown."""
    names = ["unfiltered", *(f"filter {share:.0%}" for share in SHARES), "folder"]
    head = ["photos", "index", "made in", "exact p50", *(f"{name} p50 / p95" for name in names)]
    head += ["least recall@10", "opened in", "of it opening", "anonymous MB", "on disk MB"]
    rows = []
    for each in sizes:
        cells = [
            f"{each['photos']:,}",
            each["kind"],
            "" if each["index_s"] is None else f"{each['index_s']} s",
        ]
        cells.append(f"{each['reference']['p50_ms']} ms")
        cells += [f"{each[name]['p50_ms']} / {each[name]['p95_ms']} ms" for name in names]
        cells.append(f"{min(each[name]['recall_at_10'] for name in names):.4f}")
        cells += [f"{each['opening']['total_s']} s", f"{each['opening']['opening_s']} s"]
        cells += [str(each["opening"].get("RssAnon", "")), f"{each['catalog_mb'] + each['index_mb']:,.0f}"]
        rows.append(cells)
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


if __name__ == "__main__":
    raise SystemExit(main())
