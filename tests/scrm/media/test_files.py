"""Files under names of their own, and stores in which something is gone already."""

import io

import pytest

from scrm.media.service.files import PIECE, file_store
from scrm.media.service.store import media_store


def test_a_file_comes_back_in_pieces_and_the_last_one_written_counts(app):
    with app.app_context():
        for content in (b"first", b"x" * (2 * PIECE + 5)):
            file = io.BytesIO(content)
            file.seek(3)
            file_store().put("exports/t.csv", file)
        assert [len(piece) for piece in file_store().pieces("exports/t.csv")] == [PIECE, PIECE, 5]
        file_store().remove("exports/t.csv")
        with pytest.raises(FileNotFoundError):
            file_store().pieces("exports/t.csv")


def test_what_is_gone_already_is_removed_without_an_error(app):
    with app.app_context():
        file_store().remove("exports/none.csv")
        media_store().remove("0" * 64)
