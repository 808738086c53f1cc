"""What WeCom takes where, checked before any call."""

from __future__ import annotations

import pytest

from scrm.kernel.errors import InvalidInput
from scrm.media.models import MediaKind, Use
from scrm.media.service.keeping import check_uses
from scrm.media.service.rules import MEGABYTE, RULES, kind_of, refusal, voice_seconds
from tests.scrm.media.conftest import JPG, MP4, PNG, amr, kept


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (JPG, MediaKind.IMAGE),
        (PNG, MediaKind.IMAGE),
        (MP4, MediaKind.VIDEO),
        (amr(1), MediaKind.VOICE),
        (b"%PDF-1.7 and more", MediaKind.FILE),
    ],
)
def test_the_content_says_what_a_file_is_not_its_name(content, kind):
    assert kind_of(content) is kind


def test_the_length_of_a_voice_message_is_counted_by_its_frames():
    assert voice_seconds(amr(12.5)) == pytest.approx(12.5)
    assert voice_seconds(JPG) is None


def test_a_voice_message_over_a_minute_is_refused():
    assert refusal(MediaKind.VOICE, 1000, 60.0, Use.VOICE) is None
    assert "at most 60 s" in refusal(MediaKind.VOICE, 1000, 60.02, Use.VOICE)


@pytest.mark.parametrize("use", list(Use))
def test_every_use_takes_its_largest_size_and_not_a_byte_more(use):
    rule = RULES[use]
    kind = min(rule.kinds)
    assert refusal(kind, rule.most, 1.0, use) is None
    assert str(rule.most) in refusal(kind, rule.most + 1, 1.0, use)


def test_a_picture_for_a_link_may_have_two_megabytes_only():
    assert RULES[Use.PICTURE_URL].most == 2 * MEGABYTE


def test_a_video_is_no_picture(session):
    video = kept(MP4, "movie.jpg")
    with pytest.raises(InvalidInput) as refused:
        check_uses([(video.id, Use.IMAGE, "attachments.0"), (video.id, Use.VIDEO, "attachments.1")])
    assert list(refused.value.fields) == ["attachments.0"]
    assert "takes image" in refused.value.fields["attachments.0"]


def test_a_file_that_does_not_exist_is_named(session):
    with pytest.raises(InvalidInput) as refused:
        check_uses([(77, Use.IMAGE, "attachments.2")])
    assert refused.value.fields == {"attachments.2": "there is no media file 77"}
