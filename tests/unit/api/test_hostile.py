"""Hostile input over HTTP: each is refused by name, and nothing of it goes anywhere."""

import gzip

import pytest

from tests.unit.api.rig import KEY, SECOND_KEY, Rig, body, mail

MB = 1024 * 1024


@pytest.fixture
def rig():
    return Rig()


def refused(rig, answer, status):
    """Check the form of an error, and that no letter left."""
    assert answer.status_code == status
    error = answer.json()
    assert error["error"]
    assert error["code"]
    assert isinstance(error["errors"], list)
    assert rig.letters == []
    return error


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 400),
        (b"null", 422),
        (b"[]", 422),
        (b"[" * 100_000, 400),
        (b'{"a":' * 1025 + b"1" + b"}" * 1025, 400),
        (b'{"messages":' + b"1" * 100_000 + b"}", 400),
        (b'{"messages":NaN}', 400),
        (b'{"messages":1e400}', 400),
        (b'{"messages":[{"emails":["a@b.com"],"subject":"\\ud800","content":"c"}]}', 400),
        (b"\xff\xfe", 400),
        ('{"messages":[]}'.encode("utf-16"), 400),
        (b'\xef\xbb\xbf{"messages":[]}', 400),
    ],
    ids=[1, 2, 3, 4, 5, 6, 7, 7.5, 8, 9, 10, 11],
)
def test_json(rig, raw, status):
    refused(rig, rig.send(raw), status)


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "", "application/x-www-form-urlencoded", "application/json; charset=utf-16"],
)
def test_content_type(rig, kind):
    refused(rig, rig.send(b"{}", content_type=kind), 415)


def test_no_content_type(rig):
    request = rig.client.build_request("POST", "/v1/messages", content=b"{}")
    request.headers["x-api-key"] = KEY
    request.headers.pop("content-type", None)
    refused(rig, rig.client.send(request), 415)


@pytest.mark.parametrize(
    "kind",
    ["application/json; charset=utf-8", "Application/JSON;charset=UTF-8", "application/json; v=1"],
)
def test_content_types_that_are_json(rig, kind):
    assert rig.send(b"null", content_type=kind).status_code == 422


JSON = [(b"x-api-key", KEY.encode()), (b"content-type", b"application/json")]


def test_a_length_over_the_limit_is_refused_unread(rig):
    for length in (b"26214401", b"3221225472", b"9" * 30):
        status, read = rig.stream([*JSON, (b"content-length", length)], b" " * MB)
        assert (status, read) == (413, 0)


def test_a_chunked_body_is_refused_at_the_limit(rig):
    assert rig.stream(JSON, b" " * MB) == (413, 26)
    assert rig.letters == []


def test_the_key_is_checked_before_the_body_is_read(rig):
    assert rig.stream(JSON[1:], b" " * MB) == (401, 0)


def test_a_body_that_does_not_come_is_a_408(rig):
    rig.room()._patience_s = 0.01
    assert rig.stream(JSON, None) == (408, 1)
    assert rig.room().taken == 0


def test_a_body_that_is_cut_off_ends_the_request(rig):
    assert rig.stream(JSON, b"") == (400, 1)
    assert rig.letters == []


def test_bodies_on_their_way_share_what_memory_there_is(rig):
    rig.room().taken = 128 * MB - 10
    assert rig.stream(JSON, b" " * MB) == (503, 1)
    assert rig.room().taken == 128 * MB - 10


def test_compressed_bodies(rig):
    bomb = gzip.compress(b" " * MB)
    refused(rig, rig.send(bomb, content_encoding="gzip"), 415)
    assert rig.send(b"null", content_encoding="identity").status_code == 422


SHAPES = {
    17: ({"messages": []}, "/messages"),
    18: (body(mail(emails=[])), "/messages/0/emails"),
    19: (body(mail(emails=[f"u{n}@b.com" for n in range(10_001)])), "/messages"),
    20: (body(*[mail()] * 10_001), "/messages"),
    21: (body(mail(emails=[None])), "/messages/0/emails/0"),
    21.1: (body(mail(emails=["a@b.com", 123])), "/messages/0/emails/1"),
    21.2: (body(mail(emails=[{"a": 1}])), "/messages/0/emails/0"),
    22: (body(mail(emails="a@b.c")), "/messages/0/emails"),
    35: (body(mail(subject="a\r\nBcc: x")), "/messages/0/subject"),
    35.1: (body(mail(subject="a\n b")), "/messages/0/subject"),
    35.2: (body(mail(subject="a\u202eb")), "/messages/0/subject"),
    35.3: (body(mail(subject="")), "/messages/0/subject"),
    36: (body(mail(subject="x" * MB)), "/messages/0/subject"),
    37: (body(mail(content="x" * 11 * MB)), "/messages/0/content"),
    37.1: (body(mail(content="")), "/messages/0/content"),
    39: (body(mail(topic_id="x" * 1024)), "/messages/0/topic_id"),
    39.1: (body(mail(topic_id="\0")), "/messages/0/topic_id"),
    40: (body(scheduled_at="tomorrow"), "/scheduled_at"),
    41: (body(scheduled_at="2026-02-30 10:00"), "/scheduled_at"),
    43: (body(scheduled_at="9999-01-01 00:00:00"), "/scheduled_at"),
    43.1: (body(scheduled_at="1970-01-01 00:00:00"), "/scheduled_at"),
    44: (body(schedule_at="2027-01-16 09:00:00"), "/schedule_at"),
}


@pytest.mark.parametrize("row", SHAPES)
def test_shapes(rig, row):
    sent, pointer = SHAPES[row]
    error = refused(rig, rig.send(sent), 422)
    assert pointer in [fault["pointer"] for fault in error["errors"]]


@pytest.mark.parametrize(
    "email",
    [
        "a@b.com\r\nBcc: x@y.z",
        "a@b.com\0",
        "a@b.com\u2028",
        "a@b.com,c@d.com",
        '"x" <a@b.com>',
        "a@@b.com",
        "@b.com",
        "a@",
        "a b@c.d",
        "a" * 65 + "@b.com",
        "a@" + ".".join(["b" * 62] * 4) + ".com",
        "a@" + "b" * 64 + ".com",
        "ü@example.com",
        "a@[127.0.0.1]",
        "a@localhost",
        "a@b",
    ],
    ids=repr,
)
def test_an_address_alone_that_cannot_be_sent_to_is_refused_by_its_place(rig, email):
    error = refused(rig, rig.send(body(mail(emails=[email]))), 422)
    assert error["code"] == "no_valid_address"
    assert error["errors"][0]["pointer"] == "/messages/0/emails/0"


def test_an_international_domain_goes_as_punycode(rig):
    assert rig.send(body(mail(emails=["u@münchen.de"]))).status_code == 200
    assert rig.letters[0].message.mails[0].emails == ("u@xn--mnchen-3ya.de",)


@pytest.mark.parametrize("topic", ["../../x", "🎉", "'; DROP TABLE x", "%", "a/b", "?x=1#y"])
def test_a_strange_topic_is_stored_as_it_is(rig, topic):
    assert rig.send(body(mail(topic_id=topic))).status_code == 200
    assert rig.letters[0].message.mails[0].topic == topic


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-KEY": ""},
        {"X-API-KEY": "k" * 31},
        {"X-API-KEY": b"\xff" * 32},
        {"X-API-KEY": "x" * 10_000},
        {"X-API-KEY": KEY + " x"},
        {"Authorization": f"Bearer {KEY}"},
        [("X-API-KEY", KEY), ("X-API-KEY", KEY)],
        [("X-API-KEY", KEY), ("X-API-KEY", SECOND_KEY)],
    ],
    ids=range(9),
)
def test_without_one_good_key_all_are_told_the_same(rig, headers):
    bodies = set()
    for method, path in [
        ("POST", "/v1/messages"),
        ("GET", "/v1/topics/t"),
        ("DELETE", "/v1/topics/t"),
        ("PATCH", "/v1/topics/t"),
        ("POST", "/v1/topics/t/pause"),
        ("POST", "/v1/topics/t/resume"),
        ("POST", "/v1/topics/t/retry-failed"),
        ("GET", "/v1/topics"),
        ("GET", "/v1/topics/t/recipients.csv"),
        ("GET", "/v1/messages"),
        ("GET", "/v1/messages/1"),
        ("POST", "/v1/messages/1/cancel"),
        ("POST", "/v1/messages/1/resolve"),
        ("GET", "/v1/suppressions"),
        ("POST", "/v1/suppressions"),
        ("DELETE", "/v1/suppressions"),
        ("GET", "/v1/suppressions.csv"),
        ("GET", "/v1/suppressions/a@b.com"),
        ("DELETE", "/v1/suppressions/a@b.com"),
        ("GET", "/v1/account"),
        ("PATCH", "/v1/account"),
        ("POST", "/v1/account/resume"),
        ("GET", f"/v1/events/counts/sent?X-API-KEY={KEY}"),
    ]:
        answer = rig.client.request(method, path, headers=headers)
        refused(rig, answer, 401)
        bodies.add(answer.content)
    assert len(bodies) == 1


def test_a_second_key_is_good_during_rotation(rig):
    assert rig.client.get("/v1/topics/t", headers={"X-API-KEY": SECOND_KEY}).status_code == 200


def test_a_stranger_is_slowed_down_after_twenty_tries():
    rig = Rig(peer="198.51.100.1")
    for _ in range(20):
        assert rig.client.get("/v1/topics/t").status_code == 401
    answer = rig.client.get("/v1/topics/t", headers={"X-API-KEY": KEY})
    assert refused(rig, answer, 429)["code"] == "too_many_attempts"
    assert int(answer.headers["retry-after"]) == 60
    for path in ("/v1/events/open", "/health", "/ready"):
        assert rig.client.get(path).status_code == 200
    assert rig.client.post("/v1/events/results", content=b"{}").status_code == 200
    assert rig.actor.gauges(rig.now)["auth_failures"] == 20


def test_behind_a_trusted_proxy_the_client_is_slowed_down_not_the_proxy():
    rig = Rig(peer="127.0.0.1", trusted_proxies=("127.0.0.1",))
    for _ in range(21):
        last = rig.client.get("/v1/topics/t", headers={"X-Forwarded-For": "1.1.1.1, 192.0.2.1"})
    assert last.status_code == 429
    other = rig.client.get("/v1/topics/t", headers={"X-Forwarded-For": "192.0.2.2"})
    assert other.status_code == 401
    for _ in range(30):
        assert rig.client.get("/v1/topics/t").status_code == 401


@pytest.mark.parametrize(
    "hours", ["-1", "2147483648", "1;", "1e9", "0", "8761", "", "24 ", "٢", "1.5"]
)
def test_hours(rig, hours):
    answer = rig.client.get(
        "/v1/events/counts/sent", params={"hours": hours}, headers={"X-API-KEY": KEY}
    )
    refused(rig, answer, 422)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/health/", 404),
        ("GET", "/docs", 404),
        ("GET", "/metrics", 404),
        ("PUT", "/v1/messages", 405),
        ("PUT", "/v1/topics/t", 405),
        ("POST", "/v1/topics/t", 405),
        ("POST", "/v1/topics/pause", 405),
        ("GET", "/v1/messages/1/cancel", 405),
        ("POST", "/v1/messages/1", 405),
        ("PUT", "/v1/suppressions", 405),
        ("POST", "/v1/account", 405),
        ("GET", "/v1/messages/1/2/3", 404),
        ("OPTIONS", "/v1/messages", 405),
        ("TRACE", "/health", 405),
        ("BREW", "/health", 405),
        ("GET", "/v1/events/results", 405),
        ("POST", "/v1/events/open", 405),
    ],
)
def test_where_nothing_is(rig, method, path, status):
    answer = rig.client.request(method, path)
    refused(rig, answer, status)
    assert ("allow" in answer.headers) == (status == 405)


def test_a_405_names_every_method_of_its_path(rig):
    for path, methods in (
        ("/v1/messages", {"GET", "HEAD", "POST"}),
        ("/v1/topics/t", {"GET", "HEAD", "DELETE", "PATCH"}),
        ("/v1/suppressions", {"GET", "HEAD", "POST", "DELETE"}),
    ):
        answer = rig.client.put(path)
        assert set(answer.headers["allow"].split(", ")) == methods


def test_an_empty_topic(rig):
    refused(rig, rig.client.get("/v1/topics/", headers={"X-API-KEY": KEY}), 404)


def test_a_fault_of_ours_tells_nothing(rig):
    rig.store.topic = None
    answer = rig.client.get("/v1/topics/t", headers={"X-API-KEY": KEY})
    error = refused(rig, answer, 500)
    assert error["code"] == "internal"
    assert "NoneType" not in answer.text


def test_a_database_that_cannot_be_read_is_a_503_without_its_path(rig):
    rig.store.broken = True
    for path in ("/v1/topics/t", "/v1/events/counts/sent"):
        answer = rig.client.get(path, headers={"X-API-KEY": KEY})
        refused(rig, answer, 503)
        assert "secret" not in answer.text
        assert answer.headers["retry-after"]
