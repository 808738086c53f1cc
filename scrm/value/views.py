"""The value of persons in the API: RFM scores and lifecycle stages."""

from __future__ import annotations

from typing import Any

from scrm.kernel.db import transaction
from scrm.kernel.http import api_blueprint, page_schema, paginate
from scrm.kernel.permissions import Permission, current_actor, needs
from scrm.value import jobs
from scrm.value.models import Lifecycle, RfmScore
from scrm.value.queries import settings, value
from scrm.value.schemas import (
    LifecycleOut,
    LifecycleQuery,
    PersonValueOut,
    RfmCells,
    RfmOut,
    RfmQuery,
    RfmSettings,
    StagesIn,
    StagesOut,
)
from scrm.value.service import setting

blueprint = api_blueprint("value", "客户价值 RFM scores and lifecycle stages of persons")


@blueprint.route("/value/rfm")
@needs(Permission.VALUE_READ)
@blueprint.arguments(RfmQuery, location="query")
@blueprint.response(200, page_schema(RfmOut))
def list_rfm(query: dict[str, Any]) -> Any:
    """Scores of everybody who bought within the window."""
    return paginate(value.score_list(current_actor().scope, query), RfmScore.person_id, query)


@blueprint.route("/value/rfm/cells")
@needs(Permission.VALUE_READ)
@blueprint.response(200, RfmCells)
def list_rfm_cells() -> dict[str, Any]:
    """How many persons have which three scores."""
    return {"items": value.score_cells(current_actor().scope)}


@blueprint.route("/value/rfm/settings")
@needs(Permission.VALUE_READ)
@blueprint.response(200, RfmSettings)
def show_rfm_settings() -> dict[str, Any]:
    """How RFM is worked out."""
    return settings.rfm_settings()


@blueprint.route("/value/rfm/settings", methods=["PUT"])
@needs(Permission.VALUE_WRITE)
@blueprint.arguments(RfmSettings)
@blueprint.response(200, RfmSettings)
def set_rfm_settings(data: dict[str, Any]) -> dict[str, Any]:
    """Set how RFM is worked out; everybody is scored again soon."""
    with transaction():
        setting.set_rfm(data)
        jobs.apply_settings.wake()
    return settings.rfm_settings()


@blueprint.route("/value/lifecycle")
@needs(Permission.VALUE_READ)
@blueprint.arguments(LifecycleQuery, location="query")
@blueprint.response(200, page_schema(LifecycleOut))
def list_lifecycle(query: dict[str, Any]) -> Any:
    """Persons with the stage each is in."""
    return paginate(value.stage_list(current_actor().scope, query), Lifecycle.person_id, query)


@blueprint.route("/value/lifecycle/stages")
@needs(Permission.VALUE_READ)
@blueprint.response(200, StagesOut)
def list_stages() -> dict[str, Any]:
    """The stages in the order in which they are tried, with how many persons are in each."""
    return {"items": value.counted_stages(current_actor().scope)}


@blueprint.route("/value/lifecycle/stages", methods=["PUT"])
@needs(Permission.VALUE_WRITE)
@blueprint.arguments(StagesIn)
@blueprint.response(200, StagesOut)
def set_stages(data: dict[str, Any]) -> dict[str, Any]:
    """Set all stages; everybody is put into theirs soon.

    One that goes is refused with 409 ``stage-in-use`` while rules, audiences and others name it.
    """
    with transaction():
        setting.set_stages(data["stages"])
        jobs.apply_settings.wake()
    return {"items": value.counted_stages(current_actor().scope)}


@blueprint.route("/people/<int:person_id>/value")
@needs(Permission.VALUE_READ)
@blueprint.response(200, PersonValueOut)
def show_person_value(person_id: int) -> dict[str, Any]:
    """Scores, stage and stages before of one person."""
    return value.value_of(current_actor().scope, person_id)
