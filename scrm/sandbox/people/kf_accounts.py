"""Customer-service accounts made and deleted in the console (wecom-api.md §3.5, §7.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrm.sandbox.callbacks.bodies import cdata
from scrm.sandbox.errors import ControlError
from scrm.sandbox.model.kf import KfAccount

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.model.world import App
    from scrm.sandbox.runtime import Sandbox

EVENT, FEATURE = "kf_account_auth_change", "kf"


def create(sandbox: Sandbox, name: str, servicers: list[str]) -> tuple[KfAccount, list[Delivery]]:
    """A new account every app may use: kf_account_auth_change with AuthAddOpenKfId."""
    world = sandbox.world
    for userid in servicers:
        world.member(userid)
    account = KfAccount(
        open_kfid=world.ids.opaque("wk"),
        name=name,
        avatar=f"http://wx.qlogo.invalid/kf{len(world.kf.accounts)}",
        servicers=dict.fromkeys(servicers, 0),
    )
    world.kf.accounts[account.open_kfid] = account
    return account, auth_changed(sandbox, "AuthAddOpenKfId", account.open_kfid, world.apps)


def delete(sandbox: Sandbox, open_kfid: str) -> list[Delivery]:
    """The account is gone, its sessions with it: AuthDelOpenKfId for the apps that could use it."""
    world = sandbox.world
    account = world.kf.accounts.pop(open_kfid, None)
    if account is None:
        raise ControlError(f"there is no kf account {open_kfid!r}", 404)
    apps = world.apps if account.granted_to is None else account.granted_to
    return auth_changed(sandbox, "AuthDelOpenKfId", open_kfid, apps)


def auth_changed(sandbox: Sandbox, element: str, open_kfid: str, names: Iterable[str]) -> list[Delivery]:
    """Tell these apps that an account was given to them or taken away."""
    plaintext = sandbox.outbox.envelope().event(EVENT, cdata(element, open_kfid))

    def body(_: App) -> str:
        return plaintext

    made: list[Delivery] = []
    for name in sorted(names):
        made += sandbox.outbox.emit(EVENT, "", sandbox.outbox.apps(FEATURE, only=name), body)
    return made
