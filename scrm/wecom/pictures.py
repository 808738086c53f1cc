"""Pictures whose addresses WeCom gives, such as the QR code of a contact way.

They lie on other hosts than the API, so nothing of ours goes there: no token, no cookie, no redirect is followed, only
the hosts of ``wecom.picture_hosts`` (and the API's own, which is where the sandbox keeps its pictures) are asked, and
no more than a megabyte is read.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit, urlunsplit

import requests

from scrm.kernel.settings import settings
from scrm.wecom.errors import NotFound, Retryable, Stop, WecomError

API = "picture"  # how errors and log lines call it
MOST_BYTES = 1024 * 1024
GONE = {404, 410}
PASSING = {429, 500, 502, 503, 504}


def picture_address(address: str) -> str:
    """The address to ask: https, whatever WeCom wrote; needs an app context.

    :raises Stop: when it does not lead to one of WeCom's hosts for pictures
    """
    conf = settings().wecom
    parts, own = urlsplit(address), urlsplit(conf.base_url)
    if (parts.scheme, parts.netloc) == (own.scheme, own.netloc):
        return address
    if not _allowed(parts, conf.picture_hosts):
        raise Stop(API, None, "the picture's address is on no host of wecom.picture_hosts")
    return urlunsplit(parts._replace(scheme="https"))


def _allowed(parts: SplitResult, hosts: tuple[str, ...]) -> bool:
    try:
        plain = parts.port in {None, 80, 443} and parts.username is None and parts.password is None
    except ValueError:  # a port that is no number
        return False
    return plain and parts.scheme in {"http", "https"} and (parts.hostname or "") in hosts


def fetch_picture(address: str, timeout: tuple[float, float]) -> bytes:
    """The picture's bytes; needs no app context, so that threads may call it.

    :param address: as :func:`picture_address` gave it
    :param timeout: seconds to connect, and to wait for each piece
    :raises WecomError: when there is none to be had
    """
    problem: WecomError
    try:
        with requests.get(address, timeout=timeout, stream=True, allow_redirects=False) as answer:
            if answer.status_code == requests.codes.ok:
                return _bounded(answer)
            problem = _refused(answer.status_code)
    except requests.RequestException as error:
        problem = Retryable(API, None, f"no picture ({type(error).__name__})")
    raise problem


def _bounded(answer: requests.Response) -> bytes:
    content = b""
    for piece in answer.iter_content(64 * 1024):
        content += piece
        if len(content) > MOST_BYTES:
            raise Stop(API, None, f"the picture is larger than {MOST_BYTES} bytes")
    return content


def _refused(status: int) -> WecomError:
    if status in GONE:
        return NotFound(API, None, f"HTTP status {status}")
    kind = Retryable if status in PASSING else Stop
    return kind(API, None, f"HTTP status {status}")
