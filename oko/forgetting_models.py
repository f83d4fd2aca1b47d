"""`oko forget --model`: the vectors of a model that is used no more, or of older weights, make room."""

from __future__ import annotations

import argparse
import json

from library.errors import UsageError
from library.overview import ModelUse, look_over
from library.store import Store
from oko import assemble, exits
from oko.aligned import count, size
from oko.context import Context
from oko.forgetting import TRACES, confirmed, require_answer
from oko.searching import status
from oko.status import model_names


def forget(context: Context, args: argparse.Namespace) -> int:
    """The whole command."""
    if args.paths or args.missing or args.older_than or args.include_offline:
        raise UsageError("--model stands alone: it is about vectors, not about files")
    require_answer(args)
    if args.dry_run:
        with assemble.reading(context.folder, context.config) as store:
            return _report(context, args, _chosen(store, args.model), planned=True)
    with assemble.writing(context.folder, context.config, purpose=context.purpose) as store:
        model = _chosen(store, args.model)
        if not (args.yes or confirmed(context, [f"  {_summary(args.model, model)}."])):
            context.note("Nothing was deleted.")
            return exits.DONE
        with status(context, "Forgetting"):
            _, is_clean = store.forget_model(model.id)
    return _report(context, args, model, is_clean=is_clean)


def _chosen(store: Store, name: str) -> ModelUse:
    """The model that `oko status` calls so. Raises UsageError for one that is not there, or is the library's own."""
    models = look_over(store).models
    found = dict(zip(model_names(models), models, strict=True))
    if name not in found:
        there = ", ".join(found) or "no model"
        raise UsageError(f"the library has no vectors made by {name}; it has those of {there}")
    if found[name].is_library_model:
        raise UsageError(
            f"{name} is the model that this library searches with",
            hint="Have its photos read by another one first (oko index --model NAME), or delete the library's folder.",
        )
    return found[name]


def _summary(name: str, model: ModelUse) -> str:
    room = size(model.vectors_bytes + model.index_bytes)
    return f"{count(model.photos, 'vector')} made by {name}, {room}; all photos, tags and decisions stay"


def _report(
    context: Context,
    args: argparse.Namespace,
    model: ModelUse,
    *,
    planned: bool = False,
    is_clean: bool = True,
) -> int:
    if args.json:
        told = {"planned": planned, "model": args.model, "vectors": model.photos, "traces_removed": is_clean}
        context.result(json.dumps(told, indent=2))
    else:
        verb = "Would forget" if planned else "Forgotten:"
        context.result(f"{verb} {_summary(args.model, model)}.")
        if not is_clean:
            context.note(TRACES)
    return exits.DONE if is_clean else exits.FAILED
