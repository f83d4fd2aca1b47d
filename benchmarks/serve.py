"""How long `GET /api/search` takes in a large library, next to exact search in the same process.

usage: python -m benchmarks.serve [--photos 1000000] [--dim 512] [--requests 200] [--folder DIR]

The library is that of benchmarks.million (pictures and texts from one generator, no file is ever read), and may be the
same folder: --folder DIR/1000000. The encoder only looks a text's vector up, so what is measured is everything but the
model: parsing, ranking, filters, the page's rows, JSON, HTTP over a real socket. Reference: the 60 best by FAISS's flat
index of the same vectors as float32.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks.machine import describe, write
from benchmarks.million import built, percentiles, reference
from benchmarks.synthetic import World, WorldEncoder
from benchmarks.synthetic_library import fill, since
from library.config import Config
from library.models import Registry
from oko import assemble
from oko.web.access import Policy
from oko.web.app import make_app
from oko.web.connections import listen, make_server
from oko.web.serving import Serving, serving

RESULTS = Path(__file__).parent / "results" / "serve.json"
LIMIT = 60  # what the page asks for
# What is asked for, {} being words that are new each time.
QUESTIONS = {
    "GET /api/search": {"q": "{}"},
    "with what lies below the relevance line": {"q": "{}", "all": "true"},
    "with a filter by date that keeps 10 %": {"q": f"{{}} after:{since(0.1)}", "all": "true"},
    "sorted by date": {"q": "{}", "all": "true", "sort": "newest"},
    "a filter alone": {"q": f"after:{since(0.5)}"},
    "all photos, as the page begins": {"q": ""},
}


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--folder", type=Path, help="keep the library here, and take it if it is there")
    args = parser.parse_args()
    encoder = WorldEncoder(World(args.dim))
    assemble.make_encoder = lambda spec, config: encoder  # type: ignore[assignment, return-value]
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary, "library")
        prepare(folder, encoder, args.photos)
        figures = measure(folder, encoder, args)
    print(json.dumps(figures, indent=2))
    write(RESULTS, figures)
    return 0


def prepare(folder: Path, encoder: WorldEncoder, photos: int) -> None:
    """The library, its index, and a model of that name for the server to choose."""
    fill(folder, encoder.world, encoder.stamp, photos)
    built(folder, encoder, rebuild=False)
    registry = Registry(folder)
    if encoder.stamp.name not in {spec.name for spec in registry.list()}:
        weights = folder / "weights.pt"
        weights.write_bytes(b"not read")
        registry.add(encoder.stamp.name, arch="ViT-B-32", weights=weights, check=lambda spec: None)


def measure(folder: Path, encoder: WorldEncoder, args: argparse.Namespace) -> dict[str, Any]:
    """All figures, in milliseconds."""
    figures: dict[str, Any] = {"photos": args.photos, "dim": args.dim, "machine": describe()}
    with serving(folder, Config()) as desk:
        began = time.monotonic()
        desk.warm_up()
        figures["opening_s"] = round(time.monotonic() - began, 2)
        queries = encoder.world.queries(50, seed=1_000_000)
        figures["exact search in process"] = reference(desk.store, encoder, queries, limit=LIMIT)
        with served(desk) as port:
            for name, question in QUESTIONS.items():
                figures[name] = asked(port, question, args.requests, clients=1)
            name = f"GET /api/search, {args.clients} clients at once"
            figures[name] = asked(port, QUESTIONS["GET /api/search"], args.requests, clients=args.clients)
    exact, served_ms = figures["exact search in process"]["p50_ms"], figures["GET /api/search"]["p50_ms"]
    figures["times as fast as exact search"] = round(exact / served_ms, 2)
    return figures


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


def asked(port: int, question: dict[str, str], requests: int, *, clients: int) -> dict[str, float]:
    """Percentiles of the time from a request to its whole answer, and of the photos that were sent."""

    def one(first: int) -> tuple[list[float], int]:
        connection = HTTPConnection("127.0.0.1", port, timeout=600)
        times, photos = [], 0
        for number in range(first, requests, clients):
            query = {**question, "q": question["q"].format(f"thing {number}"), "limit": LIMIT}
            began = time.perf_counter()
            photos += len(_get(connection, "/api/search?" + urlencode(query))["results"])
            times.append(time.perf_counter() - began)
        connection.close()
        return times, photos

    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(one, range(clients)))
    answers = sum(photos for _, photos in found) / requests
    return {**percentiles([each for times, _ in found for each in times]), "photos": round(answers, 1)}


def _get(connection: HTTPConnection, path: str) -> Any:
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, body
    return json.loads(body)


if __name__ == "__main__":
    raise SystemExit(main())
