"""The vectors of one model, and search among them: exact (`flat`), or past some size nearly so (`inverted`).

The package is the sole importer of faiss. What it saves is a cache of the catalog's embeddings.
"""

from library.vectors.files import INVERTED_MARK, MARK, TEMPORARY_SUFFIX, IndexStamp, read_stamp
from library.vectors.flat import FlatIndex
from library.vectors.inverted import InvertedIndex
from library.vectors.protocol import VectorIndex
from library.vectors.saved import read_index

__all__ = [
    "INVERTED_MARK",
    "MARK",
    "TEMPORARY_SUFFIX",
    "FlatIndex",
    "IndexStamp",
    "InvertedIndex",
    "VectorIndex",
    "read_index",
    "read_stamp",
]
