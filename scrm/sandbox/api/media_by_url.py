"""media/upload_by_url: WeCom fetches a large file itself, for group welcome templates (wecom-api.md §4.16)."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests

from scrm.sandbox.api.fields import integer, invalid, required
from scrm.sandbox.api.media_content import is_kind
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.callbacks.bodies import cdata
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.media import DONE, FAILED, RUNNING, SCENE_BY_URL, Media, UploadJob

if TYPE_CHECKING:
    from scrm.sandbox.runtime import Sandbox

BAD_TYPE, BAD_URL, TOO_BIG, NOT_LOADED, WRONG_MD5, BAD_FILE = 40005, 830001, 45001, 830003, 301019, 40004
WELCOME_SCENE = 1
TYPES = ("video", "file")
NAME_CHARS, URL_CHARS, MD5_CHARS = 128, 1_024, 32
LARGEST = 200 * 1024 * 1024
JOB_SECONDS = 3_600
FETCH_SECONDS = 20.0
CHUNK = 1 << 20
NEARBY = ("127.0.0.1", "localhost", "::1")  # the sandbox never leaves this machine
FINISHED = "upload_media_job_finish"


@api("media/upload_by_url")
def upload_by_url(call: Call) -> Json:
    """Begin to fetch; the job's end is told by upload_media_job_finish."""
    body, world = call.body, call.world
    integer(body, "scene", allowed=(WELCOME_SCENE,))
    kind = required(body, "type", BAD_TYPE)
    if kind not in TYPES:
        raise WecomError(BAD_TYPE, "invalid media type")
    name, url, md5 = required(body, "filename"), required(body, "url", BAD_URL), required(body, "md5")
    if len(name) > NAME_CHARS or len(md5) != MD5_CHARS:
        raise invalid("filename, md5", "are too long or no md5")
    if len(url) > URL_CHARS or not url.startswith(("http://", "https://")):
        raise WecomError(BAD_URL, "invalid url")
    job = UploadJob(world.ids.opaque("", 40), call.app.config.name, kind, name, url, md5, world.clock.now())
    world.upload_jobs[job.jobid] = job
    threading.Thread(target=_work, args=(call.sandbox, job), name="upload-by-url", daemon=True).start()
    return {"jobid": job.jobid}


@api("media/get_upload_by_url_result")
def get_upload_by_url_result(call: Call) -> Json:
    """Whether the file is there; a job is known for an hour."""
    job = call.world.upload_jobs.get(required(call.body, "jobid"))
    if job is None or call.world.clock.now() - job.created > JOB_SECONDS or job.app != call.app.config.name:
        raise invalid("jobid", "is unknown or expired")
    detail: Json = {"errcode": job.errcode, "errmsg": "ok" if not job.errcode else "failed"}
    if job.status == DONE:
        detail |= {
            "media_id": job.media_id,
            "created_at": str(int(call.world.media[job.media_id].created)),
        }
    answer: Json = {"status": job.status}
    return answer if job.status == RUNNING else answer | {"detail": detail}


def _work(sandbox: Sandbox, job: UploadJob) -> None:
    content = b""
    try:
        content = _fetched(job.url)
        code = _wrong(job, content)
    except (requests.RequestException, ValueError):
        code = NOT_LOADED
    with sandbox.world.lock:
        _finish(sandbox, job, content, code)


def _fetched(url: str) -> bytes:
    """The bytes behind an address of this machine; ValueError for any other."""
    if urlsplit(url).hostname not in NEARBY:
        raise ValueError("the sandbox fetches from this machine only")
    session = requests.Session()
    session.trust_env = False
    with session, session.get(url, timeout=FETCH_SECONDS, stream=True) as answer:
        answer.raise_for_status()
        content = bytearray()
        for chunk in answer.iter_content(CHUNK):
            content += chunk
            if len(content) > LARGEST:
                break
        return bytes(content)


def _wrong(job: UploadJob, content: bytes) -> int:
    if len(content) > LARGEST:
        return TOO_BIG
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != job.md5.lower():
        return WRONG_MD5
    return 0 if is_kind(job.type, content) else BAD_FILE


def _finish(sandbox: Sandbox, job: UploadJob, content: bytes, code: int) -> None:
    world = sandbox.world
    if world.upload_jobs.get(job.jobid) is not job:
        return  # the world was reset meanwhile
    job.status, job.errcode = (FAILED, code) if code else (DONE, 0)
    if not code:
        now = world.clock.now()
        media = Media(world.ids.opaque("", 64), job.type, job.filename, content, now, SCENE_BY_URL)
        world.media[media.media_id], job.media_id = media, media.media_id
    plaintext = sandbox.outbox.envelope().event(FINISHED, cdata("JobId", job.jobid))
    apps = [app for app in [world.apps[job.app]] if app.callback_url]
    sandbox.outbox.emit(FINISHED, "", apps, lambda _: plaintext)
