"""What people and programs do to folders of photos, at random but from a seed."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.albums import picture


@dataclass
class Disturber:
    """Does one thing after another to the files in some folders. No content comes twice but by a copy."""

    folders: list[Path]
    seed: int
    contents: int = 0
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def files(self) -> list[Path]:
        """All pictures there are."""
        return sorted(path for folder in self.folders for path in folder.rglob("*.png"))

    def place(self) -> Path:
        """A folder to put something, now and then a new one."""
        folder = self.rng.choice(self.folders)
        inner = [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]
        place = self.rng.choice(inner)
        if self.rng.random() < 0.2 and len(inner) < 30:
            place = place / f"d{self.rng.randrange(10**6)}"
            place.mkdir(exist_ok=True)
        return place

    def name(self) -> Path:
        """A free path."""
        return self.place() / f"{self.rng.randrange(10**9)}.png"

    def content(self) -> bytes:
        """A picture that was never there."""
        self.contents += 1
        return picture(10_000_000 * self.seed + self.contents)

    def write(self) -> None:
        """A new file, written in two pieces."""
        data = self.content()
        with open(self.name(), "wb") as out:
            out.write(data[:50])
            out.flush()
            out.write(data[50:])

    def write_aside(self) -> None:
        """A new file by way of a temporary name."""
        path = self.name()
        path.with_suffix(".part").write_bytes(self.content())
        os.rename(path.with_suffix(".part"), path)

    def overwrite(self) -> None:
        """Other content in the same file."""
        self._some().write_bytes(self.content())

    def replace(self) -> None:
        """Another file by the same name."""
        path = self._some()
        path.with_suffix(".tmp").write_bytes(self.content())
        os.replace(path.with_suffix(".tmp"), path)

    def move(self) -> None:
        """Another name, perhaps in another folder."""
        os.rename(self._some(), self.name())

    def copy(self) -> None:
        """The same content once more."""
        shutil.copy2(self._some(), self.name())

    def delete(self) -> None:
        """One file less."""
        self._some().unlink()

    def move_folder(self) -> None:
        """A folder with all that is in it."""
        inner = [path for folder in self.folders for path in sorted(folder.iterdir()) if path.is_dir()]
        if inner:
            target = self.rng.choice(self.folders) / f"m{self.rng.randrange(10**6)}"
            os.rename(self.rng.choice(inner), target)

    def delete_folder(self) -> None:
        """A whole tree less."""
        inner = [path for folder in self.folders for path in sorted(folder.iterdir()) if path.is_dir()]
        if len(inner) > 5:
            shutil.rmtree(self.rng.choice(inner))

    def _some(self) -> Path:
        return self.rng.choice(self.files())

    def step(self, *, most_files: int = 150) -> None:
        """One of these."""
        count = len(self.files())
        if count < 20:
            self.write()
            return
        actions: list[tuple[Callable[[], None], int]] = [
            (self.write, 6 if count < most_files else 0),
            (self.write_aside, 3 if count < most_files else 0),
            (self.overwrite, 3),
            (self.replace, 2),
            (self.move, 5),
            (self.copy, 2 if count < most_files else 0),
            (self.delete, 3),
            (self.move_folder, 1),
            (self.delete_folder, 1),
        ]
        self.rng.choices([action for action, _ in actions], [weight for _, weight in actions])[0]()
