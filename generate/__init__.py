"""Painting new pictures from words with VQGAN and CLIP. An iterator of steps; whoever calls it saves."""
