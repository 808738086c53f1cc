"""Every figure the sandbox enforces, with the source of each; all can be changed in the configuration."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Limits:
    """Figures of wecom-api.md; a limit of 0 is off. Seconds are seconds of the sandbox's own clock."""

    rate_limits_on: bool = True
    corp_minute: int = 10_000  # §1.4: one corp, one API
    corp_hour: int = 150_000
    ip_minute: int = 20_000  # §1.4: one source IP, one API
    ip_hour: int = 600_000
    per_api_minute: dict[str, int] = field(default_factory=dict)  # overrides corp_minute for an API path
    concurrency: int = 100  # §11: the real threshold is not published
    per_api_concurrency: dict[str, int] = field(default_factory=lambda: {"kf/sync_msg": 5})  # §1.3, 45033
    bad_secret_bans_after: int = 2_000  # §1.1: wrong secrets of one IP in an hour
    token_seconds: int = 7_200  # §1.1
    token_early_seconds: int = 300  # a repeat call this near to expiry gets a new token
    welcome_seconds: int = 20  # §4.5
    welcome_dispatch_seconds: float = 0.5  # how long another app's call gets 41096 before it gets 41051
    half_to_full_seconds: float = 0.0  # from the customer's half add to the member's add back
    mass_send_dispatch_seconds: float = 1.0  # §4.9: 41063 until then
    staff_confirm_seconds: float | None = 2.0  # when staff confirm mass sends; null = never by themselves
    receive_cap: str = "month_days"  # §4.9: month_days, week_7, day_1 or off
    single_recipients: int = 10_000  # §4.9
    group_recipients: int = 2_000  # §4.9
    reminders_per_day: int = 3  # §4.9, 41094
    corp_tags: int = 3_000  # §4.3, 40126
    contact_ways: int = 500_000  # §4.4, 41045
    contact_way_people: int = 100  # §4.4, 41041
    media_seconds: int = 259_200  # §4.16: 3 days
    uploadimg_day: int = 1_000  # §1.4
    uploadimg_month: int = 3_000  # §1.4
    member_message_minute: int = 30  # §1.4: dropped in silence beyond
    member_message_hour: int = 1_000  # §1.4
    app_message_account_factor: int = 200  # §1.4: times the number of members, person-times a day
    group_capacity: int = 200  # people in one group; a control call sets it per group
    group_lag_seconds: float = 0.0  # §3.2: how long groupchat/get lags behind the event
    join_way_lists_new_groups: bool = True  # whether get_join_way shows groups WeCom made is not published
    welcome_templates: int = 100  # §4.6, 41055
    acquisition_links: int = 3_000  # 41095; the figure is not in wecom-api.md
    acquisition_quota: int = 1_000  # adds through links a new corp has
    chat_key_seconds: int = 1_800  # §3.4
    unscoped_group_people: int = 1_000  # §4.7, 81017
    kf_retention_seconds: int = 259_200  # §7.2: 3 days
    kf_token_seconds: int = 600  # §3.5
    kf_tokenless_minute: int = 10  # §7.2: sync_msg without a valid token
    kf_window_seconds: int = 172_800  # §7.5: 48 h
    kf_messages_per_window: int = 5  # §7.5
    kf_end_from_any_state: bool = False  # §11
    transfer_seconds: float = 86_400.0  # §4.12: taken over after 24 h unless refused
    transfers_per_90_days: int = 2  # §4.12, 40128; on-job, of one customer or group
    transfer_welcome_code: bool = False  # whether the add after a transfer carries one is not published
    group_transfer_seconds: float = 0.0  # how long a group is "inheriting" (status 2)
    group_transfers_per_day: int = 300  # §4.12: one owner's groups to the same new owner
    empty_list_is_84061: bool = True  # §4.1, §11: a member without customers
    follower_page: int = 500  # §4.1
    callback_timeout_seconds: float = 5.0  # §2.5
    callback_attempts: int = 3  # §2.5
    callback_retry_seconds: float = 0.5  # the pause before an attempt is repeated is not published
    callback_threads: int = 6
    log_keep: int = 200_000  # API calls and callback records kept, oldest dropped

    def changed(self, values: dict[str, Any]) -> Limits:
        """Return a copy with `values`; ValueError names an unknown limit or a wrong type."""
        known = {item.name for item in fields(self)}
        for key, value in values.items():
            if key not in known:
                msg = f"limits: unknown limit {key!r}"
                raise ValueError(msg)
            _check_type(key, value, getattr(self, key))
        return replace(self, **values)

    def as_json(self) -> dict[str, Any]:
        """All figures in force, for the control API."""
        return asdict(self)


def _check_type(key: str, value: object, current: object) -> None:
    if key == "staff_confirm_seconds" and value is None:
        return
    wanted: tuple[type, ...] = (type(current),)
    if isinstance(current, (int, float)) and not isinstance(current, bool):
        wanted = (int, float)
    if key == "staff_confirm_seconds":
        wanted = (int, float)
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        msg = f"limits: {key} must be {' or '.join(item.__name__ for item in wanted)}"
        raise ValueError(msg)
