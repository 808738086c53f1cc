"""Files are kept once, whoever brings them and how often; deleted ones go a day later."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from scrm.kernel.db import transaction
from scrm.kernel.errors import InvalidInput, NotFound
from scrm.media.jobs import forget_media
from scrm.media.models import MediaFile
from scrm.media.service.keeping import delete_file, keep_file
from scrm.media.service.store import media_store
from tests.scrm.media.conftest import JPG, kept

DAYS = timedelta(days=2)


def test_the_same_file_is_kept_once(session):
    assert kept(JPG, "a.jpg").id == kept(JPG, "a.jpg").id
    assert session.scalar(select(func.count()).select_from(MediaFile)) == 1


def test_the_same_content_under_another_name_is_another_file_and_stored_once(session, now):
    first, second = kept(JPG, "王.jpg"), kept(JPG, "李.jpg")
    assert (first.filename, second.filename) == ("王.jpg", "李.jpg")
    assert first.sha256 == second.sha256
    assert [kept(JPG, name).id for name in ("李.jpg", "王.jpg")] == [second.id, first.id]
    with transaction():
        delete_file(first.id)
        session.execute(update(MediaFile).where(MediaFile.id == first.id).values(deleted_at=now - DAYS))
    forget_media()
    assert session.scalars(select(MediaFile.filename)).all() == ["李.jpg"]
    assert media_store().get(second.sha256) == JPG
    assert kept(JPG, "李.jpg").id == second.id  # although the place of the first name is free
    with transaction():
        delete_file(second.id)
        session.execute(update(MediaFile).values(deleted_at=now - DAYS))
    forget_media()
    with pytest.raises(FileNotFoundError):
        media_store().get(second.sha256)


def test_what_was_deleted_comes_back_when_it_is_brought_again(session):
    file = kept()
    with transaction():
        delete_file(file.id)
    with pytest.raises(NotFound), transaction():
        delete_file(file.id)
    assert kept().id == file.id
    assert file.deleted_at is None


def test_deleted_content_goes_a_day_later_and_not_before(session, now):
    file = kept(b"something that nobody else keeps", "x.txt")
    with transaction():
        delete_file(file.id)
    forget_media()
    assert media_store().get(file.sha256)
    with transaction():
        session.execute(update(MediaFile).values(deleted_at=now - timedelta(hours=25)))
    forget_media()
    with pytest.raises(FileNotFoundError):
        media_store().get(file.sha256)
    assert session.scalar(select(func.count()).select_from(MediaFile)) == 0


@pytest.mark.parametrize("content", [b"", b"12345"])
def test_an_empty_file_is_refused(session, content):
    with pytest.raises(InvalidInput, match="6 to"):
        keep_file("a.txt", content, "test")


@pytest.mark.parametrize("name", ["", "/", "a\nb.txt"])
def test_a_file_needs_a_printable_name(session, name):
    with pytest.raises(InvalidInput, match="file name"):
        keep_file(name, b"content", "test")


def test_folders_in_a_name_are_cut_off(session):
    assert kept(JPG, "C:\\fakepath\\../../etc/菜单.jpg").filename == "菜单.jpg"
