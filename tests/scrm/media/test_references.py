"""Messages name files by our number; what WeCom receives carries an id that lives."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from config.queues import Queue
from scrm.kernel.db import session as current_session
from scrm.kernel.db import transaction
from scrm.kernel.errors import InvalidInput
from scrm.media.jobs import renew_media
from scrm.media.models import MediaUpload, Use
from scrm.media.service.keeping import delete_file
from scrm.media.service.uploading import keep_ready
from scrm.wecom.effects import Intent, plan
from scrm.wecom.models import EffectState
from scrm.wecom.parallel import submit
from scrm.wecom.references import Reference, Resolver, library, named_in, with_ids
from tests.scrm.media.conftest import MP4, PNG, carried_out, kept, send_welcome

UPLOAD, WELCOME = "media/upload", "externalcontact/send_welcome_msg"


def image(file_id):
    return {"msgtype": "image", "image": {"library_id": file_id}}


def uploads(sandbox, api=UPLOAD):
    return len(sandbox.log(api=api))


def the_upload():
    with transaction():
        rows = current_session().scalars(select(MediaUpload), execution_options={"populate_existing": True})
        return rows.one()


def test_a_file_is_uploaded_when_its_first_message_leaves_and_not_again(sandbox, member):
    file = kept()
    first, second = (send_welcome(sandbox, member, [image(file.id)]) for _ in range(2))
    assert [first.state, second.state] == [EffectState.CONFIRMED] * 2
    assert uploads(sandbox) == 1
    sent = [call["body"]["attachments"] for call in sandbox.log(api=WELCOME)]
    assert sent == [[{"msgtype": "image", "image": {"media_id": the_upload().media_id}}]] * 2


def test_every_kind_of_attachment_gets_the_id_of_its_own_upload_api(sandbox, member):
    picture, video, paper = kept(PNG, "a.png"), kept(MP4, "b.mp4"), kept(b"%PDF-1.7 paper", "c.pdf")
    told = send_welcome(
        sandbox,
        member,
        [
            {"msgtype": "video", "video": {"library_id": video.id}},
            {"msgtype": "file", "file": {"library_id": paper.id}},
            {"msgtype": "link", "link": {"title": "t", "url": "https://example.test", "pic_library_id": picture.id}},
            {
                "msgtype": "miniprogram",
                "miniprogram": {"title": "t", "appid": "wx1", "page": "p", "pic_library_id": picture.id},
            },
        ],
    )  # fmt: skip
    assert told.state == EffectState.CONFIRMED, told.error
    assert (uploads(sandbox), uploads(sandbox, "media/uploadimg")) == (3, 1)
    [sent] = [call["body"]["attachments"] for call in sandbox.log(api=WELCOME)]
    assert sent[2]["link"]["picurl"].startswith("https://")
    assert "pic_media_id" in sent[3]["miniprogram"]
    assert not any("library_id" in key for part in sent for key in part[part["msgtype"]])


def test_an_id_that_wecom_forgot_is_made_anew_and_the_message_arrives(sandbox, member):
    file = kept()
    send_welcome(sandbox, member, [image(file.id)])
    sandbox.advance_clock(4 * 24 * 3600)  # WeCom's three days are over, and we do not know it
    sandbox.expire_tokens()
    told = send_welcome(sandbox, member, [image(file.id)])
    if told.state == EffectState.PLANNED:
        with transaction():
            current_session().execute(update(type(told)).values(next_at=None))
        told = carried_out(told.key)
    assert told.state == EffectState.CONFIRMED, told.error
    assert uploads(sandbox) == 2


def test_a_call_that_finds_an_id_dead_does_not_touch_the_lane_s_own_transaction(sandbox, member):
    """Calls run in threads while the lane records others: sharing its session would commit or lose each other's rows."""
    file = kept()
    send_welcome(sandbox, member, [image(file.id)])
    reference = Reference(file.id, Use.IMAGE.value)
    with pytest.raises(ZeroDivisionError), transaction():  # noqa: PT012  # the lane's transaction comes to nothing
        submit(lambda: library().forget([reference])).result()
        raise ZeroDivisionError
    assert the_upload().media_id is None


def test_a_file_forgotten_by_one_call_while_another_is_filled_does_not_break_that_one():
    """Threads share what they know of a batch's files."""
    resolver = Resolver([])

    def obtain(client, reference):
        if reference.library_id == 2:
            resolver.forget(image(1))  # what another thread does when WeCom refuses the id
        return f"m{reference.library_id}"

    resolver._obtain = obtain
    filled = resolver.fill(None, {"attachments": [image(1), image(2)]})
    assert [part["image"] for part in filled["attachments"]] == [{"media_id": "m1"}, {"media_id": "m2"}]


def test_files_of_a_message_are_uploaded_before_it_is_sent_and_renewed_before_they_end(sandbox, member, now):
    file = kept()
    with transaction():
        keep_ready([image(file.id)])
    renew_media()
    first = the_upload().media_id
    assert first
    assert the_upload().expires_at == the_upload().uploaded_at + timedelta(days=3)
    renew_media()
    assert uploads(sandbox) == 1
    with transaction():  # 61 hours later
        current_session().execute(update(MediaUpload).values(expires_at=now + timedelta(hours=11)))
    renew_media()
    assert uploads(sandbox) == 2
    assert the_upload().media_id != first


def test_a_file_that_nobody_uses_any_more_is_not_renewed(sandbox, member, now):
    file = kept()
    with transaction():
        keep_ready([image(file.id)])
        current_session().execute(update(MediaUpload).values(keep_until=now - timedelta(seconds=1)))
    renew_media()
    assert uploads(sandbox) == 0


def test_an_upload_that_fails_is_tried_again_later_and_its_reason_is_kept(sandbox, member, now):
    file = kept()
    with transaction():
        keep_ready([image(file.id)])
    sandbox.fault("errcode", api=UPLOAD, errcode=40009, times=1)
    renew_media()
    resting = the_upload()
    assert (resting.media_id, resting.attempts) == (None, 1)
    assert resting.error.startswith("40009")
    assert resting.next_at > now
    renew_media()
    assert uploads(sandbox) == 0
    with transaction():
        current_session().execute(update(MediaUpload).values(next_at=now))
    renew_media()
    assert the_upload().error is None


def test_a_message_whose_file_cannot_be_uploaded_now_waits_and_is_not_unknown(sandbox, member):
    sandbox.fault("disconnect", api=UPLOAD, times=1)
    told = send_welcome(sandbox, member, [image(kept().id)])
    assert told.state == EffectState.PLANNED
    assert uploads(sandbox, WELCOME) == 0


def test_a_message_whose_file_was_deleted_fails_with_that_reason(sandbox, member):
    file = kept()
    with transaction():
        delete_file(file.id)
    told = send_welcome(sandbox, member, [image(file.id)])
    assert told.state == EffectState.FAILED
    assert f"no file {file.id}" in told.error


def test_a_message_whose_file_was_removed_long_ago_fails_alone_and_the_others_of_its_batch_arrive(
    sandbox, member
):
    file = kept()
    gone, there = file.id + 1000, file.id
    with transaction():
        plan(
            [Intent(kind="broadcast", key="lost", queue=Queue.URGENT, payload={"attachments": [image(gone)]})]
        )
    assert send_welcome(sandbox, member, [image(there)]).state is EffectState.CONFIRMED
    lost = carried_out("lost")
    assert (lost.state, lost.error) == (EffectState.FAILED, f"the media library has no file {gone}")


def test_a_draft_with_an_unknown_file_is_refused_by_its_place(session):
    with pytest.raises(InvalidInput) as refused:
        keep_ready([image(5)])
    assert list(refused.value.fields) == ["attachments.0"]


parts = st.recursive(
    st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["image", "link", "video", "file", "miniprogram", "text", "title"]),
            inner,
            max_size=4,
        )
        | st.fixed_dictionaries({"image": st.fixed_dictionaries({"library_id": st.integers(1, 9)})})
        | st.fixed_dictionaries({"link": st.fixed_dictionaries({"pic_library_id": st.integers(1, 9)})})
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["text", "attachments", "image"]), parts, max_size=3))
def test_after_filling_in_nothing_of_ours_is_left_and_the_plan_is_unchanged(payload):
    before = repr(payload)
    wanted = named_in(payload)
    filled = with_ids(payload, {reference: f"M{reference.library_id}{reference.use}" for reference in wanted})
    assert repr(payload) == before
    assert named_in(filled) == []
    assert all(Use(reference.use) for reference in wanted)
