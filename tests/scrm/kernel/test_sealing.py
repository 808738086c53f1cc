"""Sealed secrets open with their key, for their owner, and not at all once a bit is changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrm.kernel.sealing import SealBroken, seal, unseal


@given(st.binary(max_size=200), st.text(max_size=50), st.text(min_size=1, max_size=50))
def test_what_is_sealed_opens_again(plain, about, key):
    assert unseal(seal(plain, about, key), about, key) == plain


def test_the_same_secret_looks_different_each_time():
    assert seal(b"secret", "a", "key") != seal(b"secret", "a", "key")


@pytest.mark.parametrize(("about", "key"), [("endpoint:2", "key"), ("endpoint:1", "other key")])
def test_another_key_or_another_owner_opens_nothing(about, key):
    with pytest.raises(SealBroken):
        unseal(seal(b"secret", "endpoint:1", "key"), about, key)


@given(st.data())
def test_one_changed_bit_is_noticed(data):
    sealed = bytearray(seal(b"secret", "a", "key"))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SealBroken):
        unseal(bytes(sealed), "a", "key")


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" + bytes(27), b"whsec_plain"])
def test_what_was_never_sealed_is_refused(sealed):
    with pytest.raises(SealBroken):
        unseal(sealed, "a", "key")


def test_without_a_key_of_its_own_it_is_the_one_of_the_cookies(app):
    with app.app_context():
        assert unseal(seal(b"x", "a"), "a", app.config["SECRET_KEY"]) == b"x"
