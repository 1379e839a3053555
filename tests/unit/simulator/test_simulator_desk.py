"""Broken requests: whatever comes in, the desk answers, and never with an exception."""

import datetime
import json
import random

from services.simulator.control import Control
from services.simulator.desk import Desk, Request
from services.simulator.serving import Clocks, _world
from services.simulator.settings import Settings
from services.simulator.sns import Sns

CALLS = [
    (
        "POST",
        "/v2/email/outbound-emails",
        {
            "FromEmailAddress": "a@b.co",
            "Destination": {"ToAddresses": ["c@d.co"]},
            "Content": {
                "Simple": {"Subject": {"Data": "x"}, "Body": {"Html": {"Data": "\ud83d hi é"}}}
            },
            "EmailTags": [{"Name": "mid", "Value": "1"}],
        },
    ),
    (
        "POST",
        "/v2/email/outbound-bulk-emails",
        {
            "FromEmailAddress": "a@b.co",
            "DefaultContent": {
                "Template": {"TemplateContent": {"Subject": "{{s}}", "Html": "{{h}}"}}
            },
            "BulkEmailEntries": [{"Destination": {"ToAddresses": ["c@d.co"]}}],
        },
    ),
    ("POST", "/v2/email/configuration-sets", {"ConfigurationSetName": "a", "SendingOptions": {}}),
    (
        "POST",
        "/v2/email/configuration-sets/a/event-destinations",
        {"EventDestinationName": "d", "EventDestination": {"MatchingEventTypes": ["SEND", {}]}},
    ),
    ("PUT", "/v2/email/suppression/addresses", {"EmailAddress": "a@b.co", "Reason": "BOUNCE"}),
    ("POST", "/_simulator/faults", {"rules": [{"do": "close"}], "events": {"hold": True}}),
]
INSERTS = [b"null", b"1", b"[]", b"{}", b'""', b"\\ud800", b",", b"{{", b"\xff"]


def spoil(body, chance):
    """Change, cut or fill in up to three places."""
    for _ in range(chance.randint(0, 3)):
        place = chance.randrange(len(body) + 1)
        kind = chance.random()
        if kind < 0.4:
            body = body[:place] + bytes([chance.randrange(256)]) + body[place + 1 :]
        elif kind < 0.6:
            body = body[:place] + body[place + chance.randint(1, 10) :]
        elif kind < 0.8:
            body = body[:place] + chance.choice(INSERTS) + body[place:]
        else:
            body = body[:place]
    return body


def test_the_desk_answers_whatever_comes():
    chance = random.Random(7)
    clock = iter(range(0, 10**18, 10**6))
    clocks = Clocks(lambda: next(clock), lambda: 0, 0.0, datetime.datetime.now(datetime.UTC))
    world = _world(Settings(rate=1e9, keep_bodies=True), clocks, chance)
    sns = Sns("eu-west-1", chance)
    desk = Desk(world, sns, Control(world, sns, clocks.now_ns), None)
    seen = set()
    for _ in range(3000):
        method, url, document = chance.choice(CALLS)
        body = spoil(json.dumps(document).encode(), chance)
        reply = desk.take(Request(method, url, {"authorization": "x"}, body, clocks.now_ns()))
        seen.add(reply.status)
    assert {200, 400} <= seen <= {200, 400, 404, 413, 429, 500}
