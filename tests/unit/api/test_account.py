"""/v1/account: what the account allows, and the steering of it."""

import msgspec
import pytest

from shared.protocol import (
    AccountHold,
    AccountState,
    BulkPause,
    OrderDone,
    OrderFailed,
    Reputation,
    ResumeBulk,
    SetRate,
    Snapshot,
)
from tests.unit.api.rig import Rig, at, refusing

ACCOUNT = "/v1/account"
MS = 1_800_000_000_000
WELL = AccountState(
    rate=24,
    rate_source="setting",
    max_rate=200,
    quota=50_000,
    quota_left=49_000,
    sent_24h=1_000,
    read_at=MS,
    sandbox=False,
    sending_enabled=True,
    enforcement="HEALTHY",
)


@pytest.fixture
def rig():
    rig = Rig()
    rig.level(account=WELL)
    return rig


def broker(rate=24.0, now=12.0, limit="allowed rate", **changed):
    row = {
        "process": "broker",
        "alive": True,
        "gauges": {"rate": rate, "granted_per_s": now},
        "notes": {"limit": limit},
        **changed,
    }
    return Snapshot(msgspec.json.encode({"processes": [row]}))


def test_all_is_well(rig):
    rig.hear(broker())
    rig.level(
        proven_since=MS - 1000,
        sent=100,
        heard=99,
        day=Reputation(1_000, 20, 1),
        week=Reputation(0, 0, 0),
    )
    answer = rig.ask("GET", ACCOUNT)
    assert answer.status_code == 200
    assert answer.json() == {
        "rate": {
            "in_force": 24,
            "source": "setting",
            "setting": 24,
            "api": None,
            "account": 200,
            "throttled": False,
            "now": 12,
        },
        "quota": {"max": 50_000, "used": 1_000, "left": 49_000},
        "sandbox": False,
        "sending_enabled": True,
        "enforcement": "HEALTHY",
        "hold": None,
        "read_at": "2027-01-15T08:00:00Z",
        "read_error": None,
        "bulk": {"paused": False, "reason": None, "since": None},
        "events": {"proven": True, "since": "2027-01-15T07:59:59Z", "sent": 100, "heard": 99},
        "reputation": {
            "day": {
                "sent": 1_000,
                "bounces": 20,
                "complaints": 1,
                "bounce_rate": 0.02,
                "complaint_rate": 0.001,
            },
            "week": {
                "sent": 0,
                "bounces": 0,
                "complaints": 0,
                "bounce_rate": None,
                "complaint_rate": None,
            },
            "limits": {
                "bounce": {"aws_review": 0.05, "aws_pause": 0.1, "pauses_at": 0.08},
                "complaint": {"aws_review": 0.001, "aws_pause": 0.005, "pauses_at": 0.004},
            },
        },
    }


def test_head_is_answered_as_get_is(rig):
    assert rig.ask("HEAD", ACCOUNT).status_code == 200
    assert rig.ask("HEAD", f"{ACCOUNT}/resume").status_code == 405


def test_what_is_not_known_is_null():
    rig = Rig(max_send_per_second=None, pause_at_bounce_rate=1.0)
    rig.level(account=AccountState(1.0, "fallback", read_error="AccessDenied"))
    body = rig.ask("GET", ACCOUNT).json()
    assert body["rate"] == {
        "in_force": 1,
        "source": "fallback",
        "setting": "auto",
        "api": None,
        "account": None,
        "throttled": None,
        "now": None,
    }
    assert (body["read_at"], body["read_error"], body["enforcement"]) == (
        None,
        "AccessDenied",
        None,
    )
    assert body["quota"] == {"max": None, "used": 0, "left": None}
    assert body["events"] == {"proven": False, "since": None, "sent": 0, "heard": 0}
    assert body["reputation"]["limits"]["bounce"]["pauses_at"] is None


def test_troubles_are_told(rig):
    hold = AccountHold("quota", "used up", MS - 1000, MS + 500)
    account = msgspec.structs.replace(WELL, hold=hold)
    rig.level(account=account, bulk_pause=BulkPause("8.5 % bounced", MS))
    body = rig.ask("GET", ACCOUNT).json()
    assert body["hold"] == {
        "reason": "quota",
        "detail": "used up",
        "since": "2027-01-15T07:59:59Z",
        "probe_at": "2027-01-15T08:00:00.500Z",
    }
    assert body["bulk"] == {
        "paused": True,
        "reason": "8.5 % bounced",
        "since": "2027-01-15T08:00:00Z",
    }


@pytest.mark.parametrize(
    ("snapshot", "in_force", "throttled", "now"),
    [
        (broker(12.0, 5.0, "throttled by SES"), 12, True, 5),
        # One second old, from before the rate was lowered: the writer knows better.
        (broker(200.0, 5.0, "throttled by SES"), 24, True, 5),
        (broker(12.0, 5.0), 24, False, 5),
        (broker(alive=False), 24, None, None),
        (broker(process="scheduler"), 24, None, None),
        (Snapshot(b"{"), 24, None, None),
    ],
)
def test_the_rate_in_force_is_what_the_throttle_leaves_of_it(
    rig, snapshot, in_force, throttled, now
):
    rig.hear(snapshot)
    rate = rig.ask("GET", ACCOUNT).json()["rate"]
    assert (rate["in_force"], rate["throttled"], rate["now"]) == (in_force, throttled, now)


def test_an_old_snapshot_tells_nothing(rig):
    rig.hear(broker(12.0, 5.0, "throttled by SES"))
    rig.now = at(6)
    rig.level()
    assert rig.ask("GET", ACCOUNT).json()["rate"]["now"] is None


def test_without_a_writer_it_is_a_503(rig):
    rig.now = at(4)
    answer = rig.ask("GET", ACCOUNT)
    assert (answer.status_code, answer.json()["code"]) == (503, "writer_not_heard")
    assert answer.headers["retry-after"]
    rig.level(storing=False, trouble="the disk is full")
    assert rig.ask("GET", ACCOUNT).status_code == 200


# The rate


def obeying(rig, **changed):
    """Answer as a writer does that says its new level before the order's answer or after it."""

    def obey(order):
        rate = order.rate if isinstance(order, SetRate) else None
        account = msgspec.structs.replace(WELL, rate=rate or 24, rate_source="api")
        rig.level(**{"rate_wanted": rate, "account": account, "bulk_pause": None, **changed})
        return OrderDone(order.order, 1)

    return obey


@pytest.mark.parametrize("rate", [0.01, 20, 0.5, 100_000])
def test_the_rate_is_set_and_what_is_then_in_force_is_answered(rig, rate):
    rig.answer = obeying(rig)
    answer = rig.ask("PATCH", ACCOUNT, {"max_send_per_second": rate})
    body = answer.json()
    assert (answer.status_code, body["status"]) == (200, "ok")
    assert (body["rate"]["in_force"], body["rate"]["source"]) == (rate, "api")
    (letter,) = rig.letters
    assert (letter.to, letter.message.rate) == ("writer", rate)


def test_null_returns_to_the_setting(rig):
    rig.level(rate_wanted=5.0)
    rig.answer = obeying(rig, rate_wanted=None, account=WELL)
    body = rig.ask("PATCH", ACCOUNT, {"max_send_per_second": None}).json()
    assert (body["rate"]["in_force"], body["rate"]["source"], body["rate"]["api"]) == (
        24,
        "setting",
        None,
    )
    assert rig.sent(SetRate)[0].rate is None


def test_a_level_that_does_not_show_it_is_waited_for_and_then_told_as_it_is(rig):
    """Somebody else may have set another rate meanwhile: what is answered is in force."""
    rig.answer = lambda order: OrderDone(order.order, 1)
    rig.level(rate_wanted=7.0, account=msgspec.structs.replace(WELL, rate=7.0, rate_source="api"))
    body = rig.ask("PATCH", ACCOUNT, {"max_send_per_second": 20}).json()
    assert (body["rate"]["in_force"], body["rate"]["api"]) == (7, 7)
    assert rig.actor._watches == []


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"{}", "wrong_shape"),
        (b'{"max_send_per_second":true}', "wrong_shape"),
        (b'{"max_send_per_second":false}', "wrong_shape"),
        (b'{"max_send_per_second":"20"}', "wrong_shape"),
        (b'{"max_send_per_second":[20]}', "wrong_shape"),
        (b'{"max_send_per_second":0}', "invalid"),
        (b'{"max_send_per_second":0.009}', "invalid"),
        (b'{"max_send_per_second":-1}', "invalid"),
        (b'{"max_send_per_second":100000.1}', "invalid"),
        (b'{"max_send_per_second":1e300}', "invalid"),
        (b'{"max_send_per_second":' + b"9" * 300 + b"}", "invalid"),
        (b'{"max_send_per_second":1e400}', "not_json"),
        (b'{"max_send_per_second":NaN}', "not_json"),
        (b'{"max_send_per_second":Infinity}', "not_json"),
        (b'{"max_send_per_second":5,"x":1}', "wrong_shape"),
    ],
)
def test_bad_rates(rig, raw, code):
    answer = rig.ask("PATCH", ACCOUNT, raw)
    assert answer.status_code == (400 if code == "not_json" else 422)
    assert answer.json()["code"] == code
    assert rig.letters == []


def test_a_rate_above_the_accounts_is_refused_with_the_accounts(rig):
    rig.answer = refusing("rate_too_high", limit=200.0)
    answer = rig.ask("PATCH", ACCOUNT, {"max_send_per_second": 201})
    assert (answer.status_code, answer.json()["code"]) == (422, "rate_too_high")
    assert "200 recipients per second" in answer.json()["error"]
    assert answer.json()["errors"][0]["pointer"] == "/max_send_per_second"


# Bulk mail


def test_bulk_mail_goes_on(rig):
    rig.level(bulk_pause=BulkPause("8.5 % bounced", MS))
    rig.answer = obeying(rig)
    answer = rig.ask("POST", f"{ACCOUNT}/resume")
    assert answer.json() == {
        "status": "ok",
        "bulk": {"paused": False, "reason": None, "since": None},
    }
    assert len(rig.sent(ResumeBulk)) == 1


def test_bulk_mail_that_is_paused_anew_says_so(rig):
    rig.level(bulk_pause=BulkPause("0.5 % complained", MS))
    rig.answer = lambda order: OrderDone(order.order, 1)
    body = rig.ask("POST", f"{ACCOUNT}/resume", {}).json()
    assert body["bulk"]["reason"] == "0.5 % complained"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("PATCH", ACCOUNT, {"max_send_per_second": 5}), ("POST", f"{ACCOUNT}/resume", None)],
)
def test_orders_that_fail(rig, method, path, body):
    rig.answer = lambda order: OrderFailed(order.order, "storage_full")
    assert rig.ask(method, path, body).status_code == 503
    rig.answer = lambda _: None
    assert rig.ask(method, path, body).json()["code"] == "not_confirmed"
    rig.answer = refusing("something_new")
    assert rig.ask(method, path, body).status_code == 409


def test_a_writer_that_falls_silent_right_after_the_order_leaves_it_unsaid(rig):
    def last_words(order):
        rig.now = at(4)
        return OrderDone(order.order, 1)

    rig.level(rate_wanted=None)
    rig.answer = last_words
    body = rig.ask("PATCH", ACCOUNT, {"max_send_per_second": 5}).json()
    assert body == {"status": "ok", "rate": None}
