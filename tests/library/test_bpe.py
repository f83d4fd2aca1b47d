"""The tokenizer beside open_clip's own: the same tokens for whatever text, with both vocabularies."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from library.bpe import BpeTokenizer
from library.presets import BUILTIN_FOLDER
from library.textual_export import PROBES

tokenizer = pytest.importorskip("open_clip.tokenizer")

BUILTIN_VOCABULARY = next(BUILTIN_FOLDER.glob("bpe_*.txt.gz"))
# What trips tokenizers: specials, HTML, endings, broken encodings, joined letters, signs that fold to several.
HARD = (
    "<start_of_text>",
    "<END_OF_TEXT>",
    "&amp;lt;",
    "it's'll've",
    "â€œ",
    "\ufb03",
    "ſS",
    "İ",
    "\x1b[31m",
    "\u2028",
    "ß",
    "K",
)


class Pair:
    """Ours and open_clip's on one vocabulary."""

    def __init__(self, vocabulary: Path, context: int) -> None:
        self.ours = BpeTokenizer(vocabulary, context)
        self.theirs: Any = tokenizer.SimpleTokenizer(bpe_path=str(vocabulary), context_length=context)

    def check(self, texts: list[str]) -> None:
        ours, theirs = self.ours(texts), self.theirs(texts).numpy()
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs), texts


@pytest.fixture(scope="module", params=["openai", "builtin"])
def pair(request: pytest.FixtureRequest) -> Pair:
    if request.param == "openai":
        return Pair(Path(tokenizer.default_bpe()), 77)
    return Pair(BUILTIN_VOCABULARY, 32)


def test_the_probes_have_the_same_tokens(pair: Pair) -> None:
    pair.check(list(PROBES))
    assert pair.ours([]).shape == (0, pair.ours.context)


@given(
    text=st.one_of(
        st.text(),
        st.text("abcdefgh 'tsrevml&;<>_.,!?0123456789"),
        st.lists(st.sampled_from(HARD)).map("".join),
    )
)
@example(text="\x7f\x00a")
@example(text="don't &amp; won't")
def test_any_text_has_the_same_tokens(pair: Pair, text: str) -> None:
    pair.check([text])


def test_plain_words_load_no_packages_for_repairs(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ftfy", None)
    assert pair.ours(["A dog, it's 2 years old!"]).any()
    with pytest.raises(ImportError):
        pair.ours(["žlutý pes"])


def test_a_file_that_is_no_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.txt.gz"
    path.write_bytes(b"not compressed")
    with pytest.raises(OSError, match="gzip"):
        BpeTokenizer(path, 8)
    path.write_bytes(gzip.compress(b"title\n\xff\xff"))
    with pytest.raises(ValueError, match="utf-8"):
        BpeTokenizer(path, 8)
