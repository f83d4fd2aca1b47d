"""The whole recipe: eight steps in their order, each kept in the work folder, so that a rebuild goes on from there."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from library.clip import ClipModel, blank_clip
from library.weights import WEIGHTS_FILES, write_atomically
from training.average import Tensors
from training.journal import Journal
from training.photos import Problem
from training.recipe import distil, head, joint, result, starts, tail
from training.recipe.corpus import Corpus, english_groups, make_corpus, with_languages
from training.recipe.features import FeatureMaker, Features, Trunk
from training.recipe.loop import Course, Trainee, finished, journal_of, train
from training.recipe.material import Material, read_material
from training.recipe.names import Names, make_names
from training.recipe.pairs import Held, Pairs, make_held, make_pairs, sentence_table
from training.recipe.settings import RecipeSettings
from training.recipe.texttower import encode_texts, text_tensors, text_vectors
from training.recipe.vocabulary import learn_merges, vocabulary_texts, write_blank
from training.recipe.wordnet import FOLDER as WORDNET
from training.recipe.workshop import Workshop, key_of
from training.run import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where everything lies: `data` with the shards, `starts` with the two packages, `out` for the model."""

    data: Path
    starts: Path
    out: Path
    work: Path
    wordnet: Path = WORDNET


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What came of it: the model's folder, its figures on held-out photos, and what was passed over."""

    folder: Path
    figures: dict[str, Any]
    problems: list[Problem]
    seconds: float


@dataclass
class Rebuild:
    """One rebuild: make it and `run()`, after an interruption once more."""

    places: Places
    settings: RecipeSettings
    told: Callable[[Progress], None] = lambda progress: None
    _journals: dict[str, Journal] = field(default_factory=dict)

    def run(self) -> Rebuilt:
        """All that is left to do; the folder is complete when this returns.

        Raises UsageError (something is missing or does not fit), MissingExtra (a package for training), ModelError (a
        loss is no number), WeightsInvalid, DiskFull.
        """
        began = time.monotonic()
        _ = (
            self.material,
            self._teacher,
            self._trunk_file,
        )  # what is missing is said before anything is computed
        clip = self._text_tower()
        parts = self._image_head()
        reader = self._train_both(clip, parts)
        tuned = self._unfrozen(clip, parts, reader) if self.settings.tail_steps else {}
        result.assemble(clip, {**self._trunk_weights, **tuned}, parts.head, parts.log_scale)
        saved = result.save_and_load(clip, self.places.out)
        figures = result.measure_model(saved, self.material, self._english, self.settings, self._workshop)
        seconds = time.monotonic() - began
        self._write(figures, seconds)
        return Rebuilt(self.places.out, figures, self.material.problems, seconds)

    @cached_property
    def material(self) -> Material:
        """Everything it is made from."""
        return read_material(self.places.data, self.places.wordnet, self.settings)

    @cached_property
    def _workshop(self) -> Workshop:
        return Workshop(self.places.work, self.told)

    @property
    def _unpacked(self) -> Path:
        return self.places.work / "starts"

    # 1. The vocabulary.

    @cached_property
    def _words_key(self) -> str:
        return key_of("words", self.settings.part("data", "words"), self.material.digest)

    @cached_property
    def _blank(self) -> Path:
        """A folder with configuration and vocabulary."""

        def make() -> dict[str, Any]:
            texts = vocabulary_texts(self.material, self.settings)
            size, least = self.settings.words_size, self.settings.words_least
            return {"merges": learn_merges(texts, size=size, least=least)}

        self.told(Progress("words", 0, 1))
        merges = self._workshop.kept("words", self._words_key, make)["merges"]
        self.told(Progress("words", 1, 1))
        settings = self.settings.part("text", "trunk")
        folder = self.places.work / f"blank-{key_of(self._words_key, settings)}"
        return write_blank(folder, merges, self.settings)

    # 2. The teacher's vectors.

    @cached_property
    def _teacher(self) -> tuple[starts.Teacher, str]:
        package = starts.find_package(self.places.starts, starts.TEACHER, self._unpacked)
        teacher = starts.Teacher(package, self.settings)
        return teacher, _digest_of(teacher.folder / "model.safetensors")

    @cached_property
    def _english(self) -> Corpus:
        teacher, digest = self._teacher
        groups = english_groups(self.material, self.settings)
        return make_corpus(groups, teacher, digest, self.settings, self._workshop)

    @cached_property
    def _corpus(self) -> Corpus:
        return with_languages(self._english, self.material)

    @cached_property
    def _corpus_key(self) -> str:
        parts = self.settings.part("data", "words", "teacher")
        return key_of("corpus", parts, self.material.digest, self._teacher[1])

    # 3. The text tower.

    @cached_property
    def _text_key(self) -> str:
        return key_of("text", self._corpus_key, self.settings.part("text"))

    def _text_tower(self) -> ClipModel:
        """The model with a trained text tower; the image tower is untouched."""
        torch.manual_seed(self.settings.seed)
        clip = blank_clip(self._blank)
        course = Course("text", self._text_key, self.settings.text_steps, self.settings.seed)
        if not finished(text_tensors(clip), course, self._workshop):
            lesson = distil.make_lesson(clip, self._corpus, self.settings)
            distil.start_embeddings(clip.module, lesson, std=self.settings.text_embedding_std)
            trainee = distil.make_trainee(clip, lesson, self._corpus, self.material, self.settings)
            train(trainee, course, self._workshop)
        self._journals["text"] = journal_of(course, self._workshop)
        return clip

    # 4. The trunk's features.

    @cached_property
    def _trunk_file(self) -> Path:
        package = starts.trunk_package(self.settings)
        return starts.trunk_file(starts.find_package(self.places.starts, package, self._unpacked))

    @cached_property
    def _trunk_weights(self) -> Tensors:
        return starts.read_trunk(self._trunk_file, starts.trunk_name(self.settings))

    @cached_property
    def _trunk_digest(self) -> str:
        return _digest_of(self._trunk_file)

    @cached_property
    def _features(self) -> dict[str, Features]:
        settings, shards = self.settings, self.material.shards
        trunk = Trunk(self._trunk_weights, settings)
        maker = FeatureMaker(blank_clip(self._blank), trunk, self._trunk_digest, settings)
        views = {name: settings.view_count for name, _ in settings.data_photos}
        views = {settings.data_classes: 1, settings.data_labels: settings.view_count_labels, **views}
        views = {**dict.fromkeys(settings.data_pool, 1), **views}
        wanted = {name for name, _ in settings.data_photos} if settings.tail_steps else set()
        found = {
            name: maker.of(shards[name], count, self._workshop, keeps_middle=name in wanted)
            for name, count in views.items()
        }
        for name, features in found.items():
            names = [shards[name].photos[row].source.name for row in sorted(features.bad)]
            self.material.problems.extend(Problem(bad, "it cannot be read") for bad in names)
        return found

    # 5. The image head.

    @cached_property
    def _head_key(self) -> str:
        parts = self.settings.part("data", "teacher", "trunk", "view", "head", "names")
        sizes = [self.settings.text_embed_dim, self.settings.tail_from_block]
        return key_of("head", parts, sizes, self._corpus_key, self._trunk_digest)

    @cached_property
    def _pairs(self) -> Pairs:
        return make_pairs(self.material, self._features, self.settings)

    @cached_property
    def _held(self) -> Held:
        return make_held(self.material, self._features, self.settings)

    @cached_property
    def _names(self) -> Names:
        trunk, corpus = self._trunk_weights, self._corpus
        return make_names(trunk, corpus, self.material, self._features, self.settings)

    def _image_head(self) -> head.HeadParts:
        """Head, turned sentences and scale, trained."""
        settings, pairs = self.settings, self._pairs
        parts = head.make_parts(pairs.features.shape[-1], settings)
        trainee = head.make_trainee(parts, pairs, self._sentences(), self._names, self._held, settings)
        steps = pairs.steps(settings.head_epochs, pairs.batch(settings.head_batch))
        self._train(trainee, Course("head", self._head_key, steps, settings.seed))
        return parts

    def _sentences(self) -> head.Sentences:
        table, vectors = sentence_table(self._pairs, self._corpus, self.settings)
        asked = self._corpus["measured"]
        place = {text: row for row, text in enumerate(asked.texts)}
        rows = [place[text] for text in self._held.texts["captions"]]
        return head.Sentences(table, vectors, asked.vectors[rows].float())

    def _train(self, trainee: Trainee, course: Course) -> None:
        train(trainee, course, self._workshop)
        self._journals[course.name] = journal_of(course, self._workshop)

    # 6. Both together.

    @cached_property
    def _joint_key(self) -> str:
        return key_of("joint", self._text_key, self._head_key, self.settings.part("joint"))

    def _train_both(self, clip: ClipModel, parts: head.HeadParts) -> joint.Reader:
        """Text tower and head learn together; `clip` and `parts` then are those of the end."""
        settings, pairs = self.settings, self._pairs
        reader = joint.make_reader(clip, pairs, self._corpus, self.material, parts.sentences, settings)
        joint.turn_projection(clip, parts.sentences)
        both = joint.Both(clip, parts, pairs, reader, self._names, self._held)
        course = Course("joint", self._joint_key, settings.joint_steps, settings.seed + 2)
        self._train(joint.make_trainee(both, settings), course)
        return reader

    # 7. The upper blocks.

    def _unfrozen(self, clip: ClipModel, parts: head.HeadParts, reader: joint.Reader) -> Tensors:
        """The trunk's weights that have changed; the head's and the scale change in place."""
        settings, held = self.settings, self._held
        weights = (settings.tail_english, settings.tail_other, 0.0)
        _, _, choices = joint.caption_choices(self._pairs, self._corpus, self.material, settings, weights)
        phrases = {"classes": reader.classes.tokens, "labels": reader.labels.tokens}
        with torch.no_grad():
            captions = text_vectors(clip.module, reader.captions.tokens)
            names = self._names.read_by(lambda kind: text_vectors(clip.module, phrases[kind]))
        shown = tail.Middles([(settings.data_measured, row) for row in held.rows], self._features)
        whole = tail.Whole(
            tail=tail.Tail(self._trunk_weights, settings),
            head=parts.head,
            log_scale=parts.log_scale,
            pairs=self._pairs,
            choices=choices,
            captions=captions,
            names=names,
            held=held,
            held_texts={name: encode_texts(clip, lines) for name, lines in held.texts.items()},
            held_middle=shown.of(torch.arange(len(held.rows)), torch.zeros(len(held.rows), dtype=torch.long)),
        )
        key = key_of("tail", self._joint_key, settings.part("tail"))
        course = Course("tail", key, settings.tail_steps, settings.seed + 1)
        middles = tail.Middles(self._pairs.places, self._features)
        tuned = tail.train_tail(whole, middles, course, self._workshop, settings)
        self._journals["tail"] = journal_of(course, self._workshop)
        return tuned

    # 8. The folder.

    def _write(self, figures: dict[str, Any], seconds: float) -> None:
        """Figures, settings, logs and curves beside the model."""
        beside = self.places.out / "training"
        beside.mkdir(parents=True, exist_ok=True)
        for name, journal in self._journals.items():
            write_atomically(beside / f"{name}.jsonl", journal.path.read_text(encoding="utf-8"))
        facts = {
            "figures": figures,
            "settings": self.settings.as_json(),
            "data": self.material.digest,
            "trunk": self._trunk_digest,
            "teacher": self._teacher[1],
            "seconds_of_the_last_run": round(seconds, 1),
        }
        write_atomically(beside / "figures.json", json.dumps(facts, indent=1) + "\n")
        result.draw({k: v for k, v in self._journals.items() if k != "text"}, beside)


def is_finished(out: Path) -> bool:
    """Whether there is a model in a folder already."""
    return any((out / name).exists() for name in WEIGHTS_FILES)


def require_packages() -> None:
    """Raises MissingExtra before hours of work rather than after them."""
    import importlib.util

    for package in ("matplotlib", "tokenizers", "transformers"):
        if importlib.util.find_spec(package) is None:
            raise starts.missing(package)


def _digest_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
