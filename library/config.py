"""Configuration: one settings table (the fields of `Config`) that drives files, environment, flags and docs.

Strongest first: flags, `OKO_*` variables, the file given by `--config`, `config.toml` in the library
folder, defaults. A file that merely lies in the current folder is never read.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from library.errors import ConfigError, LibraryUnreadable

ENVIRONMENT_PREFIX = "OKO_"
# Variables with the prefix that are not settings.
NOT_SETTINGS = frozenset({"OKO_HOME", "OKO_CONFIG"})
TEST_PREFIX = "OKO_TEST_"


def setting(
    default: Any,
    help: str,
    *,
    unit: str = "",
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
) -> Any:
    """One row of the settings table."""
    row = {"help": help, "unit": unit, "choices": choices, "least": least, "most": most}
    return field(default=default, metadata=row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting of oko. A changed copy is a new object: `dataclasses.replace(config, ...)`."""

    model: str = setting(
        "auto",
        "Which CLIP model makes the vectors: auto, builtin, fast, balanced, best, multilingual, ARCH/PRETRAINED, "
        "hf-hub:ORG/NAME, or a name given to `oko models add`. auto keeps the model the library already has; a new "
        "library gets the recommended preset if its weights are on this machine, else builtin. It never downloads.",
    )
    device: str = setting(
        "auto",
        "Where the model runs. auto takes CUDA, then Apple's MPS, then the processor.",
        choices=("auto", "cpu", "cuda", "mps"),
    )
    precision: str = setting(
        "auto",
        "Number format of the model. auto takes what is fastest at the same quality on this device.",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    batch_size: int = setting(
        32, "Photos per step of the model, and per write to the catalog.", unit="photos", least=1, most=4096
    )
    decode_workers: int = setting(
        0,
        "Threads that read and decode photos. 0 means one per processor core.",
        unit="threads",
        least=0,
        most=256,
    )
    max_megapixels: int = setting(
        300,
        "Pictures with more pixels than this are recorded as unreadable.",
        unit="megapixels",
        least=1,
        most=10_000,
    )
    max_file_mb: int = setting(
        500, "Files larger than this are recorded as unreadable.", unit="MB", least=1, most=100_000
    )
    reduced_decoding: bool = setting(
        True, "Decode large JPEGs at a reduced scale: several times faster, vectors practically the same."
    )
    thumbnail_px: int = setting(
        256, "Longer side of the thumbnails kept in the library.", unit="pixels", least=32, most=1024
    )
    include: tuple[str, ...] = setting(
        (), 'Index only files matching one of these patterns, such as "*.jpg" or "2024/**". Empty means all.'
    )
    exclude: tuple[str, ...] = setting(
        (), "Skip files and folders matching one of these patterns, as in .gitignore."
    )
    include_hidden: bool = setting(False, "Index hidden files and folders (names that begin with a dot) too.")
    follow_symlinks: bool = setting(False, "Follow symbolic links to files and folders. Loops are survived.")
    top: int = setting(20, "How many results a search shows.", unit="photos", least=1, most=1_000_000)
    relevance: float = setting(
        0.5,
        "Photos whose relevance to the query is below this are not shown, but by --all. 0 shows everything.",
        least=0,
        most=0.999,
    )
    prompt_templates: tuple[str, ...] = setting(
        (),
        "Prompt templates of `oko classify`, such as "
        '"a photo of a {}"; {} is the label. Empty means the shipped eleven.',
    )
    tags: tuple[str, ...] = setting(
        (),
        'Changes to the tags that are suggested: "NAME" or "NAME: a sentence; another" adds one, "-NAME" leaves '
        'one out, "-*" leaves out all that oko brings.',
    )
    tags_file: str = setting(
        "", "A TOML file with tags of your own, in the form of library/vocabulary.toml. Empty means none."
    )
    tag_threshold: float = setting(
        0.5,
        "Tags whose score is at least this are suggested. Higher means fewer and surer.",
        least=0.01,
        most=0.999,
    )
    watch_method: str = setting(
        "auto",
        "How `oko watch` learns of changes. auto takes the system's events, and looks now and then where a drive sends "
        "none; poll only looks.",
        choices=("auto", "events", "poll"),
    )
    watch_settle_s: float = setting(
        0.5,
        "How long a file must be left alone after its writer closed it before it is read.",
        unit="seconds",
        least=0.05,
        most=3600,
    )
    watch_poll_s: float = setting(
        30.0,
        "How often `oko watch` looks where no events come from; less often where a look takes long.",
        unit="seconds",
        least=0.5,
        most=86_400,
    )
    watch_rescan_min: float = setting(
        60.0,
        "How often `oko watch` looks at everything, should an event have been lost.",
        unit="minutes",
        least=0.01,
        most=100_000,
    )
    watch_tags: bool = setting(True, "Whether `oko watch` suggests tags for each new photo.")
    pause_on_battery: bool = setting(
        False, "Pause `oko watch` and `oko index` while the machine runs on its battery."
    )
    lock_timeout_s: float = setting(
        10.0, "How long a second writer waits for the first one.", unit="seconds", least=0, most=86_400
    )
    ask_server: bool = setting(
        True,
        "Whether `oko search` asks a running `oko serve` of the same library: the answer is there at once.",
    )
    upload_mb: int = setting(
        50,
        "Pictures larger than this are not taken by `oko serve` to search with.",
        unit="MB",
        least=1,
        most=1000,
    )
    upload_megapixels: int = setting(
        100,
        "Pictures with more pixels than this are not taken by `oko serve` to search with.",
        unit="megapixels",
        least=1,
        most=1000,
    )
    preview_cache_mb: int = setting(
        500,
        "How much `oko serve` keeps of photos at the size of a screen, in the library folder; those not looked at "
        "for longest go.",
        unit="MB",
        least=0,
        most=1_000_000,
    )
    painted_folder: str = setting(
        "",
        "Where `oko generate --add` keeps painted pictures. Empty means Painted in your folder for pictures.",
    )
    database_url: str = setting(
        "",
        "Where the catalog is, as an SQLAlchemy URL. Empty means catalog.sqlite in the library folder, "
        "the only place that is tested.",
    )


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration and, for every setting, where its value came from."""

    config: Config
    sources: Mapping[str, str]


def load_config(
    library: Path,
    *,
    file: Path | None = None,
    environment: Mapping[str, str],
    flags: Mapping[str, Any] | None = None,
) -> LoadedConfig:
    """Merge all sources. Raises ConfigError naming the place, the key and the nearest valid name."""
    config = Config()
    sources = {f.name: "default" for f in fields(Config)}
    for place, values in _layers(library, file, environment, flags or {}):
        config = replace(config, **values)
        sources.update(dict.fromkeys(values, place))
    return LoadedConfig(config, sources)


def _layers(
    library: Path, file: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    own = library / "config.toml"
    if _is_there(own):
        yield str(own), read_toml(own)
    if file is not None:
        yield str(file), read_toml(file)
    yield "environment", read_environment(environment)
    yield "command line", {k: check(k, v, "the command line") for k, v in flags.items() if v is not None}


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError as e:
        raise LibraryUnreadable(
            f"the library folder {file.parent} cannot be read: {e.strerror}",
            hint="Look at its owner and permissions.",
        ) from e


def read_toml(path: Path) -> dict[str, Any]:
    """The settings of one file, checked."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise ConfigError(f"the configuration file {path} cannot be read: {e.strerror}") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path} is not valid TOML: {e}") from e
    return {key: check(key, value, str(path)) for key, value in values.items()}


def read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings among the `OKO_*` variables. Lists are separated by commas."""
    found = {}
    for variable, text in environment.items():
        if (
            not variable.startswith(ENVIRONMENT_PREFIX)
            or variable in NOT_SETTINGS
            or variable.startswith(TEST_PREFIX)
        ):
            continue
        key = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        place = f"the environment variable {variable}"
        found[key] = check(key, _from_text(_field(key, place), text), place)
    return found


def _field(key: str, place: str) -> Field[Any]:
    table = {f.name: f for f in fields(Config)}
    if key in table:
        return table[key]
    near = difflib.get_close_matches(key, table, n=1, cutoff=0.4)
    hint = f"Did you mean {near[0]}? All settings: oko config" if near else "All settings: oko config"
    raise ConfigError(f"{place}: there is no setting {key!r}", hint=hint)


def _from_text(spec: Field[Any], text: str) -> Any:
    match spec.default:
        case bool():
            words = {
                "1": True,
                "true": True,
                "yes": True,
                "on": True,
                "0": False,
                "false": False,
                "no": False,
                "off": False,
            }
            return words.get(text.strip().lower(), text)
        case int() | float():
            try:
                return type(spec.default)(text)
            except ValueError:
                return text
        case tuple():
            return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def check(key: str, value: Any, place: str) -> Any:
    """The value in its proper type, or a ConfigError that says what was expected."""
    spec = _field(key, place)
    kind = type(spec.default)
    if kind is tuple and isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
        return tuple(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        names = {
            bool: "true or false",
            int: "a whole number",
            float: "a number",
            str: "text",
            tuple: "a list of texts",
        }
        raise ConfigError(f"{place}: {key} must be {names[kind]}, not {value!r}")
    _check_range(spec, value, place)
    return value


def _check_range(spec: Field[Any], value: Any, place: str) -> None:
    choices, least, most = (spec.metadata[name] for name in ("choices", "least", "most"))
    if choices and value not in choices:
        near = difflib.get_close_matches(str(value), choices, n=1)
        raise ConfigError(
            f"{place}: {spec.name} cannot be {value!r}; it is one of {', '.join(choices)}",
            hint=f"Did you mean {near[0]}?" if near else "",
        )
    if least is not None and not least <= value <= most:
        raise ConfigError(f"{place}: {spec.name} must lie between {least:,} and {most:,}, not {value}")


def default_toml() -> str:
    """config.toml: every setting with its default, unit and explanation."""
    lines = [
        "# The settings of oko, each with its default. Copy what you want to change into config.toml in your",
        "# library folder (`oko config` names it), or set the variable OKO_ plus the name in capitals,",
        "# such as OKO_BATCH_SIZE=64. This file is generated from library/config.py: python -m oko.docs --write",
    ]
    for spec in fields(Config):
        lines += [
            "",
            *(f"# {line}" for line in _wrap(_describe(spec))),
            f"{spec.name} = {toml_value(spec.default)}",
        ]
    return "\n".join(lines) + "\n"


def settings_table() -> list[tuple[str, str, str]]:
    """Rows of (name, default as TOML, explanation) for the README."""
    return [(spec.name, toml_value(spec.default), _describe(spec)) for spec in fields(Config)]


def _describe(spec: Field[Any]) -> str:
    text: str = spec.metadata["help"]
    if spec.metadata["choices"]:
        text += f" One of {', '.join(spec.metadata['choices'])}."
    if spec.metadata["unit"]:
        text += f" In {spec.metadata['unit']}."
    return text


def _wrap(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 105)


def toml_value(value: Any) -> str:
    """A value as TOML writes it (JSON agrees with TOML for the types that settings have, but for DEL)."""
    text = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")
