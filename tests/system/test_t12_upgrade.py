"""A database of the first landing opens under this release, and nothing of it is lost."""

import json
from pathlib import Path

import apsw
import httpx2
import pytest

from shared.domain import RecipientId
from shared.store.read import Reader
from shared.token import open_token
from tests.system.stack import Stack, until

FIRST = Path(__file__).parents[1] / "fixtures" / "first_landing.sql"
ARN = "arn:aws:sns:eu-west-1:123456789012:ses"
NEVER_SENT = {
    "refused1@example.com",
    "leased2@example.com",
    "leased3@example.com",
    "nowhere@example.com",
    *(f"waiting{n}@example.com" for n in range(5)),
}
"""Whose turn had not come: they go out once now."""


@pytest.fixture
def stack(make_stack) -> Stack:
    """Put this release on top of the former one's data; what is in doubt stays in doubt."""
    stack = make_stack(ON_UNKNOWN="confirm_then_hold")
    (stack.folder / "data").mkdir()
    database = apsw.Connection(str(stack.folder / "data" / "ses-sender.db"))
    database.execute(FIRST.read_text())
    database.close()
    stack.start_simulator()
    stack.start()
    stack.connect_events()
    return stack


def event(kind: str, address: str, recipient: int) -> str:
    """Spell an event as SES does, with the tags that the former release gave its mail."""
    return json.dumps(
        {
            "eventType": kind,
            "mail": {
                "timestamp": "2026-11-19T14:53:21.000Z",
                "messageId": f"ses-{recipient}",
                "destination": [address],
                "tags": {"mid": [f"01d5eed0-{recipient}"], "att": ["1"]},
            },
            kind.lower(): {"timestamp": "2026-11-19T15:00:00.000Z", "recipients": [address]},
        }
    )


def test_nothing_is_lost_and_the_mail_goes_on(stack):
    done = {"Send": 6, "Delivery": 4, "Bounce": 1, "Complaint": 1, "Open": 1}
    assert stack.counts("done") == {"Sent": 6}
    assert stack.topic("done")["result_counts"] == done
    assert stack.counts("later") == {"Created": 3}
    assert stack.counts("stopped") == {"Stopped": 3}
    assert stack.counts("lost") == {"Unknown": 1}

    until("what waited is sent", lambda: stack.accepted().keys() >= NEVER_SENT)
    stack.wait_counts({"Sent": 5}, "waiting")
    stack.wait_counts({"Sent": 1, "Failed": 1}, "refused")
    # One job was through the gate when the former release ended: nobody knows, nothing is sent.
    stack.wait_counts({"Sent": 2, "Unknown": 2}, "leased")
    assert set(stack.accepted()) == NEVER_SENT
    assert set(stack.accepted().values()) == {1}
    rows = "SELECT topic_id, status, count(*) FROM email_request GROUP BY 1, 2"
    for topic, status, count in stack.sql(rows):
        if topic is not None:
            assert stack.counts(topic)[status] == count
    assert stack.sql("SELECT count(*) FROM recipient") == [(25,)]
    assert stack.sql("SELECT count(*) FROM lease") == [(0,)]


def test_events_of_mail_from_before_still_find_it(stack):
    sns = stack.client("sns")
    for kind, address, recipient in (
        ("Delivery", "lost0@example.com", 9),
        ("Delivery", "leased0@example.com", 13),
        ("Send", "leased1@example.com", 14),
        ("Complaint", "done5@example.com", 6),
        ("Delivery", "somebody.else@example.com", 6),  # not the address of this mail: no proof
    ):
        sns.publish(TopicArn=ARN, Message=event(kind, address, recipient))
    stack.wait_counts({"Sent": 1}, "lost")
    stack.wait_counts({"Sent": 4}, "leased")
    until("it is counted", lambda: stack.topic("done")["result_counts"].get("Complaint") == 2)
    assert stack.topic("done")["result_counts"]["Delivery"] == 4
    # boto3 publishes again what is not answered in time: on a busy machine there may be more.
    published = stack.summary()["events"]["Publish"]
    assert published["acked"] == published["made"] >= 5

    install = Reader(stack.folder / "data" / "ses-sender.db").install()
    token = open_token(install.pixel_secret, RecipientId(3))
    assert httpx2.get(f"{stack.url}/v1/events/open?request_id={token}").status_code == 200
    until("it is counted", lambda: stack.topic("done")["result_counts"]["Open"] == 2)


def test_what_was_scheduled_before_can_be_cancelled_now(stack):
    answer = stack.http.delete("/v1/topics/later")
    assert answer.json() == {"status": "ok", "stopped": 3, "in_flight": 0}
    stack.wait_counts({"Stopped": 3}, "later")
