"""Labels and tags of an open library, from Python. The examples are run by the tests, as in oko/api.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from library.encoder import Encoder
from library.errors import UsageError
from library.prompts import DEFAULT_TEMPLATES
from library.records import Label, SearchResult, Tag
from library.store import Store
from oko import assemble, deciding, tagging
from oko.deciding import Decision
from oko.labels import LabelVectors, read_labels
from oko.opened import OpenedLibrary, Photo, Photos, Picture, key_of, keys_of
from oko.tagging import TagRow
from search.classify import Classifier
from search.stored import vectors_of
from search.tagger import TagReport

F32 = NDArray[np.float32]


class LabelledLibrary(OpenedLibrary):
    """The part of `oko.api.Library` that says what photos show."""

    # Labels

    @overload
    def classify(  # type: ignore[overload-overlap]  # a text is a path, not pictures that are letters
        self,
        image: Picture | int | SearchResult,
        labels: str | Sequence[str],
        *,
        top: int = 3,
        templates: Sequence[str] = (),
        independent: bool = False,
    ) -> list[Label]: ...
    @overload
    def classify(
        self,
        image: Iterable[Picture | int | SearchResult],
        labels: str | Sequence[str],
        *,
        top: int = 3,
        templates: Sequence[str] = (),
        independent: bool = False,
    ) -> list[list[Label]]: ...
    def classify(
        self,
        image: Picture | int | SearchResult | Iterable[Picture | int | SearchResult],
        labels: str | Sequence[str],
        *,
        top: int = 3,
        templates: Sequence[str] = (),
        independent: bool = False,
    ) -> list[Label] | list[list[Label]]:
        """The most probable of the labels for a picture, with their probabilities; of several pictures a list each.

        >>> [label.name for label in library.classify(photos / "red.png", ["blue", "red", "green"], top=1)]
        ['red']
        >>> both = library.classify(library.search("type:png", sort="oldest")[1:], "red, green, blue")
        >>> [labels[0].name for labels in both]
        ['green', 'blue']

        Photos of the library, by id or result, are not read: their vectors are there. `labels` exclude each other
        unless `independent`. `templates` are sentences with {} in the label's place. There need be no library.
        """
        is_one = isinstance(image, (str, Path, Image.Image, int, SearchResult))
        images: list[Any] = [image] if is_one else list(image)  # type: ignore[arg-type]
        with self._warm.reading_if_there() as store:
            _, encoder = self._warm.model(store)
            chosen = templates or self.config.prompt_templates or DEFAULT_TEMPLATES
            classifier = Classifier(
                encoder,
                read_labels(labels, None) if isinstance(labels, str) else labels,
                templates=chosen,
                independent=independent,
                embed=LabelVectors(self._context, store, encoder, chosen),
            )
            found = classifier.best(self._vectors(store, encoder, images), top) if images else []
        return found[0] if is_one else found

    def _vectors(self, store: Store | None, encoder: Encoder, images: Sequence[Any]) -> F32:
        """(n, D) float32, L2 norm 1: those of the library's photos as it has them, the others made here."""
        found = np.zeros((len(images), encoder.stamp.dim), np.float32)
        places = [at for at, each in enumerate(images) if isinstance(each, (int, SearchResult))]
        if places:
            if store is None:
                raise UsageError("there is no library to have these photos", hint="Index some: oko index")
            keys = [key_of(images[at]) for at in places]
            found[places] = vectors_of(store, encoder.stamp)([int(key) for key in keys])
        rest = [at for at in range(len(images)) if at not in set(places)]
        for start in range(0, len(rest), self.config.batch_size):
            part = rest[start : start + self.config.batch_size]
            pixels = [encoder.prepare(assemble.as_picture(images[at], self.config)) for at in part]
            found[part] = encoder.encode_images(np.stack(pixels))
        return found

    # Tags

    def tag(self) -> TagReport:
        """Suggest tags for every photo anew, from the stored vectors. What people decided stays.

        >>> library.tag().photos
        4
        """
        with self._warm.writes:
            return tagging.tag_library(self._context, model=lambda: self.encoder)[0]

    def accept(self, tag: str, photos: Photos) -> Decision:
        """The tag is right for these photos. A name that no tag has makes a new one.

        >>> library.accept("holiday", photos / "blue.png").is_new
        True
        >>> [photo.path.name for photo in library.search("tag:holiday")]
        ['blue.png']

        Raises UsageError for a photo that the library does not have; then nothing is written.
        """
        with self._warm.reading() as store:
            return deciding.decide_in(store, self.config, tag, keys_of(photos), accept=True)

    def reject(self, tag: str, photos: Photos) -> Decision:
        """The tag is wrong for these photos. Raises UsageError for a tag that there is not, naming the nearest."""
        with self._warm.reading() as store:
            return deciding.decide_in(store, self.config, tag, keys_of(photos), accept=False)

    def undecide(self, tag: str, photos: Photos) -> Decision:
        """Take back what was decided: the tag is suggested again where a model had suggested it, else it goes."""
        with self._warm.reading() as store:
            return deciding.clear_in(store, self.config, tag, keys_of(photos))

    def learn(self, tag: str, photos: Photos = ()) -> TagReport:
        """Teach a tag by examples (folders stand for all photos below), and suggest it for the others.

        >>> library.learn("my scarf", photos / "red.png").learned
        1

        Without any it is learned from what is confirmed already. Takes it back: `unlearn`.
        """
        with self._warm.writes:
            return tagging.learn(self._context, tag, keys_of(photos), model=lambda: self.encoder)[2]

    def unlearn(self, tag: str) -> None:
        """Forget that a tag was taught: its suggestions go, what is confirmed stays."""
        with self._warm.writes:
            deciding.unlearn(self._context, tag)

    def tags(self, photo: Photo) -> tuple[Tag, ...]:
        """Every tag of a photo, confirmed ones first, then suggested, then rejected ones.

        >>> _ = library.accept("holiday", photos / "red.png")
        >>> library.tags(photos / "red.png")
        (Tag(name='holiday', score=None, state='confirmed'),)
        """
        with self._warm.reading() as store:
            found = tagging.tagged_photos(store, keys_of(photo))
        return found[0].tags if found else ()

    def all_tags(self) -> list[TagRow]:
        """Every tag of the vocabulary and of the library, with how many photos have it in which state."""
        with self._warm.reading_if_there() as store:
            return tagging.tag_rows(store, tagging.vocabulary_of(self.config))

    def favour(self, photos: Photos, *, is_favourite: bool = True) -> None:
        """Make photos favourites, or none.

        >>> library.favour([photos / "red.png", photos / "blue.png"])
        >>> library.search("is:favourite").total
        2
        """
        with self._warm.reading() as store:
            store.set_favourite(list(deciding.find_photos(store, keys_of(photos))), is_favourite)
