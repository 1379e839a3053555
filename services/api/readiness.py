"""How the system is: what an operator should know, one sentence for each trouble."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from services.api import schedule
from shared.config import Settings
from shared.protocol import AccountHold, AccountState, Snapshot, WriterState

_HOLDS = {
    "quota": "the 24-hour quota is used up",
    "sending_paused": "SES has paused sending",
    "suspended": "SES has suspended the account",
    "credentials": "the AWS credentials are refused",
    "not_verified": "the From address is not verified",
    "configuration": "the configuration set is refused",
    "unreachable": "SES cannot be reached",
    "unknowns": "several answers of SES in a row were lost",
}
_STALE_S = 5.0


class Life(Struct):
    """One process, as the monitor last heard of it."""

    process: str
    alive: bool
    age_s: float = 0.0
    gauges: dict[str, float] = {}
    notes: dict[str, str] = {}


class Pace(NamedTuple):
    """How fast mail goes out, as the broker last said; None while it is not heard.

    `rate` is R after every limit, `now` the calls let through in the last second (recipients).
    """

    rate: float | None = None
    now: float | None = None
    throttled: bool | None = None


class _Snapshot(Struct):
    processes: list[Life] = []


class Seen(NamedTuple):
    """What /ready goes by."""

    settings: Settings
    writer: WriterState | None
    lives: Sequence[Life] | None
    reads_fault: str = ""


def lives(snapshot: Snapshot | None, age_s: float) -> list[Life] | None:
    """Answer the processes of a snapshot; None if there is no fresh one that can be read."""
    if snapshot is None or age_s > _STALE_S:
        return None
    try:
        return msgspec.json.decode(snapshot.json, type=_Snapshot).processes
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def pace(lives: Sequence[Life] | None) -> Pace:
    """Answer what the broker says of the rate."""
    for life in lives or ():
        if life.process == "broker" and life.alive:
            throttled = life.notes.get("limit") == "throttled by SES"
            return Pace(life.gauges.get("rate"), life.gauges.get("granted_per_s"), throttled)
    return Pace()


def standstill(lives: Sequence[Life] | None) -> str:
    """Say whose silence keeps all mail from leaving; empty if that is not known of anybody."""
    if lives is None:
        return ""
    alive = {life.process for life in lives if life.alive}
    for process in ("scheduler", "broker"):
        if process not in alive:
            return f"The process {process} is not heard"
    return "" if any(name.startswith("sender-") for name in alive) else "No sender is heard"


def degraded(seen: Seen) -> list[str]:
    """Answer a sentence for each thing that is not as it should be."""
    sentences = list(blind_spots(seen.settings))
    sentences += _process_faults(seen)
    if seen.reads_fault:
        sentences.append(f"The database cannot be read: {seen.reads_fault}.")
    if seen.writer is not None:
        sentences += account_faults(seen.writer.account)
        sentences += _sending_faults(seen.writer)
    return sentences


def blind_spots(settings: Settings) -> Iterator[str]:
    """Say what cannot be known with these settings."""
    if not settings.aws_ses_configuration_set:
        yield (
            "AWS_SES_CONFIGURATION_SET is not set: events carry no tags, and a mail whose answer"
            " was lost cannot be proven."
        )
    if not settings.sns_topic_arn:
        yield "SNS_TOPIC_ARN is not set: no results are taken in."


def account_faults(account: AccountState) -> Iterator[str]:
    """Say what is the matter with the SES account."""
    if account.hold is not None:
        yield _held(account.hold)
    if account.read_at is None:
        why = account.read_error or "it has not been asked yet"
        source = "until it has" if account.rate_source == "fallback" else "by setting"
        yield f"GetAccount has no answer ({why}): the rate is {account.rate:g}/s {source}."
    elif account.read_error:
        yield f"GetAccount fails ({account.read_error}): the last answer holds."
    if account.sandbox:
        yield "The SES account is in the sandbox: it sends to verified addresses only."
    # Once mail is accepted again the hold is over; GetAccount says so only minutes later.
    if account.sending_enabled is False and account.hold is not None:
        yield "Sending is switched off for the SES account."
    if account.enforcement not in {"", "HEALTHY"}:
        yield f"The SES account is under {account.enforcement.lower()}."


def _held(hold: AccountHold) -> str:
    why, detail = _HOLDS.get(hold.reason, hold.reason), ""
    if hold.detail.startswith(why):
        why = hold.detail  # it says the same, and more
    elif hold.detail:
        detail = f" ({hold.detail})"
    return f"Sending waits: {why}{detail}; next try at {schedule.in_utc(hold.probe_at)}."


def is_deaf(sent: int, heard: int) -> bool:
    """Tell whether too few of the mails that should have had an event had one."""
    return sent >= 20 and heard < 0.99 * sent


def _sending_faults(writer: WriterState) -> Iterator[str]:
    if writer.trouble:
        yield f"The writer has trouble: {writer.trouble}."
    if writer.bulk_pause is not None:
        yield (
            f"Bulk mail is paused since {schedule.in_utc(writer.bulk_pause.since)}:"
            f" {writer.bulk_pause.reason}. Urgent mail goes on. Find out what was mailed to whom;"
            " POST /v1/account/resume lets it go on."
        )
    if writer.unknown_held:
        count = f"{writer.unknown_held} mail{'s' if writer.unknown_held > 1 else ''}"
        yield f"SES's answer was lost for {count}, and no event has told yet."
    if is_deaf(writer.sent, writer.heard):
        yield (
            f"Events do not arrive: of {writer.sent} mails sent a while ago only {writer.heard} had"
            " one; look at the SNS subscription and the configuration set."
        )
    if writer.bulk_refused:
        yield f"SES refuses bulk calls ({writer.bulk_refused}): mail goes out one by one."


def _process_faults(seen: Seen) -> Iterator[str]:
    if seen.lives is None:
        yield "The monitor is not heard: the state of the other processes is not known."
        return
    alive = {life.process for life in seen.lives if life.alive}
    workers = [f"sender-{number}" for number in range(seen.settings.sender_workers)]
    for process in ("writer", "scheduler", "broker", "results"):
        if process not in alive:
            yield f"The process {process} is not heard."
    missing = [worker for worker in workers if worker not in alive]
    if missing:
        yield f"{len(missing)} of {len(workers)} senders are not heard: {', '.join(missing)}."
    for life in seen.lives:
        if topic := life.notes.get("unlisted_topic"):
            yield f"{topic} posts events, but SNS_TOPIC_ARN does not name it: they are put off."
