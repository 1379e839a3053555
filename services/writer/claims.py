"""Claims: leasing what is due to a sender; each costs what it takes, not what waits beside it."""

import json
from itertools import islice
from typing import NamedTuple

from services.writer import suspects
from services.writer.book import Book, pack, unpack
from shared.domain import ContentId, JobId, RecipientId, State
from shared.protocol import Addressee, Claim, Claimed, Job
from shared.store.write import Row, ids

LEASE_S = 60.0
"""Longer than a call can take (20 s) and than a sender may wait for its turn."""


SMALL_JOBS = 4
"""How many times the wanted jobs small messages may make, so that they keep up with lists."""


class Taken(NamedTuple):
    """Recipients of one batch, now leased: (id, address, attempts so far)."""

    batch: int
    rows: list[Row]


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
    jobs = []
    for job, topic, urgent, batch, blob in book.store.rows("claimed_before", (claim,)):
        rows = book.store.rows("addressees", (ids(unpack(blob)),))
        jobs.append(_job(book, (job, topic, urgent), Taken(batch, rows)))
    return jobs


def _lease(book: Book, claim: Claim, boot: str, limits: tuple[int, int]) -> list[Job]:
    """Lease so many jobs at most, of batches beyond the one up to which all is cancelled."""
    groups = _split(_take(book, claim, *limits), claim.size)
    sequence = book.store.row("sequence", ("lease",))
    number = sequence[0] if sequence else 0
    leased = []
    for taken in groups:
        number += 1
        values = (
            number,
            claim.claim,
            claim.sender,
            claim.sender_epoch,
            boot,
            book.now.mono,
            book.now.mono + LEASE_S,
            taken.batch,
            claim.topic,
            int(claim.urgent),
            pack([recipient for recipient, _, _ in taken.rows]),
        )
        book.store.run("add_lease", values)
        leased.append(_job(book, (number, claim.topic, int(claim.urgent)), taken))
    count = sum(len(taken.rows) for taken in groups)
    book.move(claim.topic, State.CREATED, State.PROCESSED, count)
    return leased


def _take(book: Book, claim: Claim, jobs: int, cutoff: int) -> list[Taken]:
    """Mark recipients as leased: those with another turn first, then new ones, soonest due first.

    At most jobs x size of them, out of at most four times `jobs` batches: each is a call.
    """
    key = (claim.topic, int(claim.urgent), book.now.ms)
    wanted, calls = jobs * claim.size, jobs * SMALL_JOBS
    taken = _take_retries(book, (*key, cutoff), wanted, calls)
    wanted -= sum(len(group.rows) for group in taken)
    batches = book.store.rows("due_batches", (*key, cutoff, calls - len(taken)))
    for batch, first, last in batches:
        if wanted <= 0:
            break
        end = min(last, first + wanted - 1)
        # Fewer rows than ids may come back: some are suppressed, or known to be sent.
        rows = sorted(book.store.rows("lease_stretch", (first, end)))
        book.store.run("move_cursor", (end + 1, batch))
        taken.append(Taken(batch, rows))
        wanted -= len(rows)
    return taken


def _take_retries(
    book: Book, key: tuple[int, int, int, int], wanted: int, calls: int
) -> list[Taken]:
    due: dict[int, int] = dict(book.store.rows("due_retries", (*key, wanted)))
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


def _job(book: Book, key: tuple[int, int, int], taken: Taken) -> Job:
    number, topic, urgent = key
    row = book.store.row("batch_content", (taken.batch,))
    assert row is not None, "a batch outlives its recipients"
    content, headers = row
    return Job(
        job=JobId(number),
        topic=topic,
        urgent=bool(urgent),
        content=ContentId(content),
        addressees=tuple(
            Addressee(RecipientId(recipient), email, attempts + 1)
            for recipient, email, attempts in taken.rows
        ),
        headers=tuple((name, value) for name, value in json.loads(headers)) if headers else (),
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
