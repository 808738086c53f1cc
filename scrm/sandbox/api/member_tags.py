"""Tags of members, and what an app may see (wecom-api.md §5.2, §5.3)."""

from __future__ import annotations

from scrm.sandbox.api.members import CONTACTS
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.errors import WecomError

BAD_TAG, BAD_AGENT, NO_AGENT, WRONG_AGENT = 40068, 40056, 41011, 301002


@api("tag/list", "GET", feature=CONTACTS)
def tag_list(call: Call) -> Json:
    """All member tags."""
    return {"taglist": [{"tagid": item.id, "tagname": item.name} for item in call.world.member_tags.values()]}


@api("tag/get", "GET", feature=CONTACTS)
def tag_get(call: Call) -> Json:
    """Who and which departments carry a tag, as far as the app sees them."""
    tag_id = call.query.get("tagid", "")
    tag = call.world.member_tags.get(int(tag_id)) if tag_id.isdigit() else None
    if tag is None:
        raise WecomError(BAD_TAG, "invalid tagid")
    seen = [userid for userid in tag.users if call.app.sees(userid)]
    people = [{"userid": userid, "name": call.world.members[userid].name} for userid in seen]
    return {"tagname": tag.name, "userlist": people, "partylist": list(tag.parties)}


@api("agent/get", "GET", feature=None)
def agent_get(call: Call) -> Json:
    """The app itself with its visible range; a range of everybody shows as the root department."""
    agentid = call.query.get("agentid")
    if not agentid:
        raise WecomError(NO_AGENT, "missing agentid")
    if not agentid.isdigit():
        raise WecomError(BAD_AGENT, "invalid agentid")
    if int(agentid) != call.app.config.agentid:
        raise WecomError(WRONG_AGENT, "token has no authority over this agentid")
    visible = call.app.config.visible
    users = [] if visible is None else sorted(visible & set(call.world.members))
    return {
        "agentid": call.app.config.agentid,
        "name": call.app.config.name,
        "square_logo_url": "",
        "description": "",
        "allow_userinfos": {"user": [{"userid": userid} for userid in users]},
        "allow_partys": {"partyid": [1] if visible is None else []},
        "allow_tags": {"tagid": []},
        "close": 0,
        "redirect_domain": "",
        "report_location_flag": 0,
        "isreportenter": 0,
        "home_url": "",
    }


@api("agent/list", "GET", feature=None)
def agent_list(call: Call) -> Json:
    """The app the token is of."""
    config = call.app.config
    return {"agentlist": [{"agentid": config.agentid, "name": config.name, "square_logo_url": ""}]}
