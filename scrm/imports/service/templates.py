"""Mappings that are used again."""

from __future__ import annotations

from sqlalchemy import delete, select

from scrm.imports.models import Import, ImportTemplate
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, NotFound


def keep_template(name: str, made: Import, made_by: str) -> ImportTemplate:
    """Keep the mapping of an import under a name; the same name again replaces it.

    :raises Conflict: the import has no mapping, or the name is that of another target's
    """
    if made.mapping is None:
        raise Conflict(f"import {made.id} has no mapping to keep")
    found = session().scalars(select(ImportTemplate).where(ImportTemplate.name == name)).one_or_none()
    if found is not None and found.target != made.target:
        raise Conflict(f"{name} is a template for {found.target}; choose another name")
    found = found or ImportTemplate(name=name, target=made.target, made_by=made_by)
    found.mapping = made.mapping
    session().add(found)
    session().flush()
    session().refresh(found)
    return found


def template(template_id: int) -> ImportTemplate:
    """One template; raises NotFound."""
    found = session().get(ImportTemplate, template_id)
    if found is None:
        raise NotFound(f"there is no import template {template_id}")
    return found


def drop_template(template_id: int) -> None:
    """Delete a template; imports that used it keep their mapping."""
    template(template_id)
    session().execute(delete(ImportTemplate).where(ImportTemplate.id == template_id))
