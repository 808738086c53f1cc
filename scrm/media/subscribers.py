"""The library serves the lanes of scrm.wecom, and files that are wanted are uploaded soon."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from scrm.kernel.clock import utcnow
from scrm.kernel.db import db, transaction
from scrm.kernel.events import subscribe
from scrm.kernel.kept import entering_app
from scrm.media import jobs
from scrm.media.events import MediaWanted
from scrm.media.service import uploading
from scrm.media.service.store import media_store
from scrm.wecom import references
from scrm.wecom.client import Client
from scrm.wecom.errors import Stop
from scrm.wecom.references import Reference

Enter = Callable[[], AbstractContextManager[object]]


@subscribe(MediaWanted)
def upload_soon(events: Sequence[MediaWanted]) -> None:
    """Files of a message that was just written shall be at WeCom before it is sent."""
    jobs.renew_media.wake()


class MediaLibrary:
    """What lanes ask: ids that live, and uploads in their threads. See scrm.wecom.references.Library."""

    def __init__(self) -> None:
        self._locks: dict[Reference, threading.Lock] = {}

    def known(self, wanted: Sequence[Reference]) -> Mapping[Reference, str]:
        """Ids that are good for a while yet; being used keeps them renewed."""
        with transaction():
            uploading.want(wanted)
            return uploading.living_ids(wanted)

    def opener(self) -> Callable[[Client, Reference], str]:
        """A function for other threads that uploads a file now; one thread of this process does it, others wait."""
        enter = entering_app()
        return lambda client, reference: self._obtain(enter, client, reference)

    def forget(self, wanted: Sequence[Reference]) -> None:
        """WeCom does not know these ids any more. Calls say so in their threads: never in the lane's own session."""
        with entering_app()(), transaction():
            uploading.forget(wanted)

    def _obtain(self, enter: Enter, client: Client, reference: Reference) -> str:
        with self._locks.setdefault(reference, threading.Lock()), enter():
            known, files = uploading.living_ids([reference]), uploading.stored([reference])
            db.session.remove()  # nothing is open while WeCom is called
            if reference in known:
                return known[reference]
            if not files:
                raise Stop("media store", None, f"the media library has no file {reference.library_id}")
            asked_at = utcnow()
            media_id = uploading.upload_stored(media_store(), client, files[0])
            with transaction():
                uploading.note_uploaded(files[0], media_id, asked_at)
            return media_id


references.install(MediaLibrary())
