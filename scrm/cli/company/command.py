"""`scrm company`: the simulated people live, so that a newcomer sees the program work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from scrm.sandbox.control import SandboxControl

KEY_NAME = "simulated company"
CONTROL_SECONDS = 10.0


@click.command()
@click.option("--seconds", type=click.FloatRange(min=0.05), default=2.0, show_default=True,
              help="Time between two acts; after the first ten minutes five times as long.")  # fmt: skip
def company(seconds: float) -> None:
    """Let people scan codes, chat, join groups and leave at a gentle pace, until SIGTERM or Ctrl-C.

    `scrm up` starts this beside the sandbox WeCom unless --quiet-company is given. It refuses to run against a real corp.

    \b
    Example: scrm company --seconds 0.5
    """
    from config.settings import SettingsError
    from scrm.cli.application import application, attached_settings
    from scrm.cli.company.life import Life
    from scrm.cli.stopping import stop_event
    from scrm.cli.story.api import Api
    from scrm.cli.story.key import fresh_key
    from scrm.sandbox.control import SandboxControl

    settings = attached_settings()
    control = SandboxControl(settings.wecom.base_url, timeout=CONTROL_SECONDS)
    if not _is_sandbox(control):
        raise SettingsError(
            "wecom.base_url: is no sandbox WeCom that answers; simulated people act in no real corp"
        )
    app = application("company", settings=settings)
    stop = stop_event()
    base = f"http://{settings.web.host}:{settings.web.port}"
    Life(Api(base, fresh_key(app, KEY_NAME)), control, stop, seconds).run()


def _is_sandbox(control: SandboxControl) -> bool:
    """Whether that address has the control calls that only a sandbox has."""
    import requests

    from scrm.sandbox.control import SandboxControlError

    try:
        return "corp_id" in control.overview()
    except (requests.RequestException, SandboxControlError):
        return False
