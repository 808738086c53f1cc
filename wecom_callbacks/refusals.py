"""Why a callback is refused: one stable word for metrics, one sentence for the sender, one HTTP status."""

from __future__ import annotations

from enum import Enum


class Refusal(Enum):
    """Every reason, with its status and the line that is answered; nothing of the request is repeated in it."""

    UNKNOWN_APP = (404, "no app of this name takes callbacks")
    TOO_LARGE = (413, "the body is larger than callbacks.max_body_bytes")
    INCOMPLETE = (400, "the query needs msg_signature, timestamp and nonce, a GET also echostr")
    NOT_XML = (400, "the body is not XML with one Encrypt element")
    FORBIDDEN_XML = (400, "the XML has a document type, entities or processing instructions")
    TOO_DEEP = (400, "the XML is nested deeper than callbacks.max_xml_depth")
    BAD_SIGNATURE = (403, "msg_signature does not fit the app's token")
    STALE = (403, "the timestamp is further from now than callbacks.freshness_seconds")
    BAD_ENCRYPTION = (400, "the encrypted part is not whole: base64 or AES block length is wrong")
    BAD_PADDING = (400, "the decrypted padding or length is wrong; compare the EncodingAESKey")
    WRONG_RECEIVER = (403, "the message is for another receive id than corp.id")
    STORE_AWAY = (503, "the callback could not be stored in time; send it again")

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.value[0]

    @property
    def line(self) -> str:
        """One line for the sender."""
        return self.value[1]


class Refused(Exception):  # noqa: N818  # reads as a statement where it is raised
    """The callback is not taken; ``refusal`` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.line)
        self.refusal = refusal
