"""The settings of one deployment: one typed, validated object.

Values come from ``config/default.toml``, then the file named by ``SCRM_CONFIG``, then ``SCRM_*`` environment
variables (``SCRM_WEB__PORT=8080`` sets ``web.port``). Whatever is wrong is said in one sentence that names the key.
"""

from __future__ import annotations

import os
import zoneinfo
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from config.facts import Audiences, Columns, Imports, People, Rules, Sets, Source
from config.section import Section
from config.webhooks import Webhooks

DEFAULT_FILE = Path(__file__).with_name("default.toml")
PROJECT = Path(__file__).resolve().parent.parent
AES_KEY_LENGTH = 43
TOKEN_MAX_LENGTH = 32

Feature = Literal["externalcontact", "kf", "contacts", "message", "acquisition_links"]
LossReceiver = Literal["staff", "manager", "operators"]
Seconds = Annotated[float, Field(gt=0)]
DayTime = Annotated[str, StringConstraints(pattern=r"^(([01]\d|2[0-3]):[0-5]\d)?$")]
"""``HH:MM``, or empty"""


class SettingsError(Exception):
    """The configuration cannot be used; the message names the key and what would be right."""


class Corp(Section):
    """The company (WeCom corp) this deployment serves."""

    id: str
    name: str
    timezone: str
    language: Literal["zh", "en"]

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in zoneinfo.available_timezones():
            raise ValueError(f"{value!r} is no time zone; give an IANA name such as Asia/Shanghai")
        return value

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """The corp's time zone, for screens and schedules; inside everything is UTC."""
        return zoneinfo.ZoneInfo(self.timezone)


class App(Section):
    """One WeCom app: its secret for calls, its token and key for callbacks."""

    agent_id: int
    secret: SecretStr
    token: SecretStr
    aes_key: SecretStr
    features: tuple[Feature, ...] = ("externalcontact", "kf", "contacts", "message", "acquisition_links")

    @field_validator("secret", "token")
    @classmethod
    def _given(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value():
            raise ValueError("is empty; copy it from the app's page in the WeCom admin console")
        return value

    @field_validator("token")
    @classmethod
    def _token_shape(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if len(text) > TOKEN_MAX_LENGTH or not text.isalnum():
            raise ValueError(f"must be 1 to {TOKEN_MAX_LENGTH} letters and digits")
        return value

    @field_validator("aes_key")
    @classmethod
    def _key_shape(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if len(text) != AES_KEY_LENGTH or not text.isalnum():
            raise ValueError(
                f"must be exactly {AES_KEY_LENGTH} letters and digits, not {len(text)} characters"
            )
        return value


class Web(Section):
    """The HTTP server."""

    host: str
    port: int = Field(ge=1, le=65535)
    workers: int = Field(ge=1)
    threads: int = Field(ge=1)
    secret_key: SecretStr
    public_url: str


class Callbacks(Section):
    """What the callback intake accepts."""

    max_body_bytes: int = Field(ge=1024)
    max_xml_depth: int = Field(ge=4)
    freshness_seconds: int = Field(ge=0)
    commit_timeout_seconds: float = Field(gt=0, lt=5)


class Inbox(Section):
    """How stored callbacks are worked through."""

    batch_size: int = Field(ge=1, le=5000)
    lease_seconds: Seconds
    max_attempts: int = Field(ge=1)
    retention_days: int = Field(ge=1)


class Wecom(Section):
    """How WeCom is called."""

    base_url: Annotated[str, StringConstraints(pattern=r"^https?://")]
    connect_timeout_seconds: Seconds
    read_timeout_seconds: Seconds
    token_early_seconds: int = Field(ge=0, lt=7200)
    concurrency: int = Field(ge=1)
    picture_hosts: tuple[str, ...]


class ApiLimits(Section):
    """Figures of one API that stand in for those of ``scrm/wecom/limits_table.py``."""

    api: str
    per_minute: int | None = Field(default=None, ge=1)
    per_hour: int | None = Field(default=None, ge=1)
    per_day: int | None = Field(default=None, ge=1)
    per_month: int | None = Field(default=None, ge=1)
    concurrent: int | None = Field(default=None, ge=1)


class Governor(Section):
    """Limits we keep so that WeCom does not block us, and when an API that does not answer is left alone."""

    enabled: bool
    per_minute: int = Field(ge=1)
    per_hour: int = Field(ge=1)
    concurrent: int = Field(ge=1)
    limits: tuple[ApiLimits, ...]
    accounts: int = Field(ge=0)
    cooldown_seconds: Seconds
    circuit_failures: int = Field(ge=0)
    circuit_seconds: Seconds


class Effects(Section):
    """How planned changes at WeCom are carried out."""

    batch_size: int = Field(ge=1, le=1000)
    lease_seconds: Seconds
    max_attempts: int = Field(ge=1)
    retention_days: int = Field(ge=1)


class Welcome(Section):
    """The 20-second window of welcome messages."""

    window_seconds: Seconds
    margin_seconds: float = Field(ge=0)


class Media(Section):
    """Where files are kept, and how WeCom's ids of them are renewed."""

    url: Annotated[str, StringConstraints(pattern=r"^$|^s3://")]
    endpoint: str
    region: str
    access_key: str
    secret_key: SecretStr
    renew_hours: int = Field(ge=1, le=71)
    keep_days: int = Field(ge=1)


class Broadcasts(Section):
    """Following the results of broadcasts."""

    poll_seconds: Seconds
    poll_days: int = Field(ge=1)
    monthly_cap: int = Field(ge=0)


class Alerts(Section):
    """Messages from the program to members."""

    operators: tuple[str, ...]
    group_seconds: float = Field(ge=0)
    quiet_from: DayTime
    quiet_until: DayTime
    muted_kinds: tuple[str, ...]
    retention_days: int = Field(ge=1)

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if bool(self.quiet_from) != bool(self.quiet_until):
            raise ValueError(
                "quiet_from and quiet_until belong together; give both as HH:MM, or leave both empty"
            )
        return self


class Losses(Section):
    """Who is told of customers that are lost, and when deletions are an alarm."""

    told_when_customer_leaves: tuple[LossReceiver, ...]
    told_when_member_deletes: tuple[LossReceiver, ...]
    alarm_count: int = Field(ge=0)
    alarm_minutes: float = Field(gt=0)


class Transfers(Section):
    """Customers and groups that go from one member to another."""

    poll_seconds: Seconds
    max_tries: int = Field(ge=1, le=10)
    default_rule: Literal["none", "manager", "even"]
    activate_defaults: bool
    alert_days: tuple[Annotated[int, Field(ge=0)], ...]


class Sync(Section):
    """The full sync with WeCom."""

    concurrency: int = Field(ge=1)
    lease_seconds: Seconds
    shrink_share: float = Field(gt=0, le=1)
    shrink_min: int = Field(ge=0)


class Clock(Section):
    """The process that turns due rows into jobs."""

    tick_seconds: Seconds


class Log(Section):
    """Where and how much is logged."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    format: Literal["json", "text"]


class Settings(BaseSettings):
    """Everything that can be configured."""

    model_config = SettingsConfigDict(
        env_prefix="SCRM_", env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=False
    )

    database_url: SecretStr
    redis_url: SecretStr
    var_dir: Path
    corp: Corp
    apps: dict[str, App] = Field(default_factory=dict)
    web: Web
    callbacks: Callbacks
    inbox: Inbox
    wecom: Wecom
    governor: Governor
    effects: Effects
    welcome: Welcome
    media: Media
    broadcasts: Broadcasts
    alerts: Alerts
    losses: Losses
    transfers: Transfers
    sync: Sync
    audiences: Audiences
    people: People
    sources: dict[str, Source] = Field(default_factory=dict)
    rules: Rules
    webhooks: Webhooks
    imports: Imports
    sets: Sets
    columns: Columns
    clock: Clock
    log: Log

    @field_validator("var_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        """A relative folder lies in the checkout, so that a command finds the same one from wherever it is called."""
        base = PROJECT if (PROJECT / "pyproject.toml").is_file() else Path.cwd()
        return base / value.expanduser()

    @model_validator(mode="after")
    def _corp_has_apps(self) -> Self:
        if self.corp.id and not self.apps:
            raise ValueError(
                "apps: corp.id is set and no app is; give [apps.<name>] with its secret, token and aes_key"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Say the order of precedence: arguments, environment, own file, defaults."""
        files = [DEFAULT_FILE]
        if own := os.environ.get("SCRM_CONFIG"):
            files.append(Path(own))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, files, deep_merge=True)

    @property
    def sandboxed(self) -> bool:
        """Whether no real corp is configured, so that the sandbox WeCom stands in."""
        return not self.corp.id

    def app_for(self, feature: Feature) -> str:
        """Name of the first app that may use ``feature``; raises SettingsError when none may."""
        for name, app in self.apps.items():
            if feature in app.features:
                return name
        raise SettingsError(f"apps: no app has the feature {feature!r}; add it to one app's features")


PREFIX = "SCRM_"
NO_SETTINGS = {"CONFIG", "CRASH_AT", "STOP_AT", "UP_FOLDER", "TEST_FOLDER"}
"""Variables of ours that are no settings: where the file is, and what our processes and tests tell each other."""
BESIDE = "SANDBOX_"  # the sandbox is another program with variables of its own


def load_settings(**overrides: Any) -> Settings:
    """Read and check the settings; raises SettingsError with one sentence for everything that is wrong."""
    own = os.environ.get("SCRM_CONFIG")
    if own and not Path(own).is_file():
        raise SettingsError(f"SCRM_CONFIG names {own}, which is no file")
    _refuse_unknown_variables()
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(item) for item in error.errors())) from None
    except ValueError as error:
        raise SettingsError(f"configuration file: {error}") from None


def _refuse_unknown_variables() -> None:
    """Tables refuse unknown keys by themselves; a whole variable that names none would be passed over in silence."""
    for variable in sorted(os.environ):
        name = variable.upper().removeprefix(PREFIX)
        key = name.partition("__")[0].lower()
        ours = variable.upper().startswith(PREFIX) and not name.startswith(BESIDE)
        if not ours or name in NO_SETTINGS or key in Settings.model_fields:
            continue
        hint = f"; two underscores stand between levels: SCRM_{meant}" if (meant := _meant(key)) else ""
        raise SettingsError(f"{variable}: is not a key this program knows{hint}")


def _meant(key: str) -> str | None:
    """``web_port`` as ``WEB__PORT``, the likely mistake; None when no table begins like this."""
    tables = [table for table in Settings.model_fields if key.startswith(f"{table}_")]
    return f"{tables[0]}__{key.removeprefix(f'{tables[0]}_')}".upper() if tables else None


def _sentence(item: Any) -> str:
    key = ".".join(str(part) for part in item["loc"])
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        message = "is not a key this program knows"
    return f"{key}: {message}" if key else message


@lru_cache(maxsize=1)
def current_settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings()
