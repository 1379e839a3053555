"""The oracle of the crash tests: what clients were told, what SES saw, what the database says.

Pure functions over data. Each rule yields the violations it finds; `judge` asks all of them. The
evidence is gathered when nothing moves any more: whatever still waits then is stuck.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from scripts.benches.facts import Arrival, Database, Evidence, Mail, Posted
from shared.domain import FEEDBACK_WORDS, LATTICE_FLOOR, SEEN_BITS, State, parse_mid

SECOND_NS = 1_000_000_000
MAYBE_DUPLICATE = 1
"""The mark of a mail that is sent again though SES may have it.

That a duplicate is suspected afterwards (2) is true, but excuses nothing.
"""

_OPEN = frozenset({State.CREATED, State.PROCESSED, State.UNKNOWN})
_REASONED = frozenset({State.FAILED, State.STOPPED, State.SUPPRESSED})


class Violation(NamedTuple):
    """A broken promise: by which rule, and what was found."""

    rule: str
    what: str


def judge(evidence: Evidence) -> list[Violation]:
    """Check every rule."""
    return [
        violation
        for rule in (
            lost, invented, doubled, untrue, miscounted, miscounted_events, stuck, too_fast,
            disobeyed, leaked,
        )
        for violation in rule(evidence)
    ]  # fmt: skip


def lost(evidence: Evidence) -> Iterator[Violation]:
    """Whatever was accepted is there, and SES has it or there is a reason why not."""
    rows = {mail.id: mail for mail in evidence.database.mails}
    cancelled = {order.topic for order in evidence.clients.cancelled}
    for told in evidence.clients.told:
        for number, address in told.recipients.items():
            mail = rows.get(number)
            if mail is None or (mail.address, mail.topic) != (address, told.topic):
                yield Violation("lost", f"{number} was accepted for {address}, the row is {mail}")
            elif mail.state in _REASONED and not mail.code:
                yield Violation("lost", f"{number} is {mail.state.word} without a reason")
            elif mail.code == "cancelled" and mail.topic not in cancelled:
                yield Violation("lost", f"{number} was cancelled, but nobody asked for that")


def invented(evidence: Evidence) -> Iterator[Violation]:
    """Nothing is stored twice, or though it was refused; without an answer it is all or nothing."""
    clients = evidence.clients
    told = {(t.topic, address) for t in clients.told for address in t.recipients.values()}
    unheard = frozenset[str]().union(*clients.unheard)
    stored = Counter((mail.topic, mail.address) for mail in evidence.database.mails)
    addresses = {address for _, address in stored}
    for (topic, address), rows in stored.items():
        if rows > 1:
            yield Violation("invented", f"{address} of {topic} was stored {rows} times")
        elif address in clients.refused:
            yield Violation("invented", f"{address} of {topic} was refused, and is stored")
        elif (topic, address) not in told and address not in unheard:
            yield Violation("invented", f"nobody was told of {address} of {topic}")
    for submission in clients.unheard:
        there = len(submission & addresses)
        if there not in {0, len(submission)}:
            yield Violation("invented", f"{there} of the {len(submission)} of one submission")


def doubled(evidence: Evidence) -> Iterator[Violation]:
    """Nobody has a second copy, unless it is marked as one that may be."""
    copies = accepted_copies(evidence)
    for mail in evidence.database.mails:
        found = len(copies.get(mail.id, ()))
        if found > 1 and not mail.flags & MAYBE_DUPLICATE:
            yield Violation("doubled", f"{mail.id} has {found} copies and no mark")
        if found > mail.attempts:
            yield Violation("doubled", f"{mail.id}: {found} copies, {mail.attempts} attempts")


def untrue(evidence: Evidence) -> Iterator[Violation]:
    """Sent is what SES accepted under that id, and nothing else."""
    copies = accepted_copies(evidence)
    known = {mail.id: mail for mail in evidence.database.mails}
    for mail in evidence.database.mails:
        found = copies.get(mail.id, [])
        if mail.state is State.SENT and mail.message_id not in {one.message_id for one in found}:
            yield Violation("untrue", f"{mail.id} is Sent, SES has {len(found)} of it, other ids")
        elif mail.state is not State.SENT and found:
            yield Violation("untrue", f"{mail.id} is {mail.state.word}, but SES accepted it")
    for number, found in copies.items():
        ours = known.get(number)
        if ours is None or any(one.address != ours.address for one in found):
            yield Violation("untrue", f"SES accepted {found[0].mid} for {found[0].address}: {ours}")


def miscounted(evidence: Evidence) -> Iterator[Violation]:
    """Every counter is what a recount of the rows comes to."""
    database = evidence.database
    rows: dict[str, list[int]] = defaultdict(lambda: [0] * len(State))
    heard = sent = 0
    for mail in database.mails:
        rows[mail.topic][mail.state] += 1
        sent += mail.state is State.SENT
        heard += mail.feedback >= LATTICE_FLOOR
    counts = database.counts
    for topic in counts.topics.keys() | rows.keys():
        recount, counted = tuple(rows[topic]), counts.topics.get(topic)
        if counted != recount and (counted is not None or any(recount)):
            yield Violation("miscounted", f"{topic}: counted {counted}, there are {recount}")
    for name, total in (
        ("minutes of sending", counts.sent_minutes),
        ("hours of sending", counts.sent_hours),
        ("mails ever sent", counts.sent_ever),
    ):
        if total != sent:
            yield Violation("miscounted", f"{name}: {total}, {sent} are Sent")
    if counts.heard_minutes != heard:
        yield Violation("miscounted", f"heard of {counts.heard_minutes}, of {heard} there was word")
    if database.integrity != "ok":
        yield Violation("miscounted", f"the database is not sound: {database.integrity}")


def miscounted_events(evidence: Evidence) -> Iterator[Violation]:
    """Every event that SNS delivered is stored once, and counted once for its recipient."""
    database = evidence.database
    topic_of = {mail.id: mail.topic for mail in database.mails}
    stored: Counter[int] = Counter()
    kinds: Counter[tuple[str, int]] = Counter()
    for (recipient, kind), rows in database.results.items():
        stored[kind] += rows
        kinds[topic_of.get(recipient, "?"), kind] += 1
    for kind, word in FEEDBACK_WORDS.items():
        made, acked = evidence.events.get(word, Posted(0, 0))
        # A copy of an event that is posted twice is answered twice, and made once.
        if not min(acked, made) <= stored[kind] <= made:
            found = f"{word}: {stored[kind]} are stored, {made} were made, {acked} got their 200"
            yield Violation("events", found)
    for key in kinds.keys() | database.counts.kinds.keys():
        counted = database.counts.kinds.get(key, 0)
        if counted != kinds[key]:
            yield Violation("events", f"{key}: counted {counted}, there are {kinds[key]}")
    seen = Counter(
        (mail.topic, int(kind))
        for mail in database.mails
        for kind, bit in SEEN_BITS.items()
        if mail.seen & bit
    )
    if seen != kinds:
        yield Violation("events", f"the rows have seen {dict(seen)}, there are {dict(kinds)}")


def stuck(evidence: Evidence) -> Iterator[Violation]:
    """Nothing waits any more; a lost answer that cannot be proven may wait for the operator."""
    database = evidence.database
    held = {mail.id for mail in held_for_operator(database)}
    for mail in database.mails:
        if mail.state in _OPEN and mail.id not in held:
            yield Violation("stuck", f"{mail.id} is {mail.state.word}")
    for name, rows in (
        ("leases", database.leases),
        ("retries", database.retries),
        ("open batches", database.open_batches),
    ):
        if rows:
            yield Violation("stuck", f"{rows} {name} are left")


def too_fast(evidence: Evidence) -> Iterator[Violation]:
    """In no second did SES see calls for more than R recipients, refused ones included."""
    worst = worst_second(one.at_ns for one in evidence.arrivals)
    if worst > evidence.rate:
        yield Violation("too fast", f"{worst} in one second, R is {evidence.rate:g}")


def disobeyed(evidence: Evidence) -> Iterator[Violation]:
    """After a cancel was answered only what it named as in flight is handed to SES."""
    for order in evidence.clients.cancelled:
        before = {
            number
            for told in evidence.clients.told
            if told.topic == order.topic and told.answered_ns < order.answered_ns
            for number in told.recipients
        }
        late = {
            recipient
            for one in evidence.arrivals
            if one.at_ns > order.answered_ns
            and (recipient := parse_mid(one.mid, evidence.database.install)) in before
        }
        if len(late) > order.in_flight:
            found = f"{len(late)} left after the cancel, {order.in_flight} were in flight"
            yield Violation("disobeyed", f"{order.topic}: {found}")
        stopped = evidence.database.counts.topics.get(order.topic, (0,) * len(State))[State.STOPPED]
        if stopped < order.stopped:
            found = f"{order.stopped} were stopped by the answer, {stopped} by the counter"
            yield Violation("disobeyed", f"{order.topic}: {found}")


def leaked(evidence: Evidence) -> Iterator[Violation]:
    """No key, no address, no text of a mail is in the log."""
    for line in evidence.leaks:
        yield Violation("leaked", line[:200])


def accepted_copies(evidence: Evidence) -> dict[int, list[Arrival]]:
    """Answer the copies that SES accepted, by our recipient's id; -1: a mid that is not ours."""
    copies: dict[int, list[Arrival]] = defaultdict(list)
    for one in evidence.arrivals:
        if one.accepted:
            copies[parse_mid(one.mid, evidence.database.install) or -1].append(one)
    return dict(copies)


def held_for_operator(database: Database) -> list[Mail]:
    """Answer the Unknown mails of before the webhook's last gap: nothing can prove their absence.

    The design holds them until somebody decides.
    """
    return [
        mail
        for mail in database.mails
        if mail.state is State.UNKNOWN
        and mail.unknown_since is not None
        and mail.unknown_since < database.ear_since
    ]


def worst_second(stamps_ns: Iterable[int]) -> int:
    """Answer how many stamps the fullest second holds; exactly a second apart is two seconds."""
    inside: deque[int] = deque()
    worst = 0
    for stamp in sorted(stamps_ns):
        inside.append(stamp)
        while inside[0] <= stamp - SECOND_NS:
            inside.popleft()
        worst = max(worst, len(inside))
    return worst
