"""How good is what is known, in the API."""

from __future__ import annotations

from typing import Any

from scrm.kernel.http import PageQuery, api_blueprint, page_schema, paginate
from scrm.kernel.permissions import Permission, current_actor, needs
from scrm.people.models import QualityReport
from scrm.people.queries import quality
from scrm.people.schemas.quality import NeglectedOut, NeglectQuery, PersonQualityOut, QualityReportOut

blueprint = api_blueprint("people quality", "资料质量 how complete and how alive the base is")


@blueprint.route("/people/<int:person_id>/quality")
@needs(Permission.PEOPLE_READ)
@blueprint.response(200, PersonQualityOut)
def show_person_quality(person_id: int) -> dict[str, Any]:
    """How complete one person is, and what to ask next."""
    return quality.person_quality(current_actor(), person_id)


@blueprint.route("/people/quality")
@needs(Permission.PEOPLE_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(QualityReportOut))
def list_quality_reports(query: dict[str, Any]) -> Any:
    """Reports on the whole base, one a night, newest first; they hold figures only. For keys without a data scope."""
    current_actor().require_everyone("a report counts")
    return paginate(quality.report_list(), QualityReport.id, query)


@blueprint.route("/people/quality/customers")
@needs(Permission.PEOPLE_READ)
@blueprint.arguments(NeglectQuery, location="query")
@blueprint.response(200, page_schema(NeglectedOut))
def list_neglected_customers(query: dict[str, Any]) -> Any:
    """Customers who never wrote, left, or were silent for a year; a page can be short, next_cursor says if it was the last."""
    return quality.neglected_page(current_actor().scope, query["problem"], query)
