"""The configuration: what is right is read, what is wrong is said in one sentence that names the key."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, SecretStr

from config.facts import Source
from config.settings import DEFAULT_FILE, App, Settings, SettingsError, load_settings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
APP = {"agent_id": "1", "secret": "s", "token": "Token1", "aes_key": "a" * 43}


def keys_of(model: type[BaseModel], prefix: str = "") -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= keys_of(kind, f"{prefix}{name}.")
        elif named := {App, Source} & set(get_args(kind)):
            found |= keys_of(named.pop(), f"{prefix}{name}.<name>.")
        else:
            found.add(prefix + name)
    return found


def documented() -> dict[str, str]:
    rows = re.findall(r"^\| `([a-z_.<>]+)` \| (.+?) \| .*\|$", PAGE.read_text(), re.MULTILINE)
    return {key: default.strip("`") for key, default in rows}


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def set_app(monkeypatch: pytest.MonkeyPatch, **changes: str) -> None:
    monkeypatch.setenv("SCRM_CORP__ID", "ww1")
    for key, value in {**APP, **changes}.items():
        monkeypatch.setenv(f"SCRM_APPS__MAIN__{key.upper()}", value)


def test_every_key_is_documented_and_no_other() -> None:
    assert set(documented()) == keys_of(Settings)


def test_the_documented_defaults_are_the_defaults() -> None:
    inside = flat(load_settings().model_dump())
    page = {key: value for key, value in documented().items() if "<name>" not in key}
    for key, value in page.items():
        if key == "var_dir":
            continue
        real = inside[key]
        assert value == written(real), key


def written(value: object) -> str:
    """A value as the page writes it: as TOML does, and ``empty`` for an empty text."""
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    if isinstance(plain, tuple):
        return json.dumps(plain)
    return "empty" if plain == "" else str(plain).lower() if isinstance(plain, bool) else str(plain)


def test_the_default_file_has_every_key_that_needs_a_value() -> None:
    given = set(flat(tomllib.loads(DEFAULT_FILE.read_text())))
    assert given == {key for key in keys_of(Settings) if "<name>" not in key}


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[web]\nport = 1234\nworkers = 5\n[corp]\nname = "某公司"\n')
    monkeypatch.setenv("SCRM_CONFIG", str(own))
    monkeypatch.setenv("SCRM_WEB__PORT", "4321")
    settings = load_settings()
    assert (settings.web.port, settings.web.workers, settings.web.threads) == (4321, 5, 32)
    assert settings.corp.name == "某公司"


def test_an_app_comes_from_the_environment_and_its_secrets_do_not_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_app(monkeypatch, secret="very-hidden")
    settings = load_settings()
    assert settings.apps["main"].secret.get_secret_value() == "very-hidden"
    assert not settings.sandboxed
    assert "very-hidden" not in repr(settings)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"secret": ""}, r"apps\.main\.secret: is empty; copy it"),
        ({"token": "no-dashes"}, r"apps\.main\.token: must be 1 to 32 letters and digits"),
        ({"token": "x" * 33}, r"apps\.main\.token: must be 1 to 32"),
        ({"aes_key": "a" * 42}, r"apps\.main\.aes_key: must be exactly 43 letters and digits, not 42"),
        ({"agent_id": "many"}, r"apps\.main\.agent_id: .*integer"),
        ({"features": '["everything"]'}, r"apps\.main\.features"),
    ],
)
def test_a_wrong_app_is_named(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], sentence: str
) -> None:
    set_app(monkeypatch, **changes)
    with pytest.raises(SettingsError, match=sentence) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("SCRM_WEB__PORT", "70000", r"web\.port: .*65535"),
        ("SCRM_WEB__PORRT", "8000", r"web\.porrt: is not a key this program knows"),
        ("SCRM_CORP__TIMEZONE", "Mars/Base", r"corp\.timezone: 'Mars/Base' is no time zone"),
        ("SCRM_WECOM__BASE_URL", "qyapi.weixin.qq.com", r"wecom\.base_url"),
        ("SCRM_CALLBACKS__COMMIT_TIMEOUT_SECONDS", "6", r"callbacks\.commit_timeout_seconds: .*less than 5"),
        ("SCRM_LOG__LEVEL", "LOUD", r"log\.level"),
        ("SCRM_CORP__ID", "ww1", r"^apps: corp\.id is set and no app is"),
        ("SCRM_CONFIG", "/nowhere/at/all.toml", r"SCRM_CONFIG names /nowhere/at/all\.toml"),
    ],
)
def test_a_wrong_value_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=sentence):
        load_settings()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("SCRM_DATABASE_ULR", ""),
        ("SCRM_WEB_PORT", "; two underscores stand between levels: SCRM_WEB__PORT"),
        ("SCRM_APPS_MAIN__SECRET", "; two underscores stand between levels: SCRM_APPS__MAIN"),
    ],
)
def test_a_variable_that_names_no_key_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, hint: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value) == f"{name}: is not a key this program knows{hint}"


def test_several_errors_come_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    set_app(monkeypatch, secret="", aes_key="short")
    with pytest.raises(SettingsError, match=r"apps\.main\.secret.*; apps\.main\.aes_key"):
        load_settings()


def test_a_file_that_is_no_toml_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("port = = 1")
    monkeypatch.setenv("SCRM_CONFIG", str(own))
    with pytest.raises(SettingsError, match="configuration file"):
        load_settings()


def test_a_relative_folder_lies_in_the_checkout_wherever_the_command_is_called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings().var_dir == PAGE.parents[1] / "var"
    monkeypatch.setenv("SCRM_VAR_DIR", str(tmp_path / "mine"))
    assert load_settings().var_dir == tmp_path / "mine"
