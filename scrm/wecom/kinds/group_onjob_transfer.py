"""Give groups of an active owner to another: ``{"chat_id_list": [at most 100], "new_owner"}``.

Result ``{"failed_chat_list": [{"chat_id", "errcode"}]}``; the others were taken on.
"""

from __future__ import annotations

from config.queues import Queue
from scrm.wecom.asking import posting
from scrm.wecom.models import Priority
from scrm.wecom.registry import Kind
from scrm.wecom.transfer_match import find_groups

API = "externalcontact/groupchat/onjob_transfer"

KIND = Kind(
    "group_onjob_transfer",
    API,
    "externalcontact",
    Queue.BROADCAST,
    Priority.BROADCAST,
    posting(API),
    find_groups,
    ask_after=10.0,
    patience=5.0,
    ask_api="externalcontact/groupchat/list",
    question=(
        "在管理后台「客户联系 › 客户群」查看这些群的群主是否已是接替成员。",
        "Look in the console under 客户联系 › 客户群: does the new owner own these groups?",
    ),
    planned_anew=True,
)
