"""Painting new pictures from words with VQGAN and CLIP. Nothing of it is written yet; it will live here."""
