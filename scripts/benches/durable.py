"""What must be there after a power cut: all that was acknowledged, and nothing by halves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from scripts.benches import oracle
from scripts.benches.diary import Diary, EventKey
from scripts.benches.evidence import read_database
from scripts.benches.facts import Database, Evidence, Mail
from scripts.benches.oracle import Violation
from shared.domain import State
from shared.store import sql
from shared.store.open import open_reader

_STATEMENTS = sql.load(str(Path(__file__).with_name("durable.sql")))

RULES = (
    "lost", "invented", "ungated", "forgotten", "events", "disobeyed", "held", "contradicted",
    "miscounted",
)  # fmt: skip
"""The rules by name, those of the other crash runs included."""

_WAITING = frozenset({State.CREATED, State.PROCESSED})


class Found(NamedTuple):
    """What a new writer found in the database, its leases of the former boot taken back."""

    database: Database
    events: frozenset[EventKey]
    paused: frozenset[str]
    rate: float | None


def read(path: Path) -> Found:
    """Read all that is judged."""
    connection = open_reader(path)
    try:
        asked: dict[str, list[Any]] = {
            name: connection.execute(text).fetchall() for name, text in _STATEMENTS.items()
        }
    finally:
        connection.close()
    events = frozenset((recipient, kind, at) for recipient, kind, at in asked["events"])
    paused = frozenset(name for (name,) in asked["paused"])
    return Found(read_database(path), events, paused, asked["rate"][0][0])


def judge(diary: Diary, found: Found) -> list[Violation]:
    """Check every rule, those of the other crash runs where they fit."""
    evidence = Evidence(diary.clients(), (), found.database, diary.posted(), 0.0)
    shared = (oracle.lost, oracle.invented, oracle.miscounted, oracle.miscounted_events)
    violations = [violation for rule in shared for violation in rule(evidence)]
    for rule in (contradicted, ungated, forgotten, unheard, disobeyed, held):
        violations += rule(diary, found)
    return violations


def contradicted(diary: Diary, _found: Found) -> Iterator[Violation]:
    """A repeat gets the same answer, also from a writer of another boot."""
    for told in diary.contradicted:
        yield Violation("contradicted", told)


def ungated(diary: Diary, found: Found) -> Iterator[Violation]:
    """Every gate that was answered is a recorded attempt; without an outcome it is Unknown."""
    cancelled = _cancelled(diary)
    for mail in found.database.mails:
        gates = len(diary.gated.get(mail.id, ()))  # type: ignore[call-overload]
        if mail.attempts < gates:
            yield Violation("ungated", f"{mail.id}: {gates} gates opened, {mail.attempts} recorded")
        last = diary.last.get(mail.id)
        if last is None or last.word not in {"gate", "unknown"} or not last.sure:
            continue
        right = {State.UNKNOWN}
        right |= {State.SENT} if mail.id in diary.maybe_sent else set()
        right |= {State.STOPPED} if mail.topic in cancelled else set()
        if mail.state not in right:
            yield Violation("ungated", f"{mail.id} was at the gate, and is {mail.state.word}")


def forgotten(diary: Diary, found: Found) -> Iterator[Violation]:
    """Every outcome that was acknowledged is there."""
    for mail in found.database.mails:
        if mail.id in diary.sent:
            if mail.state is not State.SENT or mail.message_id != diary.sent[mail.id]:
                told = f"{mail.id} was accepted as {diary.sent[mail.id]}"
                yield Violation("forgotten", f"{told}, and is {mail.state.word} {mail.message_id}")
        elif mail.id not in diary.maybe_sent:
            yield from _refused(diary, mail)


def _refused(diary: Diary, mail: Mail) -> Iterator[Violation]:
    last = diary.last.get(mail.id)
    if last is None or not last.sure:
        return
    is_failed = mail.state is State.FAILED and mail.code == "Code"
    if last.word == "permanent" and not is_failed and mail.topic not in diary.retried:
        yield Violation("forgotten", f"{mail.id} was refused, and is {mail.state.word}")
    if last.word in {"throttled", "not_sent"} and mail.state is State.UNKNOWN:
        yield Violation("forgotten", f"{mail.id} was not sent, and is {mail.state.word}")


def unheard(diary: Diary, found: Found) -> Iterator[Violation]:
    """Every event that was acknowledged is stored, and none that was never said."""
    for key in diary.acked_events - found.events:
        yield Violation("events", f"{key} was acknowledged, and is not there")
    for key in found.events - diary.events.keys():
        yield Violation("events", f"{key} was never said")


def disobeyed(diary: Diary, found: Found) -> Iterator[Violation]:
    """Every order that was acknowledged holds."""
    for topic, (is_paused, is_sure) in diary.paused.items():
        if is_sure and is_paused != (topic in found.paused):
            yield Violation("disobeyed", f"{topic}: paused {is_paused} was acknowledged")
    for mail in found.database.mails:
        is_retried = mail.id in diary.failed_once and mail.topic in diary.retried
        if mail.id in diary.covered[mail.topic] and mail.state in _WAITING and not is_retried:
            yield Violation("disobeyed", f"{mail.id} was cancelled, and is {mail.state.word}")
    rate, is_sure = diary.rate
    if is_sure and rate != found.rate:
        yield Violation("disobeyed", f"R was set to {rate}, and is {found.rate}")


def held(_diary: Diary, found: Found) -> Iterator[Violation]:
    """No lease of the former boot is left."""
    if found.database.leases:
        yield Violation("held", f"{found.database.leases} leases outlive the boot")
    for mail in found.database.mails:
        if mail.state is State.PROCESSED:
            yield Violation("held", f"{mail.id} is still leased")


def _cancelled(diary: Diary) -> set[str]:
    return {order.topic for order in diary.clients().cancelled}
