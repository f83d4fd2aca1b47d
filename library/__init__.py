"""The photo library on disk, and what the other packages share: configuration, catalog, vectors, models, pictures."""
