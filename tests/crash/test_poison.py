"""Mail that kills every sender that has it: put away in the end, and all other mail is sent."""

import time
from collections.abc import Iterator

import pytest

from shared.store.write import Store
from tests.system.stack import Stack, until

pytestmark = [pytest.mark.against("E9"), pytest.mark.timeout(200)]

BEFORE, AFTER = "poison-before@example.com", "poison-after@example.com"
POISON = f"sender.received:{BEFORE},sender.begun:{AFTER}"
OTHERS = [f"reader{number}@example.com" for number in range(60)]
RULES = {"UNKNOWN_AFTER": "2", "SIMULATOR_RATE": "100", "CRASH_AT": POISON}


@pytest.fixture
def stack(tmp_path) -> Iterator[Stack]:
    """Start an installation that has sent before, and had an event of everything."""
    stack = Stack(tmp_path, **RULES)
    (stack.folder / "data").mkdir(mode=0o700)
    store = Store(stack.folder / "data" / "ses-sender.db")
    store.begin()
    store.run("count_minute", (int(time.time()) // 60 - 30, 100, 100))
    store.commit()
    store.close()
    with stack.living():
        yield stack


def test_e9_mail_that_kills_its_senders_is_put_away_and_the_rest_is_sent(stack):
    """One kills before its gate is asked for, one when its call has begun."""
    assert stack.post([*OTHERS[:20], BEFORE, AFTER, *OTHERS[20:]]).is_success
    posted: list[str] = []

    def are_put_away() -> bool:
        # Other mail goes on: where nothing is sent, no mail is to blame. And supervisord, which
        # looks around once a second, is woken.
        posted.append(f"steady{len(posted)}@example.com")
        stack.post(posted[-1:], "steady")
        stack._knock()
        return stack.counts() == {"Sent": len(OTHERS), "Failed": 2}

    until("both are put away, and all others sent", are_put_away, 120)
    stack.wait_counts({"Sent": len(posted)}, "steady")

    accepted = stack.accepted()
    assert accepted.keys() == {*OTHERS, *posted}, "neither ever came to SES"
    flagged = {email for (email,) in stack.sql("SELECT email FROM recipient WHERE flags & 1")}
    assert {email for email, copies in accepted.items() if copies > 1} <= flagged
    failed = "SELECT email, status_code FROM email_request WHERE status = 'Failed'"
    assert set(stack.sql(failed)) == {(BEFORE, "crashed_sender"), (AFTER, "crashed_sender")}
    assert stack.sql("SELECT email FROM recipient WHERE attempts = 0") == [(BEFORE,)]

    for email in (BEFORE, AFTER):
        ((recipient,),) = stack.sql("SELECT id FROM recipient WHERE email = ?", email)
        story = stack.http.get(f"/v1/messages/{recipient}").json()
        assert [one["what"] for one in story["history"]][-1] == "crashed_sender"
    died = [line for line in stack.log_lines() if "exited: sender-" in line]
    assert len(died) >= 6, "one is there twice with others, then each alone"
    until("nothing is suspected", lambda: stack.sql("SELECT count(*) FROM suspect") == [(0,)])
