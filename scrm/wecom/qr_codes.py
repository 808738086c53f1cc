"""QR codes in WeCom's pictures: what stands in one, and drawing it anew at any size.

A drawing of the same content leads to the same code, is as sharp as one likes, has a free choice of error correction,
and does not depend on WeCom's address staying alive.
"""

from __future__ import annotations

import io
import struct

import segno
from PIL import Image

MOST_SIDE = 4096  # pixels; a QR code of 177 modules needs far less
UNREADABLE = (OSError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)
"""What Pillow raises for bytes that are no picture, a broken one or one of gigapixels."""
QUIET_ZONE = 4  # modules of white around the code, which ISO/IEC 18004 asks for


def content_of(picture: bytes) -> str:
    """What a scanner reads in the picture.

    :raises ValueError: when it is no picture, an absurdly large one, or holds not exactly one QR code
    """
    import zxingcpp  # here: a process that loads it writes lines about leaks when it ends

    only_qr = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
    try:
        with Image.open(io.BytesIO(picture), formats=("PNG", "JPEG", "GIF", "WEBP")) as image:
            if max(image.size) > MOST_SIDE:
                raise ValueError(f"the picture is larger than {MOST_SIDE} pixels")
            grey = image.convert("RGBA")
            flat = Image.new("RGBA", grey.size, "white")
            flat.alpha_composite(grey)
            found = zxingcpp.read_barcodes(flat.convert("L"), formats=only_qr)
    except UNREADABLE as error:
        raise ValueError("what WeCom's address leads to is no picture") from error
    if len(found) != 1:
        raise ValueError(f"the picture holds {len(found)} readable QR codes in place of one")
    return str(found[0].text)


def draw(content: str, kind: str, *, size: int, error: str) -> bytes:
    """A QR code of this content.

    :param kind: ``png`` or ``svg``
    :param size: least side in pixels; a PNG has whole pixels per module, so it may be larger by less than one each
    :param error: level of correction, L M Q H
    """
    qr = segno.make_qr(content, error=error, boost_error=False)
    modules, _ = qr.symbol_size(border=QUIET_ZONE)
    out = io.BytesIO()
    if kind == "svg":
        qr.save(out, kind="svg", border=QUIET_ZONE, scale=size / modules, light="#fff", xmldecl=True)
    else:
        qr.save(out, kind="png", border=QUIET_ZONE, scale=-(-size // modules))
    return out.getvalue()
