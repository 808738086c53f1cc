"""The list of enterprise tags: one call without paging (wecom-api.md section 4.3)."""

from __future__ import annotations

from scrm.kernel.clock import utcnow
from scrm.sync.service.pages import Asked, Item, Page
from scrm.wecom.client import Client


def read_tags(client: Client, asked: Asked) -> Page:
    """All groups with all their tags."""
    started = utcnow()
    groups = client.post("externalcontact/get_corp_tag_list", {})["tag_group"]
    return Page(started, items=[Item("tag_groups", str(group["group_id"]), group) for group in groups])
