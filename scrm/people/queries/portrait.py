"""What the portrait says about the person behind a customer."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, literal_column

_MASKED = "CASE WHEN length({0}) < 7 THEN '***' ELSE left({0}, 3) || '***' || right({0}, 2) END"
_VALUE = f"""CASE
  WHEN COALESCE(d.type, f.field) IN ('phone', 'email') THEN to_jsonb({_MASKED.format("f.value_text")})
  WHEN COALESCE(d.type, f.field) = 'address' THEN (SELECT COALESCE(jsonb_object_agg(a.key, a.value), '{{}}')
    FROM jsonb_each(f.value) a WHERE a.key IN ('country', 'province', 'city'))
  ELSE f.value END"""  # noqa: S608  # a constant
_SECTION = f"""(SELECT json_build_object('id', cp.person_id,
  'identities', (SELECT COALESCE(json_agg(json_build_object('kind', i.kind, 'value', {_MASKED.format("i.value")},
      'source', i.source, 'since', i.since) ORDER BY i.id), '[]')
    FROM identities i WHERE i.person_id = cp.person_id),
  'fields', (SELECT COALESCE(json_object_agg(f.field, json_build_object('value', {_VALUE}, 'source', f.source,
      'at', f.at)), '{{}}')
    FROM person_fields f LEFT JOIN fields d ON d.key = f.field
    WHERE f.person_id = cp.person_id AND d.archived_at IS NULL AND COALESCE(cardinality(d.seen_with), 0) = 0),
  'contactable', (SELECT COALESCE(json_object_agg(c.channel, c.contactable), '{{}}')
    FROM person_consents c WHERE c.person_id = cp.person_id),
  'merged_from', (SELECT COALESCE(json_agg(json_build_object('merge_id', m.id, 'person_id', m.gone_id, 'at', m.at)
      ORDER BY m.id), '[]')
    FROM merges m WHERE m.kept_id = cp.person_id AND m.undone_at IS NULL))
FROM customer_people cp WHERE cp.customer_id = customers.id)"""  # noqa: S608  # constants


def person_section() -> ColumnElement[Any]:
    """Identities (masked; ``GET /people/<id>`` shows them plain to those who may), fields that all may see, consents
    and merged persons; null before the customer is linked to a person.
    """
    return literal_column(_SECTION)
