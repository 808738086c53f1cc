"""Members, departments, customers and the follow relation between them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from scrm.sandbox.model.kept import Kept

WECHAT_USER = 1
WECOM_USER = 2


@dataclass(slots=True)
class Department:
    """A department; the root is id 1 with parentid 0 (wecom-api.md §5.3)."""

    id: int
    name: str
    parentid: int
    order: int


@dataclass(slots=True, eq=False)
class MemberTag:
    """A tag of members and departments; nothing to do with customers' tags (§5.3)."""

    id: int
    name: str
    users: list[str] = field(default_factory=list)
    parties: list[int] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Follow:
    """One member's relation to one customer; lives until the member deletes the customer."""

    userid: str
    external_userid: str
    createtime: int
    add_way: int = 1
    state: str | None = None
    remark: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    own_tags: tuple[str, ...] = ()
    corp_name: str = ""
    mobiles: tuple[str, ...] = ()
    oper_userid: str = ""
    half: bool = False
    deleted_by_customer: bool = False
    last_chat: float = 0.0


@dataclass(slots=True, eq=False)
class Customer:
    """An outside person. `unionid` None means: derived from the id, which saves memory in large corps."""

    external_userid: str
    name: str
    gender: int = 0
    type: int = WECHAT_USER
    given_unionid: str | None = None
    corp_name: str | None = None
    position: str | None = None
    follows: list[Follow] = field(default_factory=list)

    @property
    def unionid(self) -> str | None:
        """The WeChat unionid; None for WeCom users, who have none."""
        if self.type != WECHAT_USER:
            return None
        if self.given_unionid is not None:
            return self.given_unionid
        return "oU" + hashlib.blake2b(self.external_userid.encode(), digest_size=13).hexdigest()

    def follow_of(self, userid: str) -> Follow | None:
        """The relation with this member, half ones too, or None."""
        for follow in self.follows:
            if follow.userid == userid:
                return follow
        return None


@dataclass(slots=True, eq=False)
class Member(Kept):
    """A person of the corp. `contact_feature` = has customer contact; `confirm_seconds` = how long until
    they confirm a mass send (None: never; -1: the corp's default); `contact_limit` = how many contacts
    they may have (None: any number); `leads` = departments whose leader they are; `left_at` = when they resigned, 0 while they work here."""

    userid: str
    name: str
    departments: tuple[int, ...]
    position: str = ""
    mobile: str = ""
    gender: str = "0"
    status: int = 1
    contact_feature: bool = True
    console_welcome: bool = False
    confirm_seconds: float | None = -1
    verified: bool = True
    contact_limit: int | None = None
    left_at: int = 0
    leads: tuple[int, ...] = ()
    direct_leaders: tuple[str, ...] = ()
    main_department: int | None = None
    alias: str = ""
    telephone: str = ""
    external_position: str = ""
    follows: dict[str, Follow] = field(default_factory=dict)
    listing: list[Follow] | None = None

    def add(self, follow: Follow) -> None:
        """Take on a customer."""
        self.follows[follow.external_userid] = follow
        if self.listing is not None and not follow.half:
            self.listing.append(follow)

    def remove(self, external_userid: str) -> Follow | None:
        """Lose a customer; None when there was none."""
        self.listing = None
        return self.follows.pop(external_userid, None)

    def main(self) -> int:
        """The main department: the chosen one, else the first."""
        return self.departments[0] if self.main_department is None else self.main_department

    def is_full(self) -> bool:
        """Whether the number of contacts has reached the limit (40099)."""
        return self.contact_limit is not None and len(self.customers()) >= self.contact_limit

    def customers(self) -> list[Follow]:
        """Full contacts (not half-added ones) in the order they were added; cached until they change."""
        if self.listing is None:
            self.listing = [follow for follow in self.follows.values() if not follow.half]
        return self.listing
