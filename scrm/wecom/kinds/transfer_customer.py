"""Hand customers of an active member over (在职继承): ``{"handover_userid", "takeover_userid", "external_userid": [ids],
"transfer_success_msg"?}``, at most 100 ids; result ``{"customer": [{"external_userid", "errcode"}]}``.
"""

from __future__ import annotations

from functools import partial

from config.queues import Queue
from scrm.wecom.asking import posting
from scrm.wecom.models import Priority
from scrm.wecom.registry import Kind
from scrm.wecom.transfer_match import find_customers

API = "externalcontact/transfer_customer"

KIND = Kind(
    "transfer_customer",
    API,
    "externalcontact",
    Queue.BROADCAST,
    Priority.BROADCAST,
    posting(API),
    partial(find_customers, api="externalcontact/transfer_result"),
    ask_after=10.0,
    patience=5.0,
)
