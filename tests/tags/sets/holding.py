"""Assignments written as rows, without the services that keep them."""

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from tags.models import TagAssignment


def hold(follow, tag, state="active"):
    """The relation carries the tag."""
    session().add(
        TagAssignment(
            customer_id=follow.customer_id,
            follow_id=follow.id,
            tag_id=tag.id,
            state=state,
            changed_at=utcnow(),
        )
    )
    session().flush()
