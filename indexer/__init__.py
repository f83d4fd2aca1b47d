"""From files to vectors: scan, compare, decode, embed, write."""
