"""The builds that are wrong on purpose, and the tests that must find each."""

from typing import NamedTuple


class Change(NamedTuple):
    """A text in a file that gives way to another; it must be there exactly once."""

    file: str
    old: str
    new: str


class Detector(NamedTuple):
    """A test that finds a build wrong, and a piece (a pattern) of what it says then."""

    test: str
    says: str


class Build(NamedTuple):
    """A build that is wrong in one way."""

    name: str
    how: str
    changes: tuple[Change, ...]
    detectors: tuple[Detector, ...]


POWER = "tests/crash/test_power.py::test_p1_what_was_acknowledged_survives_every_power_cut"
MATRIX = "tests/unit/broker/test_matrix.py::test_never_over_the_rate_and_soon_at_it_again"
WALK = "tests/crash/test_world.py::test_a_walk_through_all_troubles[1]"
SENDER = "tests/unit/sender/test_sender.py::"

BUILDS = (
    Build(
        "answer before commit",
        "a turn is committed when the next one begins",
        (
            Change(
                "shared/store/write.py",
                '        self._execute("BEGIN IMMEDIATE")\n',
                "        if self._connection.in_transaction:\n"
                '            self._execute("COMMIT")\n'
                '        self._execute("BEGIN IMMEDIATE")\n',
            ),
            Change(
                "shared/store/write.py", '        self._execute("COMMIT")\n        if', "        if"
            ),
        ),
        (Detector(POWER, "violations|Violation"),),
    ),
    Build(
        "gate removed (writer)",
        "whoever asks may go, cancelled or not",
        (
            Change(
                "services/writer/gates.py",
                "Asked(leases[job], may_go, going)",
                "Asked(leases[job], True, leases[job].recipients)",
            ),
        ),
        (
            Detector(
                "tests/unit/writer/test_orders.py"
                "::test_a_gate_that_was_open_is_not_renewed_and_what_comes_back_stays",
                r"assert \(1,\) == \(\)",
            ),
        ),
    ),
    Build(
        "gate removed (sender)",
        "a call is for the whole job, whatever the gate said and when",
        (
            Change(
                "services/sender/hand.py",
                "if work.cut is None or not work.gate.is_open(now):",
                "if work.cut is None:",
            ),
            Change(
                "services/sender/hand.py",
                "may_go = set(work.gate.recipients)",
                "may_go = {one.recipient for one in work.job.addressees}",
            ),
        ),
        (
            Detector(
                SENDER + "TestGate::test_only_those_named_by_the_gate_are_called_for", "assert"
            ),
            Detector(SENDER + "TestGate::test_a_permit_under_a_stale_gate_is_unused", "assert"),
        ),
    ),
    Build(
        "gate removed (sender, its refusal)",
        "a job of which nobody may go is sent to all",
        (
            Change(
                "services/sender/hand.py",
                "        if not gate.recipients:\n"
                "            return self.drop(gate.job, now)\n"
                "        began = work.gate.opened(gate.recipients)\n",
                "        everybody = tuple(one.recipient for one in work.job.addressees)\n"
                "        began = work.gate.opened(gate.recipients or everybody)\n",
            ),
        ),
        (Detector(WALK, "doubled|disobeyed"),),
    ),
    Build(
        "synchronous=NORMAL",
        "a commit does not wait for the disk",
        (
            Change(
                "shared/store/open.py",
                'connection.pragma("synchronous", "full")',
                'connection.pragma("synchronous", "normal")',
            ),
        ),
        (Detector(POWER, "violations|Violation"),),
    ),
    Build(
        "signature check skipped",
        "whatever names a fitting certificate is believed",
        (
            Change(
                "services/results/actor.py",
                "if not sealed.is_genuine(certificate):",
                "if certificate is None:",
            ),
        ),
        (
            Detector(
                "tests/unit/results/test_webhook.py::test_a_hostile_post_has_its_status_and_no_effect",
                "200",
            ),
        ),
    ),
    Build(
        "broker that restarts full",
        "a new broker takes no account of what the one before it granted",
        (
            Change(
                "services/broker/actor.py",
                "self._ready_at = now.mono + SETTLING_S",
                "self._ready_at = now.mono",
            ),
        ),
        (Detector(MATRIX + "[broker_killed-1-2]", r"assert .* <= 1\.0"),),
    ),
    Build(
        "edges instead of levels",
        "room and demand are said on change and never again",
        (
            Change(
                "services/sender/level.py",
                "self._every if value == self.value else self._gap",
                "math.inf if value == self.value else self._gap",
            ),
        ),
        (Detector(MATRIX + "[broker_killed-1-8]", r"assert 0\.0 >= 0\.93"),),
    ),
    Build(
        "edges instead of levels (digests)",
        "the writer says what has work on change and never again",
        (Change("services/writer/digest.py", "EVERY_S = 0.5\n", 'EVERY_S = float("inf")\n'),),
        (Detector(WALK, "stuck"),),
    ),
)
