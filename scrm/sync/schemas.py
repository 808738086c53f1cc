"""What the API takes and shows of syncs."""

from __future__ import annotations

from marshmallow import fields
from marshmallow.validate import OneOf

from scrm.kernel.schemas import Schema, time_field
from scrm.sync.models import RepairTags, RunKind, RunState
from scrm.sync.service.following import CHOICES


class SyncRunIn(Schema):
    """A sync somebody wants."""

    entities = fields.List(
        fields.String(validate=OneOf(CHOICES)),
        load_default=list,
        metadata={"description": "what to sync; empty: everything"},
    )
    dry_run = fields.Boolean(
        load_default=False,
        metadata={
            "description": "read and compare, and write nothing; 409 while another run waits for a person"
        },
    )
    repair_tags = fields.Enum(
        RepairTags,
        by_value=True,
        load_default=RepairTags.OURS,
        metadata={
            "description": "whose tags of customers are mended where both differ: ours (take what WeCom shows), "
            "wecom (send what we hold), none (report only)"
        },
    )


class SyncRunOut(Schema):
    """A run in a list."""

    id = fields.Integer()
    kind = fields.Enum(RunKind, by_value=True)
    state = fields.Enum(RunState, by_value=True)
    by = fields.String()
    entities = fields.List(fields.String())
    dry_run = fields.Boolean()
    repair_tags = fields.Enum(RepairTags, by_value=True)
    guard = fields.Dict(
        metadata={"description": "entities of which too much would vanish: {entity: {gone, of, share}}"}
    )
    confirmed_by = fields.String(allow_none=True)
    confirmed_at = time_field(allow_none=True)
    error = fields.String(allow_none=True)
    created_at = time_field()
    finished_at = time_field(allow_none=True)


class CountsOut(Schema):
    """What a run came to for one entity."""

    seen = fields.Integer()
    new = fields.Integer()
    changed = fields.Integer()
    gone = fields.Integer()
    untouched = fields.Integer()
    fields_ = fields.Dict(
        attribute="fields", data_key="fields", metadata={"description": "rows that differed, by column"}
    )
    samples = fields.Dict(metadata={"description": "ids to look at: {new, changed, gone}"})


class FailureOut(Schema):
    """Something that could not be read: nothing was concluded from it."""

    entity = fields.String()
    key = fields.String(metadata={"description": "the member's userid, or WeCom's id"})
    errcode = fields.Integer(allow_none=True)
    reason = fields.String()
    zh = fields.String(metadata={"description": "what to do, in Chinese"})
    en = fields.String(metadata={"description": "what to do, in English"})
    page = fields.String(allow_none=True, metadata={"description": "page of WeCom's admin console"})


class DriftOut(Schema):
    """What differed although events should have told it."""

    since = time_field(allow_none=True, metadata={"description": "end of the last complete run"})
    entities = fields.Dict()


class ProgressOut(Schema):
    """How far a run is."""

    parts = fields.Integer(allow_none=True)
    parts_read = fields.Integer(allow_none=True)
    parts_applied = fields.Integer(allow_none=True)
    rows = fields.Integer(allow_none=True)
    rows_per_second = fields.Float(allow_none=True)
    seconds = fields.Float(allow_none=True)
    seconds_left = fields.Float(allow_none=True, metadata={"description": "of the present state; a guess"})


class SyncReportOut(SyncRunOut):
    """A run with everything known of it."""

    counts = fields.Dict(keys=fields.String(), values=fields.Nested(CountsOut))
    failures = fields.List(fields.Nested(FailureOut))
    drift = fields.Nested(DriftOut)
    progress = fields.Nested(ProgressOut)
