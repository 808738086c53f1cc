"""Where deliveries may go (SSRF): the address is parsed once, resolved once, and every answer has to be allowed.

Whoever posts connects to an address that :func:`resolve` returned and to nothing else, so a name that means another
address a moment later (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import re
import socket
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from config.webhooks import Webhooks
from scrm.webhooks.service.dialing import Proxy

Ip = IPv4Address | IPv6Address
MOST_CHARS = 2000
LOOKUP_SECONDS = 10.0  # resolv.conf asks a server for 5 seconds before it asks the next
PORTS = {"https": 443, "http": 80}
UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
USERINFO = re.compile(r"[^/?#]*//[^/?#]*@")
SPECIAL = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")))
"""Of IANA's special-purpose registries, what ``ipaddress`` of Python 3.11 does not know: protocol assignments, the relay
of 6to4 (RFC 7526), documentation (RFC 9637)."""
UNICAST6 = IPv6Network("2000::/3")  # all that is given out as global unicast (RFC 4291, IANA)
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052; that of RFC 8215 is for private use
NAT64_LOW = 2**32 - 1


class AddressRefused(ValueError):  # noqa: N818  # reads as a statement where it is raised
    """Nothing is sent there; the message says what would be right."""


@dataclass(frozen=True)
class Target:
    """A parsed address.

    :param host: as the certificate must name it; an IPv6 address without brackets
    :param path: with the query, as it stands in the request line
    """

    scheme: str
    host: str
    port: int
    path: str


@dataclass(frozen=True)
class Rules:
    """What else than public addresses is allowed, and how public ones are reached.

    :param ports: empty: any
    :param proxy: the way to public addresses; those of ``networks`` are asked directly
    """

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    ports: tuple[int, ...] = ()
    proxy: Proxy | None = None

    @classmethod
    def of(cls, conf: Webhooks) -> Rules:
        """As configured."""
        return cls(conf.allowed_networks, conf.allowed_ports, Proxy.of(conf.proxy.get_secret_value()))


def parse_target(url: str, rules: Rules) -> Target:
    """Take an address apart; raises AddressRefused for everything that is no plain http(s) address."""
    if len(url) > MOST_CHARS or UNSAFE.search(url):
        raise AddressRefused(f"must be an address of at most {MOST_CHARS} characters without blanks")
    try:
        parts = parse_url(url)
    except LocationParseError:
        raise AddressRefused("must be an address such as https://example.com/webhooks") from None
    scheme, host = parts.scheme or "", (parts.host or "").strip("[]")
    if scheme not in PORTS or not host:
        raise AddressRefused("must be an address such as https://example.com/webhooks")
    if parts.auth is not None or USERINFO.match(url):
        raise AddressRefused("must hold no user and password; the signature shows who sends")
    if parts.fragment is not None:
        raise AddressRefused("must have no #fragment; it would never be sent")
    port = PORTS[scheme] if parts.port is None else parts.port
    if port == 0 or (rules.ports and port not in rules.ports):
        allowed = ", ".join(map(str, rules.ports)) or "1 to 65535"
        raise AddressRefused(f"port {port} is not allowed ([webhooks] allowed_ports); allowed are {allowed}")
    return Target(scheme, host, port, parts.request_uri)


def resolve(target: Target, rules: Rules, seconds: float = LOOKUP_SECONDS) -> list[str]:
    """The addresses behind the name, all of them allowed.

    :param seconds: to wait for DNS
    :raises AddressRefused: when there is none, there was none in time, or any of them is not allowed
    """
    try:
        found = _looked_up(target, seconds)
    except TimeoutError:
        raise AddressRefused(
            f"the name {target.host} was not resolved in time; the name servers do not answer"
        ) from None
    except (socket.gaierror, UnicodeError):
        raise AddressRefused(f"the name {target.host} cannot be resolved") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        _check(target, address, rules)
    return addresses


def _looked_up(target: Target, seconds: float) -> list[Any]:
    """What DNS says, in a thread that is left alone when it takes longer: nothing else ends ``getaddrinfo``.

    It ends by itself after the patience of resolv.conf; as a daemon it keeps no worker from ending.
    """
    answer: Future[list[Any]] = Future()

    def ask() -> None:
        try:
            answer.set_result(socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.set_exception(error)

    threading.Thread(target=ask, name="webhooks-dns", daemon=True).start()
    return answer.result(seconds)


def _check(target: Target, address: str, rules: Rules) -> None:
    ip = ip_address(address)
    inner = _within(ip)
    listed = is_listed(address, rules)
    if not listed and not is_public(ip):
        raise AddressRefused(
            f"{target.host} means {address}, which is no public address; [webhooks] allowed_networks names exceptions"
        )
    if target.scheme == "http" and not (listed and inner.is_loopback):
        raise AddressRefused("must begin with https:// (http only to this machine, where it is allowed)")


def is_listed(address: str, rules: Rules) -> bool:
    """Whether an address lies in a network that the configuration names."""
    inner = _within(ip_address(address))
    return any(inner in network for network in rules.networks if network.version == inner.version)


def _within(ip: Ip) -> Ip:
    """The IPv4 address that an IPv4-mapped one is."""
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip


def is_public(ip: Ip) -> bool:
    """Global unicast, and no way around: addresses that carry an IPv4 address carry a public one."""
    if any(ip in network for network in SPECIAL if network.version == ip.version):
        return False
    if isinstance(ip, IPv4Address):
        return ip.is_global and not ip.is_multicast and not ip.is_reserved
    return all(map(is_public, _carried(ip))) and (
        ip.ipv4_mapped is not None or ip in NAT64 or (ip in UNICAST6 and ip.is_global)
    )


def _carried(ip: IPv6Address) -> list[IPv4Address]:
    """IPv4 addresses inside: mapped, 6to4 (RFC 3056), Teredo (RFC 4380), NAT64."""
    found = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if ip in NAT64:
        found.append(IPv4Address(int(ip) & NAT64_LOW))
    return [each for each in found if each is not None]
