"""oko from Python: `oko.open_library()`. The examples are run by the tests, with four small pictures in `photos`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from indexer.pipeline import IndexRun, Progress
from library.catalog import reading
from library.errors import UsageError
from library.images import decode
from library.overview import library_model
from library.records import Hit, IndexReport, PhotoFilter, SearchResult
from library.store import Store
from oko import assemble, searching
from oko.labelled import LabelledLibrary
from oko.opened import Photo, Picture, id_of
from oko.searching import Request
from oko.shown import Groups, Results
from search.duplicates import Kind, Limits, find
from search.query import parse
from search.rank import Sort

if TYPE_CHECKING:
    from generate.sampler import Step
    from oko.painting import Painted


class Library(LabelledLibrary):
    """A library with its model loaded once. Any number of threads may use it at the same time.

    Up to six of them read at once, others wait. Those that write (`index`, `tag`, `learn`) go one after the other, and
    searching goes on meanwhile; a decision about a tag is a moment's work that waits for nobody.
    """

    # Indexing

    def index(
        self,
        paths: Sequence[str | Path] = (),
        *,
        retry: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> IndexReport:
        """Index folders, or refresh all that are known; `progress` is called as the run goes on.

        >>> report = library.index([photos])
        >>> report.embedded, report.unchanged
        (0, 4)

        Raises UsageError for a folder that is not there, LibraryLocked if another process is writing.
        """
        places = [Path(path) for path in paths]
        assemble.check_paths(self.folder, self.config, places)
        purpose = f"{self._context.purpose}.index"
        with (
            self._warm.writes,
            assemble.writing(self.folder, self.config, purpose=purpose, create=bool(places)) as store,
        ):
            spec, encoder = self._warm.model(store)
            settings = assemble.index_settings(self.config, self.folder, encoder, retry=retry)
            run = IndexRun(store, encoder, settings, model_name=spec.name)
            for step in run.steps(places):
                if progress is not None:
                    progress(step)
        return run.report

    # Searching

    def search(
        self,
        text: str = "",
        *,
        image: Picture | Sequence[Picture] | None = None,
        wanted: PhotoFilter | None = None,
        sort: str | None = None,
        offset: int = 0,
        limit: int | None = None,
        top: int | None = None,
        everything: bool = False,
    ) -> Results:
        """Photos that answer words, pictures and filters; `text` is in the query language of docs/search.md.

        >>> library.search("red type:png")[0].path.name
        'red.png'
        >>> [photo.path.name for photo in library.search("type:png", sort="oldest")]
        ['red.png', 'green.png', 'blue.png']
        >>> page = library.search("green", offset=1, limit=2, everything=True)
        >>> len(page), page.total, page.cut
        (2, 4, 0)

        Of a query of filters alone every photo that passes is an answer, newest first. What lies below the relevance
        line is counted in `.cut`, and shown with `everything`. `sort`: relevance, newest, oldest, diverse. `limit` is
        the setting `top` where nothing is said; `top` is its older name.
        Raises NoLibrary before the first `index`, QueryError for a text that makes no sense, and PictureError.
        """
        query = parse(text)
        if query.is_empty and image is None and wanted is None:
            raise UsageError("there is nothing to search for", hint="Give words, a picture or a filter.")
        limit = limit if limit is not None else top
        asked = Request(
            query,
            _pictures(image),
            (wanted or PhotoFilter()) & query.wanted,
            _sort(sort) or query.sort,
            offset,
            self.config.top if limit is None else limit,
            everything,
        )
        with self._warm.reading() as store:
            return self._answer(store, asked)

    def similar(self, photo: Photo, *, limit: int | None = None, everything: bool = False) -> Results:
        """Photos that look like one of the library, itself left out: `like:ID` of the query language.

        >>> library.similar(photos / "red.png", limit=1, everything=True)[0].path.name
        'again.jpg'

        Raises UsageError for a photo that the library does not have.
        """
        limit = self.config.top if limit is None else limit
        with self._warm.reading() as store:
            own = id_of(store, photo)
            asked = Request(parse(f"like:{own}"), limit=limit + 1, everything=everything)
            found = self._answer(store, asked)
        others = tuple(result for result in found if result.id != own)
        total = found.total - (len(found) - len(others))
        return Results(others[:limit], total, found.cut, 0, found.at_least, self._thumbnails)

    def _answer(self, store: Store, asked: Request) -> Results:
        if asked.is_of_filters_alone:
            page, _ = searching.by_filters(store, self.config, asked, self._warm.filtering(store))
        else:
            encoder, searcher = self._warm.comparing(store)
            page = searching.by_likeness(store, self.config, asked, encoder, searcher)
        return Results(page.results, page.total, page.cut, page.offset, page.at_least, self._thumbnails)

    def duplicates(
        self, kinds: str | Sequence[str] = ("exact", "near"), *, folders: Sequence[str | Path] = ()
    ) -> Groups:
        """Photos that the library has more than once, the groups that take most space first. Nothing is deleted.

        >>> group, = library.duplicates()
        >>> group.kept.path.name, [each.path.name for each in group.redundant]
        ('again.jpg', ['red.png'])

        `kinds`: exact (the same content), near (the same picture saved again), similar (to the model).
        """
        names = kinds.split(",") if isinstance(kinds, str) else kinds
        unknown = [name for name in names if name not in set(Kind)]
        if unknown or not names:
            raise UsageError(
                f"there is no kind of duplicates {', '.join(unknown)}", hint="exact, near, similar"
            )
        places = tuple(Path(folder).expanduser().resolve() for folder in folders)
        with self._warm.reading() as store:
            own = library_model(store)
            limits = Limits(kinds=frozenset(map(Kind, names)), folders=places)
            return Groups(tuple(find(store, own[1] if own else None, limits)), self._thumbnails)

    # Painting

    def paint(
        self,
        prompt: str = "",
        *,
        add: bool = False,
        progress: Callable[[Step], None] | None = None,
        **options: Any,
    ) -> Painted:
        """A new picture from words, as `oko generate` paints it, which has the `options` (docs/painting.md).

            library.paint("a lake | people:-1", quality="draft", seed=7, output="lake.png").image.show()

        It is a file of its own (`.path`), and a photo of the library with `add`. `progress` is called after each step.
        Raises UsageError for what cannot be painted, ModelError, OutOfMemory, DiskFull, PictureError.
        """
        from oko import painting
        from oko.recipes import arguments

        wanted = arguments(prompt, {**options, "add": add})
        painted = painting.paint(self._context, wanted, progress or (lambda step: None))
        if add:
            with self._warm.writes:
                painted = painting.added(self._context, painted)
        return painted

    # Single photos

    def photo(self, photo: Photo) -> SearchResult:
        """What the library knows of one photo; there is nothing that it answers, so its score is 0.

        >>> found = library.photo(photos / "green.png")
        >>> found.width, found.height, found.format
        (64, 48, 'PNG')

        Raises UsageError for a photo that the library does not have.
        """
        with self._warm.reading() as store:
            key, searcher = id_of(store, photo), self._warm.filtering(store)
            found = searcher.results([Hit(key, 0.0)]) if searcher is not None else []
        if not found:
            raise UsageError(f"no file of photo {key} is known any more")
        return found[0]

    def thumbnail(self, photo: Photo) -> Image.Image:
        """The small picture that the library keeps of a photo, RGB; the photo itself need not be there.

        >>> library.thumbnail(photos / "green.png").size
        (64, 48)
        """
        with self._warm.reading() as store:
            key = id_of(store, photo)
            with store.catalog.reading() as c:
                found = reading.thumbnails(c, [key]).get(key)
        if found is None:
            raise UsageError(f"the library keeps no thumbnail of photo {key}", hint="Make it: oko doctor")
        return decode(found, name=f"photo {key}", max_pixels=self.config.max_megapixels * 1_000_000).image


def _pictures(image: Picture | Sequence[Picture] | None) -> tuple[Path | Image.Image, ...]:
    if image is None:
        return ()
    images = [image] if isinstance(image, (str, Path, Image.Image)) else image
    return tuple(each if isinstance(each, Image.Image) else Path(each) for each in images)


def _sort(name: str | None) -> Sort | None:
    try:
        return None if name is None else Sort(name)
    except ValueError:
        raise UsageError(f"there is no order {name!r}", hint=", ".join(Sort)) from None
