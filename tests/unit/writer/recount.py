"""What must hold of the writer's rows whatever was said to it, checked after every step."""

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis.stateful import RuleBasedStateMachine, invariant

from services.writer import evidence, expiry, reputation, sweeps
from shared.domain import MOVES, SEEN_BITS, State
from tests.unit.writer.conftest import Desk

WORDS = {state.name.lower(): state for state in State}

DIRECT = {(old, new) for old, moves in MOVES.items() for new in moves.values()}
LEGAL = DIRECT | {(old, State.STOPPED) for old, new in DIRECT if new is State.CREATED}
"""What may be written into a row: a move, or one back to the queue that ends at once."""

WATCH = """
CREATE TEMP TABLE moved (recipient INTEGER, old INTEGER, new INTEGER);
CREATE TEMP TRIGGER watch AFTER UPDATE OF state ON main.recipient WHEN old.state <> new.state
BEGIN INSERT INTO moved VALUES (old.id, old.state, new.state); END;
"""
"""The writer's own connection writes down every move of a row, committed or not."""


def closure() -> dict[State, set[State]]:
    """Answer, for each state, every state that any number of moves leads to."""
    found = {state: {state} for state in State}
    for _ in State:
        for old, new in DIRECT:
            found[old] |= found[new]
    return found


REACH = closure()


class Recount(RuleBasedStateMachine):
    """A desk whose every row is counted again after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.limits = sweeps.STEP_ROWS, expiry.STEP_ROWS, evidence.PROOF_MAILS
        # Two rows a step: most orders are still under way when the next message comes.
        sweeps.STEP_ROWS = expiry.STEP_ROWS = evidence.PROOF_MAILS = 2
        self.desk = Desk(Path(self.folder.name) / "walk.db")
        self.seen: dict[int, State] = {}
        self.watch()

    def teardown(self) -> None:
        self.desk.store.close()
        sweeps.STEP_ROWS, expiry.STEP_ROWS, evidence.PROOF_MAILS = self.limits
        self.folder.cleanup()

    def watch(self) -> None:
        """Write down every move from now on; to be said after every restart."""
        self.desk.store._connection.pragma("synchronous", 0)  # no power is cut here
        self.desk.store._connection.execute(WATCH)

    def rows(self, statement: str, *values) -> list[tuple]:
        return list(self.desk.store._connection.execute(statement, values))

    def dump(self) -> dict[str, list[tuple]]:
        """Everything the database holds."""
        names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        return {name: self.rows(f"SELECT * FROM {name}") for (name,) in self.rows(names)}

    def states(self) -> dict[int, State]:
        """Where every recipient stands, as a caller sees it."""
        found = self.rows("SELECT id, status FROM email_request")
        return {recipient: WORDS[word.lower()] for recipient, word in found}

    def state(self, recipient: int) -> State:
        return self.states()[recipient]

    def count(self, topic: str, state: str) -> int:
        found = self.rows(f"SELECT {state} FROM topic WHERE name = ?", topic)
        return found[0][0] if found else 0

    @invariant()
    def every_move_is_legal(self):
        for recipient, old, new in self.rows("SELECT * FROM moved"):
            assert (old, new) in LEGAL, f"{recipient}: {State(old).word} to {State(new).word}"
        self.rows("DELETE FROM moved")
        now = self.states()
        assert self.seen.keys() <= now.keys(), "a recipient is gone"
        for recipient, before in self.seen.items():
            assert now[recipient] in REACH[before], f"{recipient}: {before} to {now[recipient]}"
        self.seen = now

    @invariant()
    def counters_equal_a_recount(self):
        states = ", ".join(WORDS)
        found = self.rows(
            "SELECT batch.topic, status, count(*) FROM email_request "
            "JOIN recipient USING (id) JOIN batch ON batch.id = recipient.batch GROUP BY 1, 2"
        )
        counted = {(topic, word.lower()): count for topic, word, count in found}
        for name, *counts in self.rows(f"SELECT id, {states} FROM topic"):
            for word, count in zip(WORDS, counts, strict=True):
                assert count == counted.get((name, word), 0), (name, word)
        totals = Counter()
        for (_, word), count in counted.items():
            totals[word] += count
        gauges = self.desk.writer.gauges(self.desk.now)
        assert all(gauges[f"queue_{word}"] == totals[word] for word in WORDS)

    @invariant()
    def minutes_and_hours_equal_a_recount(self):
        bounced, complained = reputation.BOUNCE_COUNTED, reputation.COMPLAINT_COUNTED
        for table, slot, ms in (("minute", "heard", 60_000), ("hour", "0", 3_600_000)):
            counted = self.rows(
                f"SELECT sent_at / {ms}, count(*), {'sum(feedback > 0)' if slot != '0' else 0}, "
                f"sum(seen & {bounced} > 0), sum(seen & {complained} > 0) "
                "FROM recipient WHERE state = 2 GROUP BY 1 ORDER BY 1"
            )
            kept = self.rows(
                f"SELECT {table}, sent, {slot}, bounced, complained FROM sent_{table} ORDER BY 1"
            )
            assert kept == counted, table
        assert self.rows("SELECT sent_ever FROM account") == self.rows(
            "SELECT count(*) FROM recipient WHERE state = 2"
        )

    @invariant()
    def results_equal_a_recount(self):
        met = "SELECT recipient, kind FROM result UNION SELECT recipient, 1 FROM opening"
        counted = self.rows(
            f"SELECT batch.topic, kind, count(*) FROM ({met}) AS met "
            "JOIN recipient ON recipient.id = met.recipient "
            "JOIN batch ON batch.id = recipient.batch GROUP BY 1, 2 ORDER BY 1, 2"
        )
        assert self.rows("SELECT * FROM topic_result ORDER BY 1, 2") == counted
        for kind, bit in SEEN_BITS.items():
            found = self.rows(f"SELECT recipient FROM ({met}) AS met WHERE kind = {int(kind)}")
            seen = self.rows(f"SELECT id FROM recipient WHERE seen & {bit} > 0")
            assert sorted(found) == sorted(seen), kind
        assert not self.rows(
            "SELECT * FROM orphan JOIN recipient USING (message_id) WHERE message_id <> ''"
        ), "an event waits for a recipient we know"

    @invariant()
    def every_table_agrees_with_the_states(self):
        raw = dict(self.rows("SELECT id, state FROM recipient"))
        for table, state in (("failure", State.FAILED), ("unknown", State.UNKNOWN)):
            listed = {row[0] for row in self.rows(f"SELECT recipient FROM {table}")}
            assert listed == {who for who, at in raw.items() if at == state}, table
        leased = Counter(
            who for job, blob in self.rows("SELECT job, recipients FROM lease") for who in ids(blob)
        )
        processed = {who for who, at in raw.items() if at == State.PROCESSED}
        assert processed <= set(leased)
        assert all(leased[who] == 1 for who in processed)
        retried = {row[0] for row in self.rows("SELECT recipient FROM retry")}
        ahead = {
            who
            for first, last in self.rows("SELECT next, last FROM batch WHERE next <= last")
            for who in range(first, last + 1)
        }
        waiting = {who for who, at in raw.items() if at == State.CREATED}
        assert retried <= waiting
        assert waiting <= retried | ahead, "it would wait for ever"
        assert not retried & ahead, "it would be claimed twice"

    @invariant()
    def whoever_may_be_claimed_is_in_work(self):
        work = {row[:2]: row[2] for row in self.rows("SELECT topic, urgent, next_due FROM work")}
        halted = {
            row[0]
            for row in self.rows(
                "SELECT id FROM topic WHERE paused_at IS NOT NULL OR redate_upto > 0"
            )
        }
        assert not halted & {topic for topic, _ in work}
        due = self.rows(
            "SELECT batch.topic, batch.urgent, min(coalesce(retry.due_at, batch.due_at)) "
            "FROM recipient JOIN batch ON batch.id = recipient.batch "
            "LEFT JOIN retry ON retry.recipient = recipient.id "
            "JOIN email_request ON email_request.id = recipient.id "
            "WHERE email_request.status = 'Created' GROUP BY 1, 2"
        )
        for topic, urgent, first in due:
            if topic not in halted:
                assert work[topic, urgent] <= first


def ids(blob: bytes) -> list[int]:
    """Read the ids of a lease."""
    return [int.from_bytes(blob[n : n + 8], "little") for n in range(0, len(blob), 8)]
