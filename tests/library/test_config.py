"""Settings: where they come from, which comes first, and what is said about a wrong one."""

from __future__ import annotations

import tomllib
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from library.config import Config, check, default_toml, load_config, settings_table, toml_value
from library.errors import ConfigError

NOTHING: dict[str, str] = {}


def test_without_any_source_everything_is_default(tmp_path: Path) -> None:
    loaded = load_config(tmp_path, environment=NOTHING)
    assert loaded.config == Config()
    assert set(loaded.sources.values()) == {"default"}


def test_the_stronger_source_wins_and_is_named(tmp_path: Path) -> None:
    own, other = tmp_path / "config.toml", tmp_path / "other.toml"
    own.write_text("top = 1\nbatch_size = 1\nmax_file_mb = 1\nthumbnail_px = 100\n")
    other.write_text("top = 2\nbatch_size = 2\nmax_file_mb = 2\n")
    environment = {"OKO_TOP": "3", "OKO_BATCH_SIZE": "3"}
    loaded = load_config(tmp_path, file=other, environment=environment, flags={"top": 4, "model": None})
    config = loaded.config
    assert (config.top, config.batch_size, config.max_file_mb, config.thumbnail_px) == (4, 3, 2, 100)
    assert (config.model, loaded.sources["model"]) == ("auto", "default")
    names = ["top", "batch_size", "max_file_mb", "thumbnail_px"]
    assert [loaded.sources[name] for name in names] == ["command line", "environment", str(other), str(own)]


def test_a_file_in_the_current_folder_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text("top = 1\n")
    monkeypatch.chdir(tmp_path)
    assert load_config(tmp_path / "library", environment=NOTHING).config.top == Config().top


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("batchsize = 3", "there is no setting 'batchsize'", "Did you mean batch_size?"),
        ("batch_size = '3'", "batch_size must be a whole number, not '3'", ""),
        ("batch_size = 0", "batch_size must lie between 1 and 4,096, not 0", ""),
        ("batch_size = true", "batch_size must be a whole number", ""),
        ("device = 'cdua'", "device cannot be 'cdua'", "Did you mean cuda?"),
        ("include = ['a', 3]", "include must be a list of texts", ""),
        ("reduced_decoding = 1", "reduced_decoding must be true or false", ""),
        ("lock_timeout_s = 'soon'", "lock_timeout_s must be a number", ""),
        ("top =", "is not valid TOML", ""),
    ],
)
def test_a_wrong_setting_names_the_file_and_the_key(
    tmp_path: Path, text: str, message: str, hint: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path, environment=NOTHING)
    assert str(path) in caught.value.message
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path, file=tmp_path / "nothing.toml", environment=NOTHING)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(tmp_path, file=tmp_path / "binary.toml", environment=NOTHING)


def test_the_environment_has_every_type() -> None:
    environment = {
        "OKO_TOP": "7",
        "OKO_LOCK_TIMEOUT_S": "0.5",
        "OKO_INCLUDE_HIDDEN": "Yes",
        "OKO_EXCLUDE": "a/*, *.tmp,",
        "OKO_MODEL": "builtin",
        "OKO_HOME": "/somewhere",
        "OKO_TEST_SLOW": "1",
        "PATH": "/bin",
    }
    config = load_config(Path("/nowhere"), environment=environment).config
    assert (config.top, config.lock_timeout_s, config.include_hidden) == (7, 0.5, True)
    assert (config.exclude, config.model) == (("a/*", "*.tmp"), "builtin")


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("OKO_TOPP", "7", "no setting 'topp'"),
        ("OKO_TOP", "seven", "must be a whole number, not 'seven'"),
        ("OKO_TOP", "7.5", "must be a whole number"),
        ("OKO_INCLUDE_HIDDEN", "maybe", "must be true or false, not 'maybe'"),
        ("OKO_LOCK_TIMEOUT_S", "-1", "between 0 and"),
        ("OKO_LOCK_TIMEOUT_S", "nan", "between 0 and"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=variable) as caught:
        load_config(Path("/nowhere"), environment={variable: text})
    assert message in caught.value.message


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Config().top = 3  # type: ignore[misc]


def test_the_generated_file_says_every_default_and_can_be_read_back() -> None:
    values = tomllib.loads(default_toml())
    assert list(values) == [spec.name for spec in fields(Config)]
    assert Config(**{name: check(name, value, "here") for name, value in values.items()}) == Config()
    assert max(map(len, default_toml().splitlines())) <= 120


def test_every_setting_is_explained_and_within_its_own_limits() -> None:
    for name, _, about in settings_table():
        assert len(about) > 20, name
        check(name, getattr(Config(), name), "the defaults")


VALUES = st.one_of(st.text(), st.integers(), st.booleans(), st.lists(st.text()))


@given(VALUES)
def test_toml_values_round_trip(value: Any) -> None:
    if isinstance(value, int) and not isinstance(value, bool):
        value %= 2**63
    assert tomllib.loads(f"x = {toml_value(value)}") == {"x": value}
