"""Which pictures are kept for measuring, and so never trained on."""

from __future__ import annotations

import hashlib

HELD_OUT_SHARE = 10  # one in so many


def is_held_out(key: str) -> bool:
    """Whether the picture with this key in its shard is measured on and never trained on: a tenth of them.

    The rule is the same for every shard, so that one picture in two shards under one key is on one side.
    """
    return int(hashlib.sha256(key.encode()).hexdigest(), 16) % HELD_OUT_SHARE == 0
