"""Topics, events, health: what they answer when all is well, and when it is not."""

import msgspec
import pytest

from services.api import readiness
from services.api.events import PIXEL
from services.api.health import Health
from services.api.readiness import Life, Seen
from services.api.reads import Reads
from shared.protocol import (
    AccountHold,
    AccountState,
    BulkPause,
    CancelTopic,
    CheckPost,
    OrderFailed,
    PostChecked,
    RecordOpens,
    Snapshot,
)
from tests.unit.api.rig import KEY, Rig, at, body, facts, mail, settings, token, writer_state

KEYED = {"X-API-KEY": KEY}
STATES = ["Created", "Processed", "Sent", "Failed", "Stopped", "Unknown", "Suppressed"]
ALL = ["writer", "scheduler", "broker", "results", "sender-0", "sender-1", "monitor"]


@pytest.fixture
def rig():
    return Rig()


# Topics


def test_an_unknown_topic_has_zeros(rig):
    answer = rig.client.get("/v1/topics/nobody", headers=KEYED).json()
    assert answer["request_counts"] == dict.fromkeys(STATES, 0)
    assert answer["result_counts"] == {}


@pytest.mark.against("A34", "H39")
@pytest.mark.parametrize(
    ("path", "topic"),
    [
        ("news", "news"),
        ("a%2Fb/c", "a/b/c"),
        ("..%2F..%2Fx", "../../x"),
        ("%F0%9F%8E%89", "🎉"),
        ("100%25%20%3Fx%23", "100% ?x#"),
        ("x/", "x/"),
    ],
)
def test_a_topic_is_counted_under_its_own_name(rig, path, topic):
    rig.store.topics[topic] = facts({"Sent": 5, "Unknown": 1}, {"Delivery": 4}, id=2, name=topic)
    answer = rig.client.get(f"/v1/topics/{path}", headers=KEYED).json()
    assert answer["topic_id"] == topic
    assert answer["request_counts"] == dict.fromkeys(STATES, 0) | {"Sent": 5, "Unknown": 1}
    assert answer["result_counts"] == {"Delivery": 4}
    assert answer["notes"] == []


def test_a_topic_says_why_it_has_no_results_or_no_progress():
    rig = Rig(sns_topic_arn=(), aws_ses_configuration_set="")
    hold = AccountHold("not_verified", "boss@example.com is not verified", 1, 1_800_000_000_000)
    state = AccountState(rate=24, rate_source="setting", hold=hold)
    rig.hear(writer_state(seq=2, account=state))
    rig.store.topics["t"] = facts({"Created": 1}, {}, id=2, name="t")
    answer = rig.client.get("/v1/topics/t", headers=KEYED)
    assert len(answer.json()["notes"]) == 2
    assert "From address" in repr(answer.json()["waits"])
    assert "boss@" not in answer.text


def test_a_cancelled_topic_is_answered_with_what_was_stopped(rig):
    answer = rig.client.delete("/v1/topics/a%2Fb", headers=KEYED)
    assert answer.json() == {"status": "ok", "stopped": 3, "in_flight": 1}
    (order,) = rig.sent(CancelTopic)
    assert order.topic == "a/b"


def test_whether_ses_throttles_is_told_to_the_topics(rig):
    assert rig_facts(rig).throttled is False
    rig.hear(snapshot(notes={"limit": "throttled by SES"}))
    assert rig_facts(rig).throttled is True
    rig.now = at(4)
    assert rig_facts(rig).writer is None, "a level that is three seconds old is nobody's state"


def rig_facts(rig):
    health = Health(rig.actor, rig.line, Reads(rig.store), settings(), simulated=False)
    return health.facts()


def test_each_cancel_is_an_order_of_its_own(rig):
    for _ in range(2):
        rig.client.delete("/v1/topics/t", headers=KEYED)
    first, second = rig.sent(CancelTopic)
    assert first.order != second.order


def test_a_cancel_that_failed_and_one_that_is_not_confirmed(rig):
    rig.answer = lambda order: OrderFailed(order.order, "storage_full")
    answer = rig.client.delete("/v1/topics/t", headers=KEYED)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_full")
    rig.answer = lambda _: None
    answer = rig.client.delete("/v1/topics/t", headers=KEYED)
    assert (answer.status_code, answer.json()["code"]) == (503, "not_confirmed")
    assert answer.headers["retry-after"]


# Open pixels


def pixel(answer) -> bool:
    return (
        answer.status_code == 200
        and answer.content == PIXEL
        and answer.headers["content-type"] == "image/png"
        and answer.headers["cache-control"] == "no-store"
    )


def test_an_open_is_counted(rig):
    assert pixel(rig.client.get("/v1/events/open", params={"request_id": token(77)}))
    (batch,) = rig.sent(RecordOpens)
    assert [(one.recipient, one.at) for one in batch.opens] == [(77, at(0).ms)]


@pytest.mark.against("A16", "A18")
@pytest.mark.parametrize(
    "request_id",
    [
        pytest.param(None, marks=pytest.mark.against("H61")),
        pytest.param("", marks=pytest.mark.against("H61")),
        pytest.param("1", marks=pytest.mark.against("H62")),
        pytest.param("1000", marks=pytest.mark.against("H62")),
        token(77)[:-1],
        token(77)[:-1] + "~",
        token(77, b"x" * 32),
        "ü" * 32,
    ],
)
def test_anything_but_a_token_of_ours_gets_the_pixel_and_is_not_counted(rig, request_id):
    params = {} if request_id is None else {"request_id": request_id}
    assert pixel(rig.client.get("/v1/events/open", params=params))
    assert rig.letters == []


@pytest.mark.against("H64")
def test_head_is_not_counted_and_ranges_and_etags_get_the_whole(rig):
    address = f"/v1/events/open?request_id={token(77)}"
    assert rig.client.head(address).status_code == 200
    assert rig.letters == []
    for headers in ({"Range": "bytes=0-0"}, {"If-None-Match": "*"}):
        assert pixel(rig.client.get(address, headers=headers))


@pytest.mark.against("A18", "H64")
def test_many_hits_of_one_pixel_are_capped(rig):
    for _ in range(50):
        assert pixel(rig.client.get("/v1/events/open", params={"request_id": token(77)}))
    assert len(rig.actor.opens) == 11


def test_the_pixel_is_there_without_a_database(rig):
    rig.store.installed = False
    assert pixel(rig.client.get("/v1/events/open", params={"request_id": token(77)}))
    rig.store.broken = True
    assert pixel(rig.client.get("/v1/events/open", params={"request_id": token(77)}))
    assert rig.letters == []
    assert rig.actor.counts["opens_unreadable"] == 1


# The count of sent mail


@pytest.mark.parametrize(("query", "hours"), [("", 24), ("?hours=1", 1), ("?hours=8760", 8760)])
def test_sent_mail_is_counted(rig, query, hours):
    rig.store.sent = 42
    answer = rig.client.get(f"/v1/events/counts/sent{query}", headers=KEYED)
    assert answer.json() == {"count": 42}
    assert rig.store.asked == [(at(0).ms, hours)]


# What SNS posts


def post(rig, raw=b'{"Type":"Notification"}', **headers):
    known = {"x-amz-sns-message-type": "Notification", "Content-Type": "text/plain; charset=UTF-8"}
    return rig.client.post("/v1/events/results", content=raw, headers={**known, **headers})


def test_a_post_goes_raw_to_results(rig):
    raw = b'\xff{"Type": "Notification" '
    answer = post(rig, raw)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    (letter,) = rig.letters
    assert letter.to == "results"
    assert (letter.message.body, letter.message.message_type) == (raw, "Notification")


@pytest.mark.parametrize(
    ("status", "code", "answered"),
    [
        (400, "bad_post", 400),
        (401, "refused", 401),
        (403, "not_believed", 403),
        (413, "too_large", 413),
        (500, "not_committed", 503),
        (503, "not_committed", 503),
    ],
)
def test_a_post_is_answered_as_results_says(rig, status, code, answered):
    rig.answer = lambda message: PostChecked(message.post, status, "a reason")
    answer = post(rig)
    assert (answer.status_code, answer.json()["code"]) == (answered, code)
    assert answer.json()["error"] == "a reason"


def test_a_post_that_is_not_committed_in_time_shall_come_again(rig):
    rig.answer = lambda _: None
    answer = post(rig)
    assert (answer.status_code, answer.json()["code"]) == (503, "not_committed")
    assert len(rig.sent(CheckPost)) > 10


def test_a_post_may_have_half_a_megabyte(rig):
    assert post(rig, b"x" * 512 * 1024).status_code == 200
    answer = post(rig, b"x" * (512 * 1024 + 1))
    assert answer.status_code == 413
    assert "512 KB" in answer.json()["error"]


def test_raw_delivery_is_named(rig):
    answer = post(rig, **{"x-amz-sns-rawdelivery": "true"})
    assert (answer.status_code, answer.json()["code"]) == (400, "raw_delivery")
    assert rig.letters == []


# Health


def test_health_needs_nothing(rig):
    rig.store.broken = True
    rig.now = at(100)
    assert rig.client.get("/health").json() == {"status": "ok"}


def snapshot(processes=ALL, dead=(), notes=None):
    rows = [
        {
            "actor": name.partition("-")[0],
            "process": name,
            "pid": 1,
            "alive": name not in dead,
            "age_s": 0.5,
            "gauges": {},
            "notes": notes or {},
            "errors": [],
        }
        for name in processes
    ]
    return Snapshot(msgspec.json.encode({"v": 1, "at": 1, "processes": rows, "queue": {}}))


def test_ready_when_all_is_well(rig):
    rig.hear(snapshot())
    answer = rig.client.get("/ready")
    assert answer.status_code == 200
    ready = answer.json()
    assert (ready["status"], ready["db"], ready["degraded"]) == ("ok", "connected", [])
    assert ready["simulated"] is False
    assert ready["checks"] == {
        "storing": "ok",
        "reading": "ok",
        "processes": dict.fromkeys(ALL, "ok"),
    }
    assert ready["account"]["rate"] == 24


def test_ready_is_503_only_when_a_post_could_not_be_stored(rig):
    rig.hear(snapshot())
    rig.hear(writer_state(seq=2, storing=False, trouble="the disk is full"))
    answer = rig.client.get("/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
    assert answer.json()["checks"]["storing"] == "the disk is full"
    assert rig.send(body()).status_code == 503
    silent = Rig()
    silent.now = at(4)
    assert silent.client.get("/ready").status_code == 503


def test_any_other_trouble_is_200_and_named():
    rig = Rig(sns_topic_arn=(), aws_ses_configuration_set="", sender_workers=3)
    arn = "arn:aws:sns:eu-west-1:123456789012:other"
    rig.hear(snapshot(dead=("scheduler", "sender-1"), notes={"unlisted_topic": arn}))
    account = AccountState(
        rate=24,
        rate_source="setting",
        read_error="AccessDenied",
        sandbox=True,
        sending_enabled=False,
        enforcement="PROBATION",
        hold=AccountHold("quota", "Daily message quota exceeded", 1, 1_800_000_600_000),
    )
    rig.hear(writer_state(seq=2, account=account, unknown_held=7, bulk_refused="no permission"))
    rig.store.broken = True
    answer = rig.client.get("/ready")
    assert answer.status_code == 200
    told = "\n".join(answer.json()["degraded"])
    for word in (
        "AWS_SES_CONFIGURATION_SET",
        "SNS_TOPIC_ARN is not set",
        "process scheduler",
        "2 of 3 senders are not heard: sender-1, sender-2",
        arn,
        "cannot be read",
        "24-hour quota is used up (Daily message quota exceeded); next try at 2027-01-15T08:10:00Z",
        "GetAccount has no answer (AccessDenied): the rate is 24/s",
        "sandbox",
        "switched off",
        "probation",
        "lost for 7 mails",
        "no permission",
    ):
        assert word in told
    assert "/secret" not in told
    assert rig.send(body()).status_code == 200


@pytest.mark.against("A28")
def test_ready_shows_no_address(rig):
    hold = AccountHold("not_verified", "boss@example.com is not verified", 1, 1)
    rig.hear(writer_state(seq=2, account=AccountState(24, "setting", hold=hold)))
    answer = rig.client.get("/ready")
    assert "boss@" not in answer.text
    assert "is not verified" in answer.text


@pytest.mark.parametrize("frame", [b"", b"{", b"[]", b'{"processes":[{}]}', b"\xff"])
def test_a_snapshot_that_cannot_be_read_is_none(frame):
    assert readiness.lives(Snapshot(frame), 0) is None


def test_an_old_snapshot_is_none():
    assert readiness.lives(snapshot(), 1) is not None
    assert readiness.lives(snapshot(), 6) is None
    told = readiness.degraded(Seen(settings(), writer_state(), None))
    assert any("monitor" in sentence for sentence in told)


def test_trouble_that_still_stores_is_told():
    lives = [Life(name, alive=True) for name in ALL]
    account = AccountState(24, "account", read_at=1, read_error="Timeout")
    told = readiness.degraded(
        Seen(settings(), writer_state(trouble="slow", account=account), lives)
    )
    assert told == [
        "GetAccount fails (Timeout): the last answer holds.",
        "The writer has trouble: slow.",
    ]


def test_a_pause_of_bulk_mail_names_the_way_out():
    lives = [Life(name, alive=True) for name in ALL]
    pause = BulkPause("of 1,200 mails 8.5 % bounced", 1_800_000_000_000)
    told = readiness.degraded(Seen(settings(), writer_state(bulk_pause=pause), lives))
    assert len(told) == 1
    for word in (
        "Bulk mail is paused since 2027-01-15T08:00:00Z: of 1,200 mails 8.5 % bounced.",
        "Urgent mail goes on",
        "POST /v1/account/resume",
    ):
        assert word in told[0]


def test_before_the_first_migration_there_is_no_database(rig):
    rig.store.installed = False
    rig.hear(snapshot())
    assert rig.client.get("/ready").json()["degraded"] == [
        "The database cannot be read: there is no database yet."
    ]


def test_a_simulated_installation_says_so():
    assert Rig(simulated=True).client.get("/ready").json()["simulated"] is True


# What every answer has


@pytest.mark.parametrize("path", ["/health", "/nowhere", "/v1/topics/t", "/v1/events/open"])
def test_every_answer_has_its_headers(rig, path):
    answer = rig.client.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers
    assert len(answer.headers["x-request-id"]) == 16


@pytest.mark.against("A27")
@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-DEF_123", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("", False)],
)
def test_a_request_id_is_kept_if_it_is_harmless(rig, given, kept):
    answer = rig.client.get("/health", headers={"X-Request-Id": given})
    assert (answer.headers["x-request-id"] == given) == kept


@pytest.mark.against("A28")
def test_the_access_log_has_the_route_and_never_what_stands_in_it(rig, monkeypatch):
    lines, quiet = [], []
    log = {"info": lambda *a, **k: lines.append(k), "debug": lambda *a, **k: quiet.append(k)}
    monkeypatch.setattr(rig.app, "_log", type("Log", (), log))
    rig.client.get("/v1/topics/secret-customer", headers=KEYED)
    rig.client.get("/v1/events/open", params={"request_id": token(77)})
    rig.client.get("/unknown/secret")
    rig.send(body(mail(emails=["ann@example.com"])))
    assert [(line["path"], line["status"]) for line in lines] == [
        ("/v1/topics/{topic_id}", 200),
        ("-", 404),
        ("/v1/messages", 200),
    ]
    assert [line["path"] for line in quiet] == ["/v1/events/open"], "machines ask by the thousand"
    lines += quiet
    assert all(set(line) == {"method", "path", "status", "ms", "request"} for line in lines)
    for canary in ("secret", token(77), KEY, "ann@"):
        assert canary not in repr(lines)


@pytest.mark.parametrize(
    ("dead", "told"),
    [
        ((), ""),
        (("sender-0", "results"), ""),
        (("sender-0", "sender-1"), "No sender is heard"),
        (("broker",), "The process broker is not heard"),
        (("scheduler", "sender-0"), "The process scheduler is not heard"),
    ],
)
def test_nothing_leaves_without_scheduler_broker_and_one_sender(dead, told):
    assert readiness.standstill(readiness.lives(snapshot(dead=dead), 1)) == told
    assert readiness.standstill(None) == "", "the monitor is not heard: nobody knows"


def test_a_topic_says_that_nobody_sends(rig):
    rig.store.topics["t"] = facts({"Created": 3}, {})
    rig.hear(snapshot(dead=("sender-0", "sender-1")))
    told = rig.client.get("/v1/topics/t", headers=KEYED).json()
    assert [wait["code"] for wait in told["waits"]] == ["not_sending"]
    assert told["eta"] is None
