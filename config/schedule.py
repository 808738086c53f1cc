"""What the clock wakes, and when. One screen; a test checks that every job named here exists."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Every:
    """Ask the job's ``due()`` question every ``seconds`` and wake it when there is work."""

    job: str
    seconds: float


@dataclass(frozen=True)
class Daily:
    """Wake the job once a day at a wall-clock time of the corp's zone; a missed day is caught up once."""

    job: str
    at: str  # HH:MM


SCHEDULE: tuple[Every | Daily, ...] = (
    # one line per job, in the order of the data's way
    Every("scrm.wecom.jobs.carry_out_urgent", 0.5),
    Every("scrm.wecom.jobs.carry_out_events", 1),
    Every("scrm.wecom.jobs.carry_out_broadcast", 1),
    Every("scrm.wecom.jobs.carry_out_background", 2),
    Every("scrm.wecom.jobs.watch_circuits", 1),
    Daily("scrm.wecom.jobs.forget_effects", "03:50"),
    Every("scrm.media.jobs.renew_media", 30),
    Daily("scrm.media.jobs.forget_media", "04:20"),
    Every("wecom_callbacks.jobs.drain_urgent", 1),
    Every("wecom_callbacks.jobs.drain_events", 1),
    Daily("wecom_callbacks.jobs.purge_inbox", "03:40"),
    Every("scrm.staff.jobs.complete_staff", 20),
    Every("scrm.alerts.jobs.send_alerts", 1),
    Daily("scrm.alerts.jobs.forget_alerts", "04:00"),
    Every("scrm.customers.jobs.refresh_customers", 1),
    Every("scrm.groups.jobs.refresh_groups", 1),
    Every("scrm.conversations.jobs.pull_kf", 1),
    Every("scrm.conversations.jobs.reply", 1),
    Daily("scrm.conversations.jobs.link_strangers", "04:40"),
    Every("scrm.people.jobs.merge_matched", 5),
    Every("scrm.people.jobs.link_unlinked", 300),
    Every("scrm.people.jobs.clean_values", 5),
    Every("scrm.people.jobs.choose_values", 10),
    Daily("scrm.people.jobs.suggest_duplicates", "05:30"),
    Every("scrm.people.jobs.compare_alike", 30),
    Daily("scrm.people.jobs.measure_quality", "06:00"),
    Daily("scrm.behaviour.jobs.forget_behaviour", "04:10"),
    Daily("scrm.commerce.jobs.link_lines", "04:15"),
    Every("scrm.portraits.traits.jobs.compute_wanted", 2),
    Every("scrm.portraits.traits.jobs.apply_definitions", 5),
    Daily("scrm.portraits.traits.jobs.compute_everything", "00:40"),
    Every("scrm.value.jobs.recompute_wanted", 2),
    Every("scrm.value.jobs.apply_settings", 5),
    Daily("scrm.value.jobs.recompute_everybody", "00:20"),
    Every("tags.jobs.push_assignments", 2),
    Every("tags.jobs.refresh_tags", 2),
    Every("tags.jobs.drop_deleted_tags", 10),
    Every("tags.jobs.settle_exclusive_groups", 30),
    Every("tags.jobs.switch_pushes", 10),
    Every("tags.rules.jobs.evaluate_rules", 2),
    Every("tags.rules.jobs.backfill_rules", 5),
    Every("tags.rules.jobs.sweep_time_rules", 60),
    Every("tags.rules.jobs.start_daily_rules", 20),
    Every("tags.rules.jobs.expire_rule_tags", 300),
    Every("tags.sets.jobs.keep_sets", 20),
    Every("tags.sets.jobs.warm_sets", 60),
    Every("tags.sets.jobs.back_sets", 60),
    Every("tags.sets.jobs.check_sets", 900),
    Every("tags.sets.jobs.forget_set_changes", 300),
    Every("tags.columns.jobs.refresh_columns", 20),
    Every("tags.columns.jobs.forget_column_changes", 300),
    Every("scrm.acquisition.jobs.plan_nameless_welcomes", 1),
    Every("scrm.acquisition.jobs.keep_codes_current", 1),
    Every("scrm.acquisition.jobs.set_remarks", 2),
    Every("scrm.acquisition.jobs.read_pictures", 5),
    Every("scrm.acquisition.jobs.notice_staff_changes", 60),
    Daily("scrm.acquisition.jobs.check_all_codes", "04:20"),
    Daily("scrm.acquisition_links.jobs.pull_links", "04:30"),
    Daily("scrm.acquisition_links.jobs.read_quota", "08:30"),
    Daily("scrm.acquisition_links.jobs.read_statistics", "06:10"),
    Daily("scrm.acquisition_links.jobs.read_customers", "06:20"),
    Every("scrm.acquisition_links.jobs.read_wanted", 10),
    Every("scrm.acquisition_links.jobs.read_chats", 5),
    Every("scrm.group_entry.jobs.review_codes", 300),
    Every("scrm.group_entry.jobs.read_pictures", 30),
    Daily("scrm.group_entry.jobs.find_missed_joins", "04:50"),
    Every("scrm.losses.jobs.tell_losses", 2),
    Daily("scrm.losses.jobs.fill_losses", "05:10"),
    Every("scrm.transfers.jobs.ask_for_transfers", 2),
    Every("scrm.transfers.jobs.read_results", 5),
    Every("scrm.transfers.jobs.look_at_transferred_groups", 5),
    Every("scrm.transfers.jobs.follow_up", 2),
    Every("scrm.transfers.jobs.copy_tags", 5),
    Daily("scrm.transfers.jobs.collect_unassigned", "09:00"),
    Every("scrm.audiences.jobs.measure_growth", 60),
    Every("scrm.audiences.jobs.fill_lists", 5),
    Every("scrm.audiences.jobs.write_exports", 5),
    Every("scrm.audiences.jobs.remove_exports", 300),
    Every("scrm.broadcasts.jobs.start_broadcasts", 1),
    Every("scrm.broadcasts.jobs.freeze_audiences", 2),
    Every("scrm.broadcasts.jobs.submit_chunks", 2),
    Every("scrm.broadcasts.jobs.stop_tasks", 2),
    Every("scrm.broadcasts.jobs.poll_results", 2),
    Every("scrm.webhooks.jobs.deliver", 2),
    Daily("scrm.webhooks.jobs.forget_events", "04:25"),
    Every("scrm.imports.jobs.work_on_imports", 2),
    Daily("scrm.imports.jobs.forget_imports", "04:35"),
    Daily("scrm.sync.jobs.start_nightly", "03:10"),
    Every("scrm.sync.jobs.advance", 2),
    Every("scrm.sync.jobs.read_new_members", 10),
)
