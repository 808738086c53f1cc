"""Entry welcome templates of customer groups (wecom-api.md §4.6)."""

from __future__ import annotations

from scrm.sandbox.api.attachments import check_part, check_text
from scrm.sandbox.api.fields import EMPTY, boolean, invalid, record, required
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.group_entry import WelcomeTemplate

TOO_MANY, OF_ANOTHER_APP = 41055, 41058
TEXT_BYTES = 3_000
PARTS = ("image", "link", "miniprogram", "file", "video")  # only the first one given counts


@api("externalcontact/group_welcome_template/add")
def add(call: Call) -> Json:
    """Keep a template; a person attaches it to groups in the client."""
    message = _message(call)
    notify = boolean(call.body, "notify", default=True)
    world = call.world
    if len(world.welcome_templates) >= world.limits.welcome_templates:
        raise WecomError(TOO_MANY, "too many group welcome templates")
    template_id = world.ids.opaque("msg")
    world.welcome_templates[template_id] = WelcomeTemplate(
        template_id, world.clock.seconds(), message, call.app.config.name, notify
    )
    return {"template_id": template_id}


@api("externalcontact/group_welcome_template/edit")
def edit(call: Call) -> Json:
    """Replace the whole message; only the app that made it may."""
    template = _own(call)
    template.message = _message(call)
    return {}


@api("externalcontact/group_welcome_template/get")
def get(call: Call) -> Json:
    """The message; a picture shows as pic_url."""
    return dict(_template(call).message)


@api("externalcontact/group_welcome_template/del")
def delete(call: Call) -> Json:
    """Forget a template; groups it is attached to greet nobody any more."""
    template = _own(call)
    del call.world.welcome_templates[template.template_id]
    for group in call.world.groups.values():
        if group.template_id == template.template_id:
            group.template_id = None
    return {}


def _message(call: Call) -> Json:
    message: Json = {}
    content = check_text(call.body, TEXT_BYTES)
    if content:
        message["text"] = {"content": content}
    kind = next((name for name in PARTS if call.body.get(name) is not None), None)
    if kind is not None:
        part = record(call.body, kind) or {}
        check_part(call, kind, part, by_url=True)
        message[kind] = _picture(call, part) if kind == "image" else part
    if not message:
        raise WecomError(EMPTY, "text and attachment are both empty")
    return message


def _picture(call: Call, part: Json) -> Json:
    """An uploaded picture gets an address of its own, since get answers pic_url only."""
    if not part.get("media_id"):
        return {"pic_url": part["pic_url"]}
    url = f"https://wework.qpic.invalid/{call.world.ids.opaque('img', 20)}/0"
    call.world.images[url] = call.world.clock.now()
    return {"pic_url": url}


def _template(call: Call) -> WelcomeTemplate:
    found = call.world.welcome_templates.get(required(call.body, "template_id"))
    if found is None:
        raise invalid("template_id", "is unknown")
    return found


def _own(call: Call) -> WelcomeTemplate:
    template = _template(call)
    if template.app != call.app.config.name:
        raise WecomError(OF_ANOTHER_APP, "template belongs to another app")
    return template
