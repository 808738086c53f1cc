"""Change a group welcome template: ``{"template_id", "text"?, "image"? …}``; result ``{}``. Groups show it at once."""

from __future__ import annotations

from config.queues import Queue
from scrm.wecom.asking import NOT_DONE, posting, refused
from scrm.wecom.client import Client
from scrm.wecom.errors import NotFound, Stop
from scrm.wecom.models import Priority
from scrm.wecom.registry import Answer, Asked, Kind, Verdict
from scrm.wecom.welcome_template_match import same_template

API = "externalcontact/group_welcome_template/edit"
SHOW = "externalcontact/group_welcome_template/get"


def ask(client: Client, asked: Asked) -> Answer:
    """Done when the template says the same; a picture or file cannot be compared, and setting it again harms nobody."""
    try:
        shown = client.post(SHOW, {"template_id": asked.payload["template_id"]})
    except (NotFound, Stop) as error:
        return refused(error)
    media = any(part in asked.payload for part in ("image", "file", "video"))
    return Answer(Verdict.DONE) if same_template(shown, asked.payload) and not media else NOT_DONE


KIND = Kind(
    "edit_welcome_template",
    API,
    "externalcontact",
    Queue.EVENTS,
    Priority.TAG,
    posting(API),
    ask,
    in_order=True,
    ask_api="externalcontact/group_welcome_template/get",
    question=(
        "请群主在客户端「客户群 › 入群欢迎语」查看该素材是否已是新的内容。",
        "Ask a group owner to look in the client under 客户群 › 入群欢迎语: has the template its new text?",
    ),
)
