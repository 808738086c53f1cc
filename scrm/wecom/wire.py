"""One HTTP connection to WeCom: wechatpy's client without its defects (wecom-api.md section 9.3).

Base URL from settings for every call (defect 2), no endless retry (1), a time-out on the token fetch too (4), a
Content-Type on JSON (3), no token cache of its own (5, 7). Whatever goes wrong leaves here as a
:class:`~scrm.wecom.errors.WecomError` that carries neither address nor token, and no chained exception that does.
"""

from __future__ import annotations

import logging
import os
import re
from typing import Any

import orjson
import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError, ProxyError, SSLError
from wechatpy.exceptions import WeChatClientException
from wechatpy.work.client import WeChatClient

from scrm.wecom.errors import Denied, RateLimited, Retryable, Stop, Unclear, WecomError, error_for

JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8"}
NEVER_SENT = (ConnectTimeoutError, NewConnectionError, ProxyError, SSLError)
SECRET_QUERY = re.compile(r"((?:access_token|corpsecret)=)[^&\s'\"]+")
ESCAPED_NUL = b"\\u0000"
FROM_IP = re.compile(r"from ip: ([0-9a-fA-F.:]+)")  # the trail of errmsg (wecom-api.md section 1.2)
TOO_MANY_REQUESTS, SERVICE_UNAVAILABLE = 429, 503
CLIENT_ERRORS, SERVER_ERRORS = 400, 500
Params = list[tuple[str, Any]]


class _MaskSecrets(logging.Filter):
    """urllib3 logs whole addresses; tokens and secrets are cut out of them (lesson 33)."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = SECRET_QUERY.sub(r"\1***", record.getMessage()), None
        return True


for _name in ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_MaskSecrets())


class Wire(WeChatClient):
    """Calls of one app from one thread, over connections that stay open.

    :param base_url: scheme and host of WeCom or of the sandbox
    :param timeout: seconds to connect and to wait for an answer
    """

    def __init__(self, corp_id: str, secret: str, base_url: str, timeout: tuple[float, float]) -> None:
        super().__init__(corp_id, secret, timeout=timeout, auto_retry=False)  # type: ignore[no-untyped-call]  # wechatpy
        self.API_BASE_URL = base_url.rstrip("/") + "/cgi-bin/"
        self._http = _session(base_url)

    @property
    def access_token(self) -> str:
        """Unused: tokens come from the shared store with each call."""
        return ""

    def fetch_access_token(self) -> dict[str, Any]:
        """A fresh token: ``{"access_token", "expires_in"}``; raises WecomError."""
        return self.call("get", "gettoken", [("corpid", self.corp_id), ("corpsecret", self.secret)])

    def call(self, method: str, api: str, params: Params, **sent: Any) -> dict[str, Any]:
        """One HTTP request; the decoded answer with errcode 0, else a WecomError.

        :param sent: ``data`` and ``headers``, or ``files``; ``timeout`` overrides the connection's own
        """
        problem: WecomError
        try:
            answer = self._ask(method, api, params=params, allow_redirects=False, **sent)
            if isinstance(answer, dict) and answer.get("errcode") == 0:
                return answer
            problem = Unclear(api, None, "the answer is no JSON object with an errcode")
        except WeChatClientException as error:
            problem = _refused(api, error)
        except requests.RequestException as error:
            problem = _failed(api, error)
        except (TypeError, ValueError):
            problem = Unclear(api, None, "the answer's errcode is no number")
        raise problem  # outside the except block: the exceptions above carry the whole address

    def _ask(self, method: str, api: str, **kwargs: Any) -> Any:
        return self._request(method, api, **kwargs)  # type: ignore[no-untyped-call]  # wechatpy

    def _decode_result(self, res: requests.Response) -> Any:
        try:
            answer = orjson.loads(res.content)
        except (
            orjson.JSONDecodeError
        ):  # wechatpy's decoder allows raw control characters and half characters in names
            return _storable(super()._decode_result(res))  # type: ignore[no-untyped-call]  # wechatpy
        return _storable(answer) if ESCAPED_NUL in res.content else answer


def _storable(value: Any) -> Any:
    """Without what PostgreSQL cannot hold, so that one person's odd name does not stop everybody's sync."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "ignore").decode()
    if isinstance(value, dict):
        return {key: _storable(inner) for key, inner in value.items()}
    return [_storable(inner) for inner in value] if isinstance(value, list) else value


def _session(base_url: str) -> requests.Session:
    """A session that reads proxies and certificates from the environment once, not with every call."""
    http = requests.Session()
    http.trust_env = False
    http.proxies.update(get_environ_proxies(base_url))
    http.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    for scheme in ("https://", "http://"):
        http.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=0))
    return http


def _refused(api: str, error: WeChatClientException) -> WecomError:
    if error.errcode is not None:
        told = error_for(api, int(error.errcode))
        seen = FROM_IP.search(str(error.errmsg))
        told.from_ip = seen.group(1) if seen else None
        return told
    status = error.response.status_code
    if status == TOO_MANY_REQUESTS:
        return RateLimited(api, None, "HTTP status 429")
    if status == SERVICE_UNAVAILABLE:
        return Retryable(api, None, "HTTP status 503")
    if status >= SERVER_ERRORS:
        return Unclear(api, None, f"HTTP status {status}")
    kind = Denied if status in {401, 403, 407} else Stop
    return kind(api, None, f"HTTP status {status}")


def _failed(api: str, error: requests.RequestException) -> WecomError:
    cause: Any = error.args[0] if error.args else None
    if isinstance(cause, MaxRetryError):
        cause = cause.reason
    if isinstance(error, requests.ConnectTimeout) or isinstance(cause, NEVER_SENT):
        return Retryable(api, None, f"no connection ({type(cause or error).__name__})")
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return Stop(api, None, "wecom.base_url is no address that can be called")
    return Unclear(api, None, f"the connection ended without an answer ({type(error).__name__})")
