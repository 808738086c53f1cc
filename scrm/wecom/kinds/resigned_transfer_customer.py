"""Hand customers of a member who left over (离职继承): ``{"handover_userid", "takeover_userid", "external_userid": [ids]}``.

At most 100 ids; result ``{"customer": [{"external_userid", "errcode"}]}``.
"""

from __future__ import annotations

from functools import partial

from config.queues import Queue
from scrm.wecom.asking import posting
from scrm.wecom.models import Priority
from scrm.wecom.registry import Kind
from scrm.wecom.transfer_match import find_customers

API = "externalcontact/resigned/transfer_customer"

KIND = Kind(
    "resigned_transfer_customer",
    API,
    "externalcontact",
    Queue.BROADCAST,
    Priority.BROADCAST,
    posting(API),
    partial(find_customers, api="externalcontact/resigned/transfer_result"),
    ask_after=10.0,
    patience=5.0,
    ask_api="externalcontact/resigned/transfer_result",
    question=(
        "在管理后台「客户联系 › 离职继承」查看这些客户是否正在转接或已经转接。",
        "Look in the console under 客户联系 › 离职继承: are these customers being handed over, or have they been?",
    ),
    planned_anew=True,
)
