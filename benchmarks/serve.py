"""How long `GET /api/search` takes in a large library, next to exact search in the same process.

usage: python -m benchmarks.serve [--photos 1000000] [--dim 256] [--requests 200] [--folder DIR]

The photos are rows with random vectors, written straight into the catalog (no file is ever read); the encoder is the
deterministic one of the tests, so what is measured is everything but the model: parsing, ranking, filters, the page's
rows, JSON, HTTP over a real socket. Reference: the k best by FAISS's flat index, the index lock included.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from sqlalchemy import insert

from benchmarks.machine import describe, write
from library.catalog import Connection, reading, writing
from library.config import Config
from library.fakes import FakeEncoder
from library.models import Registry
from library.schema import embedding, file, photo
from library.store import Store
from oko import assemble
from oko.web.access import Policy
from oko.web.app import make_app
from oko.web.connections import listen, make_server
from oko.web.serving import Serving, serving

RESULTS = Path(__file__).parent / "results" / "serve.json"
ROWS = 20_000  # a transaction
LIMIT = 60  # what the page asks for
WORDS = ("red", "green", "blue", "yellow", "orange", "purple", "pink", "brown", "black", "white")


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--folder", type=Path, help="keep the library here, and take it if it is there")
    args = parser.parse_args()
    encoder = FakeEncoder(name="fixed", dim=args.dim)
    assemble.make_encoder = lambda spec, config: encoder
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary, "library")
        fill(folder, encoder, args.photos)
        figures = measure(folder, encoder, args)
    print(json.dumps(figures, indent=2))
    write(RESULTS, figures)
    return 0


def fill(folder: Path, encoder: FakeEncoder, photos: int) -> None:
    """A library of that many photos, unless it is there."""
    with Store.open_writer(folder, purpose="benchmark", timeout_s=5, create=True) as store:
        with store.catalog.reading() as c:
            there = reading.photo_count(c)
        if there == photos:
            return
        root = store.add_root(folder / "photos")
        model_id = store.use_model(encoder.stamp)
        rng = np.random.default_rng(0)
        for start in range(there, photos, ROWS):
            with store.catalog.writing() as c:
                _add(
                    c,
                    rng,
                    (root.id, model_id),
                    range(start + 1, min(start + ROWS, photos) + 1),
                    encoder.stamp.dim,
                )
            print(f"\r{start + ROWS:,} of {photos:,} photos", end="", flush=True)
        print()
        weights = folder / "weights.pt"
        weights.write_bytes(b"not read")
        Registry(folder).add("fixed", arch="ViT-B-32", weights=weights, check=lambda spec: None)
        store.set_default_model("fixed")


def _add(c: Connection, rng: np.random.Generator, ids: tuple[int, int], keys: range, dim: int) -> None:
    root_id, model_id = ids
    vectors = rng.standard_normal((len(keys), dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    revision = writing.next_revision(c)
    taken = [f"20{key % 25:02}-{key % 12 + 1:02}-{key % 28 + 1:02}T12:00:00" for key in keys]
    size = {"size_bytes": 3_000_000, "added_at": "2026-01-01", "width": 4000, "height": 3000}
    facts = {**size, "format": "JPEG", "orientation": 1, "camera_model": "Fixed"}
    c.execute(
        insert(photo),
        [
            {
                **facts,
                "id": key,
                "content_sha256": key.to_bytes(32, "big"),
                "taken_at": day,
                "dated_at": day,
                "perceptual_hash": int(rng.integers(-(2**63), 2**63)),
            }
            for key, day in zip(keys, taken, strict=True)
        ],
    )
    stamp = {
        "root_id": root_id,
        "size_bytes": 3_000_000,
        "mtime_ns": 0,
        "companions": b"",
        "state": "indexed",
    }
    c.execute(
        insert(file),
        [
            {**stamp, "path": b"%03d/%07d.jpg" % (key % 1000, key), "photo_id": key, "inode": key}
            for key in keys
        ],
    )
    c.execute(
        insert(embedding),
        [
            {
                "model_id": model_id,
                "photo_id": key,
                "vector": row.astype("<f2").tobytes(),
                "revision": revision,
            }
            for key, row in zip(keys, vectors, strict=True)
        ],
    )


@contextmanager
def served(desk: Serving) -> Iterator[int]:
    """A server on a real socket; gives its port."""
    policy = Policy(frozenset({"127.0.0.1"}), "t" * 43, needs_token=False)
    with listen("127.0.0.1", 0) as listener:
        server = make_server(make_app(desk, policy), desk.stopping)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.stop()
            thread.join()


def measure(folder: Path, encoder: FakeEncoder, args: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    with serving(folder, Config(relevance=0.0)) as desk:
        began = time.monotonic()
        desk.warm_up()
        figures: dict[str, Any] = {"photos": args.photos, "dim": args.dim, "machine": describe()}
        figures["opening_s"] = round(time.monotonic() - began, 1)
        index = desk.store.vectors(desk.store.model_id(encoder.stamp), args.dim)
        queries = [encoder.encode_texts([f"{WORDS[n % 10]} {n}"])[0] for n in range(args.requests)]
        reference = percentiles([timed(lambda q=q: index.search(q, LIMIT)) for q in queries])
        figures["exact search in process, best 60"] = reference
        with served(desk) as port:
            for name, options in {
                "GET /api/search": {"all": "true"},
                "with a filter by date": {"all": "true", "after": "2020"},
                "sorted by date": {"all": "true", "sort": "newest"},
                "filters alone": {"q": "date:2020"},
            }.items():
                figures[name] = asked(port, options, args.requests, clients=1)
            many = asked(port, {"all": "true"}, args.requests, clients=args.clients)
            figures[f"GET /api/search, {args.clients} clients at once"] = many
    figures["ratio of the medians"] = round(figures["GET /api/search"]["p50_ms"] / reference["p50_ms"], 2)
    return figures


def asked(port: int, options: dict[str, str], requests: int, *, clients: int) -> dict[str, float]:
    """Percentiles of the time from a request to its whole answer."""

    def one(number: int) -> list[float]:
        connection = HTTPConnection("127.0.0.1", port, timeout=600)
        times = []
        for n in range(number, requests, clients):
            text = f"{WORDS[n % 10]} {n}" + (f" after:{options['after']}" if "after" in options else "")
            query = {"q": text, "limit": LIMIT, **{k: v for k, v in options.items() if k != "after"}}
            times.append(timed(lambda query=query: _get(connection, "/api/search?" + urlencode(query))))
        connection.close()
        return times

    with ThreadPoolExecutor(clients) as pool:
        return percentiles([each for part in pool.map(one, range(clients)) for each in part])


def _get(connection: HTTPConnection, path: str) -> None:
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, body
    assert len(json.loads(body)["results"]) == LIMIT


def timed(work: Callable[[], Any]) -> float:
    """Seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Milliseconds: the median, and what 95 % stay below."""
    p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
    return {"p50_ms": round(float(p50), 1), "p95_ms": round(float(p95), 1)}


if __name__ == "__main__":
    raise SystemExit(main())
