"""What the API says about persons."""

from __future__ import annotations

from marshmallow import fields
from marshmallow.validate import Length, OneOf

from scrm.kernel.batch import MOST_ROWS
from scrm.kernel.schemas import BatchOut, PageQuery, RowResultSchema, Schema, time_field
from scrm.people.models import MatchKind, MatchState
from scrm.people.queries.reasons import reason_words


class IdentityOut(Schema):
    """A value that identifies the person; masked without ``people:write``."""

    kind = fields.String(required=True)
    value = fields.String(required=True)
    source = fields.String(required=True)
    since = time_field(required=True)


class FieldValueOut(Schema):
    """The standing value of one field, with where it comes from."""

    key = fields.String(required=True)
    type = fields.String(required=True)
    name_zh = fields.String(required=True)
    name_en = fields.String(required=True)
    required = fields.Boolean(required=True)
    value = fields.Raw(allow_none=True, required=True)
    source = fields.String(allow_none=True, required=True)
    at = time_field(allow_none=True, required=True)


class ConsentOut(Schema):
    """Whether the person may be contacted over a channel."""

    channel = fields.String(required=True)
    contactable = fields.Boolean(required=True)
    source = fields.String(required=True)
    at = time_field(required=True)


class MergeOut(Schema):
    """One merge; undoing it gives both exactly what they had."""

    id = fields.Integer(required=True)
    kept_id = fields.Integer(required=True)
    gone_id = fields.Integer(required=True)
    by = fields.String(required=True)
    at = time_field(required=True)
    undone_at = time_field(allow_none=True)
    undone_by = fields.String(allow_none=True)


class PersonOut(Schema):
    """One person."""

    id = fields.Integer(required=True)
    identities = fields.List(fields.Nested(IdentityOut), required=True)
    fields_ = fields.List(fields.Nested(FieldValueOut), required=True, data_key="fields", attribute="fields")
    customer_ids = fields.List(fields.Integer(), required=True)
    consents = fields.List(fields.Nested(ConsentOut), required=True)
    merged = fields.List(fields.Nested(MergeOut), required=True)


class SearchIn(Schema):
    """Who has this identity? In the body, because addresses of requests are logged."""

    kind = fields.String(required=True, validate=Length(1, 100))
    value = fields.String(required=True, validate=Length(1, 200))


class BlockIn(Schema):
    """A value that shall identify nobody, and why."""

    kind = fields.String(required=True, validate=Length(1, 100))
    value = fields.String(required=True, validate=Length(1, 200))
    note = fields.String(
        required=True, validate=Length(1, 500), metadata={"description": "why, in your words"}
    )


class BlockedQuery(PageQuery):
    """Filter of blocked values."""

    kind = fields.String(validate=Length(1, 100))


class BlockedOut(Schema):
    """A value that identifies nobody any more."""

    id = fields.Integer(required=True)
    kind = fields.String(required=True)
    value = fields.String(required=True)
    reason = fields.String(
        required=True, metadata={"description": "shared (too many claimed it), or who blocked it"}
    )
    note = fields.String(allow_none=True, required=True)
    at = time_field(required=True)


class PersonIdOut(Schema):
    """A person found."""

    person_id = fields.Integer(required=True)


class ValuesIn(Schema):
    """New values by field; null clears."""

    values = fields.Dict(keys=fields.String(), values=fields.Raw(allow_none=True), required=True)


class SaidOut(Schema):
    """What one source said about a field."""

    value = fields.Raw(allow_none=True, required=True)
    source = fields.String(required=True)
    at = time_field(required=True)


class SaidListOut(Schema):
    """Everything that was said, newest first, 200 at most."""

    items = fields.List(fields.Nested(SaidOut), required=True)


class ConsentIn(Schema):
    """What the person said."""

    contactable = fields.Boolean(required=True)
    source = fields.String(load_default="staff", validate=Length(1, 64))
    at = time_field(metadata={"description": "when the person said so; now without"})


class MergeIn(Schema):
    """Make ``gone_id`` part of ``kept_id``."""

    kept_id = fields.Integer(required=True)
    gone_id = fields.Integer(required=True)


class MergeQuery(PageQuery):
    """Filters of the list of merges."""

    person_id = fields.Integer(metadata={"description": "merges into this person"})


class UnmergeOut(Schema):
    """The person that is there again."""

    restored_id = fields.Integer(required=True)


class MatchQuery(PageQuery):
    """Filters of the list of matches."""

    state = fields.String(validate=OneOf([str(s) for s in MatchState]))
    kind = fields.String(validate=OneOf([str(k) for k in MatchKind]))


class MatchOut(Schema):
    """Two persons who may be one."""

    id = fields.Integer(required=True)
    low_id = fields.Integer(required=True)
    high_id = fields.Integer(required=True)
    keep_id = fields.Integer(required=True, metadata={"description": "whom a merge would keep"})
    kind = fields.String(required=True)
    state = fields.String(required=True)
    score = fields.Float(allow_none=True, metadata={"description": "0 to 1, of those that are alike"})
    reasons = fields.List(fields.Dict(), required=True)
    words = fields.Function(
        lambda match: [reason_words(reason) for reason in match.reasons],
        metadata={
            "description": "the reasons in words, zh and en",
            "type": "array",
            "items": {"type": "object"},
        },
    )
    decided_by = fields.String(allow_none=True)
    decided_at = time_field(allow_none=True)
    created_at = time_field(required=True)


class AcceptIn(Schema):
    """Whom to keep; the match's own proposal without."""

    keep_id = fields.Integer()


class AcceptOut(Schema):
    """The merge; null when they were one person already."""

    merge_id = fields.Integer(allow_none=True, required=True)


class PersonRowIn(Schema):
    """A record of a person, as another system has it."""

    source_id = fields.String(required=True, validate=Length(1, 128))
    identities = fields.Dict(
        required=True,
        metadata={"description": 'one value or a list for each kind: {"phone": "13900001111"}'},
    )
    fields_ = fields.Dict(data_key="fields", metadata={"description": "values by field; null: there is none"})
    at = time_field(metadata={"description": "when the values were right; now without"})


class PersonBatchIn(Schema):
    """Records of one source."""

    source = fields.String(required=True, validate=Length(1, 64))
    people = fields.List(fields.Nested(PersonRowIn), required=True, validate=Length(1, MOST_ROWS))


class PersonResult(RowResultSchema):
    """What became of one record."""

    person_id = fields.Integer()


class PersonBatchOut(BatchOut):
    """A batch is answered row by row."""

    results = fields.List(fields.Nested(PersonResult), required=True)
