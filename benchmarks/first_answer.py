"""How soon a search in words is answered: by a program that is just started, beside rclip, and by a running server.

usage: python -m benchmarks.first_answer [--photos DIR] [--rclip FILE --peer DIR] [--runs 11] [--count 300]

Cold: no server runs, each query is a process of its own, the two programs taking turns; files are in the page cache
for both. --rclip is rclip's program, --peer a folder with the same weights in both forms: see benchmarks/rclip.py.
Both have indexed the same copies of the photos (JPEGs below DIR, else made from the shards in --data).
With a server: `oko serve` runs, and the floor is what Python needs to start and end with nothing to do.
Without --rclip only oko is timed, with the built-in model.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.machine import describe, write
from benchmarks.photos import enlarged
from benchmarks.rclip import ARCH, Oko, make_oko, make_rclip

RESULTS = Path(__file__).parent / "results" / "first_answer.json"
QUERIES = ("a dog", "two people at a table", "a red car", "snow on a mountain", "food on a plate")
SIZE = (500, 375)
FLOORS = {"python": ["-c", "pass"], "python -I": ["-I", "-c", "pass"]}
START_S = 60.0


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder of photos; copies are indexed")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--count", type=int, default=300, help="how many photos")
    parser.add_argument("--rclip", type=Path, help="rclip's program, in an environment of its own")
    parser.add_argument("--peer", type=Path, help="the same weights for both")
    parser.add_argument("--runs", type=int, default=11)
    args = parser.parse_args()
    if (args.rclip is None) != (args.peer is None):
        parser.error("--rclip and --peer go together")
    with tempfile.TemporaryDirectory(prefix="oko-benchmark-") as temporary:
        figures = measure(Path(temporary), args)
    print(json.dumps({name: value for name, value in figures.items() if name != "runs_s"}, indent=2))
    write(RESULTS, figures)
    return 0


def measure(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """All figures; `folder` is for what is needed on the way."""
    photos = folder / "photos"
    if args.photos:
        copies(args.photos, photos, args.count)
    else:
        enlarged(args.data, photos, count=args.count, size=SIZE)
    oko = make_oko(args.peer, folder / "library") if args.peer else Oko(folder / "library", {})
    oko.run("index", photos, "--model", "peer" if args.peer else "builtin")
    contenders: dict[str, Callable[[str], float]] = {"oko": lambda query: asked(oko, query)}
    if args.rclip:
        rclip = make_rclip(str(args.rclip), args.peer, folder / "rclip")
        rclip.index(photos)
        contenders["rclip"] = lambda query: rclip.search(photos, query)
    runs = {f"cold, {name}": times for name, times in in_turns(contenders, args.runs).items()}
    with server(oko):
        warm = {"oko": lambda query: asked(oko, query)}
        warm |= {name: floor(arguments) for name, arguments in FLOORS.items()}
        runs |= {f"server, {name}": times for name, times in in_turns(warm, args.runs).items()}
    middle = {name: round(statistics.median(times), 4) for name, times in runs.items()}
    figures: dict[str, Any] = {"photos": args.count, "model": ARCH if args.peer else "builtin"}
    if args.rclip:
        figures["ratio_to_rclip"] = round(middle["cold, rclip"] / middle["cold, oko"], 2)
    figures |= {"median_s": middle, "runs_s": runs, "load": os.getloadavg()}
    print(f"{describe()}, {args.count} photos, {figures['model']}, {args.runs} runs each", file=sys.stderr)
    return figures


def copies(source: Path, folder: Path, count: int) -> None:
    """`count` of the JPEGs below `source`, beside each other. Raises SystemExit when there are fewer."""
    folder.mkdir(parents=True)
    found = sorted(source.rglob("*.jpg"))[:count]
    if len(found) < count:
        raise SystemExit(
            f"there are only {len(found)} JPEGs below {source}; take fewer: --count {len(found)}"
        )
    for number, path in enumerate(found):
        shutil.copy(path, folder / f"{number:06}.jpg")


def in_turns(contenders: Mapping[str, Callable[[str], float]], runs: int) -> dict[str, list[float]]:
    """Seconds of each run of each; one more before them warms what the system keeps."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(runs + 1):
        for name, ask in contenders.items():
            seconds = ask(QUERIES[number % len(QUERIES)])
            if number:
                found[name].append(seconds)
    return found


def asked(oko: Oko, query: str) -> float:
    """Seconds of one `oko search`, the process included."""
    return oko.run("search", "--all", "--paths", "-k", "10", query)


def floor(arguments: Sequence[str]) -> Callable[[str], float]:
    """What runs Python with nothing to do."""

    def run(query: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True)
        return time.perf_counter() - started

    return run


@contextmanager
def server(oko: Oko) -> Iterator[None]:
    """`oko serve`, which has answered its first query in words."""
    command = [sys.executable, "-m", "oko", "serve", "--port", "0", "--library", str(oko.library)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_S
        while not _answers(oko.library):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("oko serve did not start")
            time.sleep(0.1)
        asked(oko, "warm")
        time.sleep(2)  # it loads the rest of its model meanwhile
        yield
    finally:
        process.terminate()
        process.wait(timeout=START_S)


def _answers(library: Path) -> bool:
    """Whether the server has written where it is, and greets."""
    try:
        url = json.loads((library / "server.json").read_text())["url"]
        with urllib.request.urlopen(f"{url}/api/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, KeyError):
        return False


if __name__ == "__main__":
    sys.exit(main())
