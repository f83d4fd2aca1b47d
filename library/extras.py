"""The optional packages that some things need, by the name of their extra in pyproject.toml."""

PACKAGES = {
    "heic": "pillow-heif",
    "raw": "rawpy",
    "export": "pyarrow",
    "hub-tokenizers": "transformers",
    "train": "matplotlib tokenizers transformers",
}


def how_to_install(extra: str) -> str:
    """The command that installs what an extra stands for, whatever way oko itself was installed."""
    return f"pip install {PACKAGES[extra]}"
