"""Reading callback XML: every shape WeCom sends, and nothing else."""

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wecom_callbacks import xml
from wecom_callbacks.refusals import Refusal, Refused

DEPTH = 24
DOCTYPE = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "1">]>'
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">'
    + b"".join(
        b'<!ENTITY lol%d "%s">' % (i, b"&lol%s;" % (str(i - 1).encode() if i else b"") * 10) for i in range(9)
    )
    + b"]><xml>&lol8;</xml>"
)
ENVELOPE = b"<xml><ToUserName><![CDATA[wwcorp]]></ToUserName><Encrypt><![CDATA[QUJD]]></Encrypt></xml>"


def refusal(function, document):
    started = time.thread_time()
    with pytest.raises(Refused) as caught:
        function(document, DEPTH)
    assert time.thread_time() - started < 0.5
    return caught.value.refusal


@pytest.mark.parametrize("function", [xml.parse, xml.check, xml.encrypted_part])
@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b"", Refusal.NOT_XML),
        (b"hello", Refusal.NOT_XML),
        (b"<xml><a></xml>", Refusal.NOT_XML),
        (b"<xml><a>1</a>", Refusal.NOT_XML),
        (b"<xml>&undefined;</xml>", Refusal.NOT_XML),
        (b"<xml><a>\x00</a></xml>", Refusal.NOT_XML),
        (b"<xml><a>\xff\xfe</a></xml>", Refusal.NOT_XML),
        (b"<xml><a>\xed\xa0\x80</a></xml>", Refusal.NOT_XML),
        (b'{"json": 1}', Refusal.NOT_XML),
        (BOMB, Refusal.FORBIDDEN_XML),
        (DOCTYPE + b"<xml><a>1</a></xml>", Refusal.FORBIDDEN_XML),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><xml><a/></xml>', Refusal.FORBIDDEN_XML),
        (b"<xml><?php echo 1 ?><a>1</a></xml>", Refusal.FORBIDDEN_XML),
        (b"<a>" * 200_000 + b"</a>" * 200_000, Refusal.TOO_DEEP),
        (b"<a>" * 200_000, Refusal.TOO_DEEP),
        (b"<a>" * (DEPTH + 1) + b"</a>" * (DEPTH + 1), Refusal.TOO_DEEP),
    ],
    ids=lambda value: value[:24].decode(errors="replace") if isinstance(value, bytes) else "",
)
def test_hostile_documents_are_refused_at_once(function, document, expected):
    assert refusal(function, document) is expected


def test_the_deepest_allowed_document_is_read():
    xml.check(b"<a>" * DEPTH + b"</a>" * DEPTH, DEPTH)


def test_children_text_and_repeated_children():
    document = (
        "<xml>\n <A>1</A><B><![CDATA[小明 <&> ]]></B><L><Item>a</Item><Item>b</Item></L>"
        "<R>1</R><R>2</R><R>3</R><E></E><Deep><X><Y>z</Y></X></Deep></xml>"
    ).encode()
    assert xml.parse(document, DEPTH) == {
        "A": "1",
        "B": "小明 <&> ",
        "L": {"Item": ["a", "b"]},
        "R": ["1", "2", "3"],
        "E": "",
        "Deep": {"X": {"Y": "z"}},
    }


def test_an_end_of_cdata_inside_the_text_survives():
    assert xml.parse(b"<xml><A><![CDATA[x]]]]><![CDATA[>y]]></A></xml>", DEPTH) == {"A": "x]]>y"}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("<MemChangeList><Item>wmA</Item><Item>wmB</Item></MemChangeList>", ["wmA", "wmB"]),
        ("<MemChangeList><Item>wmA</Item></MemChangeList>", ["wmA"]),
        ("<MemChangeList><![CDATA[wmA,wmB]]></MemChangeList>", ["wmA", "wmB"]),
        ("<MemChangeList></MemChangeList>", []),
        ("", []),
    ],
)
def test_both_shapes_of_mem_change_list_give_one_list(shape, expected):
    fields = xml.parse(f"<xml><A>1</A>{shape}</xml>".encode(), DEPTH)
    assert xml.listed(fields.get("MemChangeList")) == expected


@pytest.mark.parametrize(
    "body",
    [
        ENVELOPE,
        b"<xml><Encrypt>QUJD</Encrypt></xml>",
        b"<xml><Encrypt><![CDATA[QUJD]]></Encrypt><AgentID></AgentID></xml>",
        b'<?xml version="1.0" encoding="UTF-8"?>\n<xml>\n<Encrypt>\n<![CDATA[QUJD]]>\n</Encrypt>\n</xml>\n',
        b"<xml><!-- note --><New>1</New><Encrypt a='1'><![CDATA[QUJD]]></Encrypt></xml>",
    ],
)
def test_the_encrypted_part_is_found_in_every_sound_envelope(body):
    assert xml.encrypted_part(body, DEPTH) == b"QUJD"


@pytest.mark.parametrize(
    "body",
    [
        b"<xml></xml>",
        b"<xml><Encrypt></Encrypt><Encrypt>QUJD</Encrypt></xml>",
        b"<xml><Encrypt><A>QUJD</A></Encrypt></xml>",
        b"<xml><A><Encrypt>QUJD</Encrypt></A></xml>",
        "<xml><Encrypt>密文</Encrypt></xml>".encode(),
        ENVELOPE + ENVELOPE,
    ],
)
def test_an_envelope_without_one_encrypt_is_refused(body):
    assert refusal(xml.encrypted_part, body) is Refusal.NOT_XML


@given(st.binary(max_size=120))
def test_any_bytes_are_read_or_refused(junk):
    for document in (junk, b"<xml><Encrypt>" + junk + b"</Encrypt></xml>", b"<xml>" + junk + b"</xml>"):
        for function in (xml.parse, xml.check, xml.encrypted_part):
            with suppress(Refused):
                function(document, DEPTH)


@given(
    st.dictionaries(st.sampled_from("ABCDE"), st.text(st.characters(exclude_categories=("C",)), min_size=1))
)
def test_what_was_written_is_read(fields):
    def cdata(text):
        return f"<![CDATA[{text.replace(']]>', ']]]]><![CDATA[>')}]]>"

    document = "<xml>" + "".join(f"<{k}>{cdata(v)}</{k}>" for k, v in fields.items()) + "</xml>"
    assert xml.parse(document.encode(), DEPTH) == fields
    xml.check(document.encode(), DEPTH)
