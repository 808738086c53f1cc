"""Pictures of contact ways and join ways, as WeCom's picture hosts serve them: without a token, under the address of `qr_code`."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import segno
from flask import Blueprint, Response, abort

if TYPE_CHECKING:
    from scrm.sandbox.runtime import Sandbox

SCANNED = "https://work.weixin.qq.com/ca/"
"""What stands in a picture begins like this; the rest is the config_id (WeCom's own rest is opaque)."""


def address(environ: dict[str, Any], config_id: str) -> str:
    """Where the picture of a way lies: at this sandbox, by the name it was called by."""
    host = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    return f"{environ.get('wsgi.url_scheme', 'http')}://{host}/qr/{config_id}"


def pictures_blueprint(sandbox: Sandbox) -> Blueprint:
    """GET /qr/<config_id>: a PNG; 404 when the way is gone."""
    blueprint = Blueprint("pictures", __name__)

    @blueprint.get("/qr/<config_id>")
    def picture(config_id: str) -> Response:
        with sandbox.world.lock:
            if config_id not in sandbox.world.contact_ways and config_id not in sandbox.world.join_ways:
                abort(404)
        out = io.BytesIO()
        segno.make_qr(SCANNED + config_id, error="h").save(out, kind="png", scale=6)
        return Response(out.getvalue(), content_type="image/png")

    return blueprint
