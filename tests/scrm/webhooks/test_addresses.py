"""Nothing is sent where it must not go: every address of the table is refused, and the checked one is the one used."""

import socket
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrm.webhooks.service.addresses import AddressRefused, Rules, is_public, parse_target, resolve

ANY = Rules()
LOOPBACK = Rules(networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")))


@pytest.fixture
def names(monkeypatch):
    """What names mean: names["example.com"] = ["93.184.215.14"]; literals mean themselves."""
    known: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def lookup(host, port, *args, **kwargs):
        if host not in known:
            return real(host, port, *args, **kwargs)
        return [entry for ip in known[host] for entry in real(ip, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return known


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.com/", "must be an address"),
        ("file:///etc/passwd", "must be an address"),
        ("gopher://example.com/", "must be an address"),
        ("//example.com/", "must be an address"),
        ("https:///path", "must be an address"),
        ("https://", "must be an address"),
        ("example.com/hooks", "must be an address"),
        ("https://user:pass@example.com/", "no user"),
        ("https://user@example.com/", "no user"),
        ("https://@example.com/", "no user"),
        ("https://example.com@127.0.0.1/", "no user"),
        ("https://127.0.0.1\\@example.com/", "without blanks"),
        ("https://example.com/a b", "without blanks"),
        ("https://example.com/\r\nHost: x", "without blanks"),
        ("https://example.com/\x00", "without blanks"),
        ("https://example.com/#part", "no #fragment"),
        ("https://example.com:0/", "port 0"),
        ("https://example.com:99999/", "must be an address"),
        ("https://example.com:port/", "must be an address"),
        ("https://[::1/", "must be an address"),
        ("https://" + "a" * 2000 + ".com/", "at most 2000"),
    ],
)
def test_what_is_no_plain_address_is_refused(url, why):
    with pytest.raises(AddressRefused, match=why):
        parse_target(url, ANY)


@pytest.mark.parametrize(
    "ip",
    [
        "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",  # noqa: S104
        "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.8", "192.0.0.170", "192.88.99.1", "192.0.2.1", "198.18.0.1", "198.51.100.1",
        "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "ff0e::1", "2001:db8::1", "100::1",
        "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "64:ff9b:1::808:808",
        "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:101::1", "2001:0:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "4000::1", "3fff::1", "5f00::1",
    ],
)  # fmt: skip
def test_addresses_inside_are_refused(names, ip):
    names["hooks.example"] = ["93.184.215.14", ip]  # one good answer does not make up for a bad one
    with pytest.raises(AddressRefused, match="no public address"):
        resolve(parse_target("https://hooks.example/", ANY), ANY)


@pytest.mark.parametrize(
    "ip",
    ["93.184.215.14", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::1"],
)
def test_public_addresses_are_allowed(names, ip):
    names["hooks.example"] = [ip]
    assert resolve(parse_target("https://hooks.example/", ANY), ANY) == [ip]


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.1", "0", "[::1]", "[::ffff:7f00:1]", "localhost", "LOCALHOST"],
)  # fmt: skip
def test_other_spellings_of_this_machine_are_refused(host):
    with pytest.raises(AddressRefused):
        resolve(parse_target(f"https://{host}/", ANY), ANY)


def test_a_name_that_means_nothing_is_refused(names, monkeypatch):
    def nothing(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    with pytest.raises(AddressRefused, match="cannot be resolved"):
        resolve(parse_target("https://nowhere.example/", ANY), ANY)


def test_networks_that_the_settings_name_are_allowed(names):
    rules = Rules(networks=(ip_network("10.1.0.0/16"),))
    names["in.example"], names["mapped.example"], names["out.example"] = (
        ["10.1.2.3"],
        ["::ffff:10.1.2.3"],
        ["10.2.0.1"],
    )
    assert resolve(parse_target("https://in.example/", rules), rules) == ["10.1.2.3"]
    assert resolve(parse_target("https://mapped.example/", rules), rules)
    with pytest.raises(AddressRefused, match="no public address"):
        resolve(parse_target("https://out.example/", rules), rules)


def test_http_is_for_this_machine_only_and_only_where_allowed(names):
    names["hooks.example"] = ["93.184.215.14"]
    assert resolve(parse_target("http://127.0.0.1:8000/", LOOPBACK), LOOPBACK) == ["127.0.0.1"]
    assert resolve(parse_target("http://[::1]:8000/", LOOPBACK), LOOPBACK) == ["::1"]
    with pytest.raises(AddressRefused, match="https"):
        resolve(parse_target("http://hooks.example/", LOOPBACK), LOOPBACK)
    with pytest.raises(AddressRefused, match="no public address"):
        resolve(parse_target("http://127.0.0.1:8000/", ANY), ANY)
    intranet = Rules(networks=(ip_network("10.0.0.0/8"),))
    names["in.example"] = ["10.0.0.1"]
    with pytest.raises(AddressRefused, match="https"):
        resolve(parse_target("http://in.example/", intranet), intranet)


def test_odd_ports_can_be_refused():
    rules = Rules(ports=(443, 8443))
    assert parse_target("https://example.com/", rules).port == 443
    assert parse_target("https://example.com:8443/x?y=1", rules).path == "/x?y=1"
    with pytest.raises(AddressRefused, match="allowed are 443, 8443"):
        parse_target("https://example.com:6379/", rules)


@given(st.ip_addresses(v=4))
def test_an_address_inside_is_refused_in_every_disguise(ip):
    if not is_public(ip):
        low = int(ip)
        for disguise in (
            f"::ffff:{ip}",
            f"64:ff9b::{ip}",
            f"2002:{low >> 16:x}:{low & 0xFFFF:x}::1",
            f"::{ip}",
        ):
            assert not is_public(ip_address(disguise))
