"""Batches at the same moment: each event once, counts right, nobody waits for ever."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select, text

from scrm.behaviour.models import EventDay, EventType
from scrm.behaviour.service.storing import check_events, make_room, store_events
from scrm.kernel.batch import Batch
from scrm.kernel.db import db, session, transaction

ROWS = [
    {
        "source_id": f"e{n}",
        "type": "seen",
        "at": f"20{20 + n % 3}-03-0{1 + n % 9}T00:00:00Z",
        "identities": {"member_no": f"M1000{n % 7}"},
    }
    for n in range(60)
]


def test_the_same_events_sent_by_several_at_once_are_stored_once(app, committed):
    with transaction():
        committed.add(EventType(key="seen", name_zh="看", name_en="seen", properties=[]))

    def send(turn):
        with app.app_context():
            rows = ROWS if turn % 2 else ROWS[::-1]
            for start in range(0, len(rows), 20):
                batch = Batch("mall", [dict(row) for row in rows[start : start + 20]])
                checked = check_events(batch)
                with transaction():
                    make_room(checked)
                with transaction():
                    store_events(batch, checked)
            db.session.remove()
            return batch.answer()["refused"]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(send, range(4))) == [0] * 4
    count = "SELECT count(*), count(DISTINCT source_id) FROM behaviour_events"
    assert tuple(session().execute(text(count)).one()) == (60, 60)
    assert sum(session().scalars(select(EventDay.count))) == 60
