"""Telling whether an acquisition link (获客链接) at WeCom is the one wanted, and reading all of them."""

from __future__ import annotations

from typing import Any

from scrm.wecom.asking import pages
from scrm.wecom.client import Client

Json = dict[str, Any]
FOLDER = "externalcontact/customer_acquisition"
PAGE = 100  # wecom-api.md section 4.14


def link_ids(client: Client) -> list[str]:
    """Every link of the corp that the app sees."""

    def fetch(cursor: str | None) -> Json:
        body: Json = {"limit": PAGE} | ({"cursor": cursor} if cursor else {})
        return client.post(f"{FOLDER}/list_link", body)

    return [link_id for page in pages(fetch) for link_id in page.get("link_id_list") or []]


def show_link(client: Client, link_id: str) -> Json:
    """What customer_acquisition/get says: ``{"link", "range", "priority_option"}``."""
    return client.post(f"{FOLDER}/get", {"link_id": link_id})


def same_link(shown: Json, wanted: Json) -> bool:
    """Whether a shown link has the fields of a body of create_link or update_link."""
    return link_fields(shown.get("link") or {}, shown) == link_fields(wanted, wanted)


def link_fields(link: Json, around: Json) -> Json:
    """The fields that can be set, so that two can be compared: order and case of members are none.

    :param link: where name and skip_verify are
    :param around: where range and priority_option are
    """
    range_, priority = around.get("range") or {}, around.get("priority_option") or {}
    people = priority.get("priority_userid_list") or []
    return {
        "link_name": link.get("link_name"),
        "skip_verify": bool(link.get("skip_verify", True)),
        "user_list": sorted(userid.casefold() for userid in range_.get("user_list") or []),
        "department_list": sorted(int(id_) for id_ in range_.get("department_list") or []),
        "priority_type": priority.get("priority_type") or None,
        "priority_userid_list": sorted(userid.casefold() for userid in people),
    }
