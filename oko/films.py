"""Films of painting: frames kept as files while it lasts, then made one file by ffmpeg, or by Pillow as WebP."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from library.errors import OkoError
from library.records import display_path
from oko.paintfiles import to_image, work_folder, write_whole, writing

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

log = logging.getLogger(__name__)
SUFFIXES = (".mp4", ".webp")
_WISH = "film.json"  # in the folder of the frames: what they are to become
# In order of preference: the usual one, and those that every ffmpeg has.
_ENCODERS = (("libx264", ("-crf", "18")), ("libopenh264", ("-b:v", "4M")), ("mpeg4", ("-q:v", "3")))
_EVEN = "pad=ceil(iw/2)*2:ceil(ih/2)*2"  # the usual pixel format takes even sides only


@dataclass
class Film:
    """Frames of one run. `every` is in steps."""

    path: Path
    folder: Path
    fps: int
    every: int

    @classmethod
    def of(cls, path: Path, picture: Path, *, steps: int, seconds: float, fps: int) -> Film:
        """So many frames that they fill the seconds at that rate; fewer if there are fewer steps."""
        frames = max(1, round(min(seconds * fps, steps)))
        film = cls(path, work_folder(picture) / "frames", fps, max(1, steps // frames))
        wish = {"path": str(path.absolute()), "fps": fps, "every": film.every}
        with writing(film.folder):
            film.folder.mkdir(parents=True, exist_ok=True)
        write_whole(film.folder / _WISH, lambda new: new.write_text(json.dumps(wish), encoding="utf-8"))
        return film

    @classmethod
    def begun(cls, picture: Path) -> Film | None:
        """The film that an interrupted run had begun, to go on with; None when it made none."""
        folder = work_folder(picture) / "frames"
        try:
            wish = json.loads((folder / _WISH).read_text(encoding="utf-8"))
            return cls(Path(wish["path"]), folder, int(wish["fps"]), int(wish["every"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def add(self, step: int, picture: Tensor) -> None:
        """Keep the picture (3, H, W) of a step, if it is one of the frames'."""
        if step % self.every:
            return
        file = self.folder / f"{step // self.every:06d}.png"
        with writing(file):
            to_image(picture).save(file, compress_level=1)

    def forget_after(self, step: int) -> None:
        """Drop the frames of steps that a resumed run will paint again."""
        for file in self._files():
            if int(file.stem) * self.every > step:
                file.unlink(missing_ok=True)

    def finish(self) -> Path | None:
        """Make the film; returns its file. None without frames."""
        files = self._files()
        if not files:
            return None
        for number, file in enumerate(files):  # ffmpeg wants them without gaps
            file.rename(file.with_name(f"frame{number:06d}.png"))
        write_whole(self.path, self._encode if self.path.suffix.lower() == ".mp4" else self._animate)
        return self.path

    def _files(self) -> list[Path]:
        return sorted(file for file in self.folder.glob("*.png") if file.stem.isdecimal())

    def _encode(self, new: Path) -> None:
        common = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-framerate", str(self.fps)]
        common += ["-i", str(self.folder / "frame%06d.png"), "-vf", _EVEN]
        reason = ""
        for encoder, options in _ENCODERS:
            done = subprocess.run(
                [*common, "-c:v", encoder, *options, "-pix_fmt", "yuv420p", str(new)],
                capture_output=True,
                text=True,
            )
            if done.returncode == 0:
                return
            reason = (done.stderr.strip().splitlines() or ["it does not say why"])[-1]
            log.debug("ffmpeg with %s: %s", encoder, reason)
        raise OkoError(
            f"ffmpeg could not make {self.path}: {reason}", hint="Take .webp, which needs no ffmpeg."
        )

    def _animate(self, new: Path) -> None:
        frames = self._frames()
        next(frames).save(
            new,
            "WEBP",
            save_all=True,
            append_images=frames,
            duration=round(1000 / self.fps),
            loop=0,
            quality=85,
        )

    def _frames(self) -> Iterator[Image.Image]:
        from library import images

        for file in sorted(self.folder.glob("frame*.png")):
            data = images.read_bytes(file, max_bytes=1_000_000_000)
            yield images.decode(data, name=file.name, max_pixels=1_000_000_000).image


def place(wished: Path | None, note: Callable[[str], object]) -> Path | None:
    """Where a film wished there will be; a .webp instead of an .mp4, which is said, where there is no ffmpeg."""
    if wished is None or wished.suffix.lower() != ".mp4" or _has_ffmpeg():
        return wished
    found = wished.with_suffix(".webp")
    note(f"There is no ffmpeg, so the film will be {display_path(found)}.")
    return found


def _has_ffmpeg() -> bool:
    return shutil.which("ffmpeg") is not None
