"""Claims: leasing what is due to a sender; each costs what it takes, not what waits beside it."""

import json
from collections.abc import Iterable
from itertools import chain, islice
from typing import NamedTuple

from services.writer import suspects
from services.writer.book import Book, pack, unpack
from shared.domain import ContentId, JobId, State
from shared.protocol import Addressee, Claim, Claimed, Job
from shared.store.write import Row, ids

LEASE_S = 60.0
"""Longer than a call can take (20 s) and than a sender may wait for its turn."""


SMALL_JOBS = 4
"""How many times the wanted jobs small messages may make, so that they keep up with lists."""


class Taken(NamedTuple):
    """Recipients of one batch, now leased: (id, address, attempts so far, batch)."""

    batch: int
    rows: list[Row]


class Content(NamedTuple):
    """What a batch's mail says."""

    content: ContentId
    headers: tuple[tuple[str, str], ...]


def claim(book: Book, claim: Claim, boot: str, most_jobs: int | None) -> Claimed:
    """Lease up to the wanted jobs; a repeat of a claim gets the jobs it got before.

    `most_jobs` is what the account's trouble leaves of the wish: all, one probe, or none; None
    means that the whole lane waits: what is due then is nobody's business, and stays written down.
    """
    jobs = _claimed_before(book, claim.claim)
    cutoff, is_halted = book.store.row("halts", (claim.topic,)) or (0, True)
    if is_halted or most_jobs is None:
        return Claimed(claim.claim, tuple(jobs), None)
    if not jobs and most_jobs > 0:
        jobs = _lease(book, claim, boot, (min(claim.jobs, most_jobs), cutoff))
    return Claimed(claim.claim, tuple(jobs), settle_work(book, claim.topic, int(claim.urgent)))


def _claimed_before(book: Book, claim: int) -> list[Job]:
    leases = book.store.rows("claimed_before", (claim,))
    contents = _contents(book, [lease[3] for lease in leases])
    jobs = []
    for job, topic, urgent, batch, blob in leases:
        rows = book.store.rows("addressees", (ids(unpack(blob)),))
        jobs.append(_job((job, topic, urgent), rows, contents[batch]))
    return jobs


def _lease(book: Book, claim: Claim, boot: str, limits: tuple[int, int]) -> list[Job]:
    """Lease so many jobs at most, of batches beyond the one up to which all is cancelled."""
    taken = _take(book, claim, *limits)
    contents = _contents(book, [group.batch for group in taken])
    row = book.store.row("sequence", ("lease",))
    leases: list[Row] = []
    jobs = []
    for number, (batch, rows) in enumerate(_split(taken, claim.size), 1 + (row[0] if row else 0)):
        values = (
            number,
            claim.claim,
            claim.sender,
            claim.sender_epoch,
            boot,
            book.now.mono,
            book.now.mono + LEASE_S,
            batch,
            claim.topic,
            int(claim.urgent),
            pack([row[0] for row in rows]),
        )
        leases.append(values)
        jobs.append(_job((number, claim.topic, claim.urgent), rows, contents[batch]))
    book.store.many("add_lease", leases)
    count = sum(len(group.rows) for group in taken)
    book.move(claim.topic, State.CREATED, State.PROCESSED, count)
    return jobs


def _take(book: Book, claim: Claim, jobs: int, cutoff: int) -> list[Taken]:
    """Mark recipients as leased: those with another turn first, then new ones, soonest due first.

    At most jobs x size of them, out of at most four times `jobs` batches: each is a call.
    """
    key = (claim.topic, int(claim.urgent), book.now.ms)
    wanted, calls = jobs * claim.size, jobs * SMALL_JOBS
    taken = _take_retries(book, (*key, cutoff), wanted, calls)
    wanted -= sum(len(group.rows) for group in taken)
    # Fewer rows than ids may come back, as some are suppressed, or known to be sent: then more of
    # what is due is taken.
    while wanted > 0 and calls > len(taken):
        due = book.store.rows("due_batches", (*key, cutoff, calls - len(taken)))
        if not due:
            break
        groups = _take_batches(book, due, wanted)
        wanted -= sum(len(group.rows) for group in groups)
        taken += groups
    return taken


def _take_batches(book: Book, due: list[Row], wanted: int) -> list[Taken]:
    """Lease what waits in batches (id, next, last), so many recipients at most."""
    stretches = []
    for batch, first, last in due:
        if wanted <= 0:
            break
        stretches.append((batch, first, min(last, first + wanted - 1)))
        wanted -= last - first + 1
    if len(stretches) == 1:
        rows = book.store.rows("lease_stretch", stretches[0][1:])
    else:
        waiting = chain.from_iterable(range(first, end + 1) for _, first, end in stretches)
        rows = book.store.rows("lease_these", (ids(waiting),))
    book.store.many("move_cursor", [(end + 1, batch) for batch, _, end in stretches])
    return _grouped(rows, [batch for batch, _, _ in stretches])


def _grouped(rows: list[Row], batches: Iterable[int]) -> list[Taken]:
    """Sort recipients into their batches, which keep their order."""
    groups: dict[int, list[Row]] = {batch: [] for batch in batches}
    for row in sorted(rows):
        groups[row[3]].append(row)
    return [Taken(batch, group) for batch, group in groups.items()]


def _take_retries(
    book: Book, key: tuple[int, int, int, int], wanted: int, calls: int
) -> list[Taken]:
    due: dict[int, int] = dict(book.store.rows("due_retries", (*key, wanted)))
    if not due:
        return []
    trial, waiting = suspects.set_apart(book, due)
    groups = [] if trial is None else [(due.pop(trial), [trial])]
    by_batch: dict[int, list[int]] = {}
    for recipient, batch in due.items():
        if recipient not in waiting:
            by_batch.setdefault(batch, []).append(recipient)
    taken = []
    for batch, recipients in islice([*groups, *by_batch.items()], calls):
        rows = sorted(book.store.rows("lease_these", (ids(recipients),)))
        book.store.run("drop_retries", (ids(recipients),))
        taken.append(Taken(batch, rows))
    return taken


def _split(taken: list[Taken], size: int) -> list[Taken]:
    """Cut into jobs of at most `size` recipients, each of one batch."""
    jobs = []
    for group in taken:
        rest = iter(group.rows)
        while piece := list(islice(rest, size)):
            jobs.append(Taken(group.batch, piece))
    return jobs


def _contents(book: Book, batches: Iterable[int]) -> dict[int, Content]:
    return {
        batch: Content(content, tuple(map(tuple, json.loads(headers))) if headers else ())
        for batch, content, headers in book.store.rows("batch_contents", (ids(batches),))
    }


def _job(key: tuple[int, int, int], rows: list[Row], content: Content) -> Job:
    number, topic, urgent = key
    return Job(
        job=JobId(number),
        topic=topic,
        urgent=bool(urgent),
        content=content.content,
        addressees=tuple(
            Addressee(recipient, email, attempts + 1) for recipient, email, attempts, _ in rows
        ),
        headers=content.headers,
    )


def next_due(book: Book, topic: int, urgent: int) -> int | None:
    """Answer when the first of what waits is due (wall ms), None if nothing does."""
    row = book.store.row("next_due", (topic, urgent))
    return None if row is None or row[0] is None else int(row[0])


def settle_work(book: Book, topic: int, urgent: int) -> int | None:
    """Write down, and answer, when the topic's next mail is due, if it may be claimed at all."""
    due = next_due(book, topic, urgent)
    if due is None:
        book.store.run("drop_work", (topic, urgent))
    else:
        book.store.run("set_work", (due, topic, urgent))
    return due
