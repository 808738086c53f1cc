"""WeCom's encryption: the official vectors, and wechatpy as a second opinion."""

import base64

import pytest
from Crypto.Cipher import AES
from hypothesis import given
from hypothesis import strategies as st
from wechatpy.work.crypto import PrpCrypto, WeChatCrypto

from tests.profiles import examples
from wecom_callbacks.crypto import CallbackCrypto
from wecom_callbacks.refusals import Refusal, Refused

TOKEN, KEY, CORP = "QDG6eK", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C", "wx5823bf96d3bd56c7"
ECHO = b"P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ=="
SEALED = b"sKqRbbiSUnDhFHOvPjtUMTPTmNtN3HdhYYuq+xfO4yHw7fJnQLXlKWVDmc3dCrze5pdIMoO7c/jS0XPEQGIKbg=="

crypto = CallbackCrypto(TOKEN, KEY, CORP)
theirs = PrpCrypto(WeChatCrypto(TOKEN, KEY, CORP).key)


def refusal(encrypted, opener=crypto):
    with pytest.raises(Refused) as caught:
        opener.decrypt(encrypted)
    return caught.value.refusal


def seal(plain):
    """Encrypt bytes that are already padded, however wrongly."""
    key = base64.b64decode(KEY + "=")
    return base64.b64encode(AES.new(key, AES.MODE_CBC, key[:16]).encrypt(plain))


def plain(message, length=None):
    return (
        b"r" * 16 + (len(message) if length is None else length).to_bytes(4, "big") + message + CORP.encode()
    )


def test_the_official_echo_vector():
    signature = crypto.signature(b"1409659589", b"263014780", ECHO)
    assert signature == b"5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3"
    crypto.verify(signature, b"1409659589", b"263014780", ECHO)
    assert crypto.decrypt(ECHO) == b"1616140317555161061"


def test_the_official_encryption_vector():
    sealed = crypto.encrypt(b"<xml><a>1</a></xml>", b"0123456789abcdef")
    assert sealed == SEALED
    assert (
        crypto.signature(b"1409735669", b"1320562132", sealed) == b"2f7f613357b8debba461a1a093e70006ca98471c"
    )


@given(st.text(max_size=300))
def test_what_wechatpy_seals_we_open_and_the_other_way(message):
    assert crypto.decrypt(theirs.encrypt(message, CORP)) == message.encode()
    assert theirs.decrypt(crypto.encrypt(message.encode()), CORP) == message


@given(st.binary(max_size=200), st.integers(0, 10**6), st.integers(1, 255))
@examples(300)
def test_a_damaged_message_is_refused_or_at_least_no_crash(message, place, flip):
    sealed = bytearray(base64.b64decode(crypto.encrypt(message)))
    sealed[place % len(sealed)] ^= flip
    try:
        opened = crypto.decrypt(base64.b64encode(bytes(sealed)))
    except Refused as refused:
        opened = refused.refusal
    assert isinstance(opened, bytes) or opened in {Refusal.BAD_PADDING, Refusal.WRONG_RECEIVER}


@given(st.binary(max_size=200))
def test_any_bytes_in_place_of_the_cipher_text_are_refused(junk):
    assert refusal(junk) in {Refusal.BAD_ENCRYPTION, Refusal.BAD_PADDING, Refusal.WRONG_RECEIVER}


@pytest.mark.parametrize(
    "encrypted", [b"", b"====", b"not base64 !", SEALED[:-1], SEALED[:-4], b"AAAA", b"\xff\xfe"]
)
def test_base64_and_block_length_must_be_whole(encrypted):
    assert refusal(encrypted) is Refusal.BAD_ENCRYPTION


@pytest.mark.parametrize(
    "padding", [b"\x00" * 16, bytes([33]) * 33, b"\x01" * 7 + b"\x09", b"\x05\x06\x06\x06\x06\x06"]
)
def test_every_byte_of_the_padding_is_checked(padding):
    body = plain(b"m" * 100)
    body = body + b"x" * (-(len(body) + len(padding)) % 16) + padding
    assert refusal(seal(body)) is Refusal.BAD_PADDING


@pytest.mark.parametrize("length", [10_000, 2**32 - 1])
def test_a_length_beyond_the_end_is_refused(length):
    body = plain(b"hello", length=length)
    pad = 32 - len(body) % 32
    assert refusal(seal(body + bytes([pad]) * pad)) is Refusal.BAD_PADDING


@pytest.mark.parametrize("corp", ["", "wx5823bf96d3bd56c8", "wx5823bf96d3bd56c", "wx5823bf96d3bd56c77"])
def test_a_message_for_somebody_else_is_refused(corp):
    assert refusal(CallbackCrypto(TOKEN, KEY, corp).encrypt(b"<xml/>")) is Refusal.WRONG_RECEIVER


@pytest.mark.parametrize("place", range(4))
def test_each_part_is_signed(place):
    parts = [b"1409659589", b"263014780", ECHO]
    signature = crypto.signature(*parts)
    if place == 3:
        signature = signature.upper()
    else:
        parts[place] += b"0"
    with pytest.raises(Refused) as caught:
        crypto.verify(signature, *parts)
    assert caught.value.refusal is Refusal.BAD_SIGNATURE


def test_a_signature_that_is_no_ascii_is_refused_like_any_other():
    with pytest.raises(Refused):
        crypto.verify("签名".encode(), b"1", b"2", ECHO)


def test_a_key_of_the_wrong_length_is_said_at_the_start():
    with pytest.raises(ValueError, match="32 bytes"):
        CallbackCrypto(TOKEN, "YWJj", CORP)
