"""Hostile input over HTTP: each is refused by name, and nothing of it goes anywhere."""

import gzip
from urllib.parse import quote

import pytest

from services.api import submission
from shared.errors import StoreError
from tests.unit.api.rig import KEY, SECOND_KEY, Rig, body, mail
from tests.unit.api.shelf import Shelf

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
        pytest.param(b"", 400, marks=pytest.mark.against("H1")),
        pytest.param(b"null", 422, marks=pytest.mark.against("H2")),
        pytest.param(b"[]", 422, marks=pytest.mark.against("H3")),
        pytest.param(b"[" * 100_000, 400, marks=pytest.mark.against("H4")),
        pytest.param(b'{"a":' * 1025 + b"1" + b"}" * 1025, 400, marks=pytest.mark.against("H5")),
        pytest.param(b'{"messages":' + b"1" * 100_000 + b"}", 400, marks=pytest.mark.against("H6")),
        pytest.param(b'{"messages":NaN}', 400, marks=pytest.mark.against("H7")),
        pytest.param(b'{"messages":1e400}', 400, marks=pytest.mark.against("H7")),
        pytest.param(
            b'{"messages":[{"emails":["a@b.com"],"subject":"\\ud800","content":"c"}]}',
            400,
            marks=pytest.mark.against("H8"),
        ),
        pytest.param(b"\xff\xfe", 400, marks=pytest.mark.against("H9")),
        pytest.param('{"messages":[]}'.encode("utf-16"), 400, marks=pytest.mark.against("H10")),
        pytest.param(b'\xef\xbb\xbf{"messages":[]}', 400, marks=pytest.mark.against("H11")),
    ],
    ids=[1, 2, 3, 4, 5, 6, 7, 7.5, 8, 9, 10, 11],
)
def test_json(rig, raw, status):
    refused(rig, rig.send(raw), status)


@pytest.mark.against("H13")
@pytest.mark.parametrize(
    "kind",
    ["text/plain", "", "application/x-www-form-urlencoded", "application/json; charset=utf-16"],
)
def test_content_type(rig, kind):
    refused(rig, rig.send(b"{}", content_type=kind), 415)


@pytest.mark.against("H13")
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


@pytest.mark.against("A5", "H14")
def test_a_length_over_the_limit_is_refused_unread(rig):
    for length in (b"26214401", b"3221225472", b"9" * 30):
        status, read = rig.stream([*JSON, (b"content-length", length)], b" " * MB)
        assert (status, read) == (413, 0)


@pytest.mark.against("A5", "H15")
def test_a_chunked_body_is_refused_at_the_limit(rig):
    assert rig.stream(JSON, b" " * MB) == (413, 26)
    assert rig.letters == []


@pytest.mark.against("A3")
def test_the_key_is_checked_before_the_body_is_read(rig):
    assert rig.stream(JSON[1:], b" " * MB) == (401, 0)


@pytest.mark.against("A6")
def test_a_body_that_does_not_come_is_a_408(rig):
    rig.room()._patience_s = 0.01
    assert rig.stream(JSON, None) == (408, 1)
    assert rig.room().taken == 0


def test_a_body_that_is_cut_off_ends_the_request(rig):
    assert rig.stream(JSON, b"") == (400, 1)
    assert rig.letters == []


@pytest.mark.against("A36")
def test_bodies_on_their_way_share_what_memory_there_is(rig):
    rig.room().taken = 128 * MB - 10
    assert rig.stream(JSON, b" " * MB) == (503, 1)
    assert rig.room().taken == 128 * MB - 10


@pytest.mark.against("H16")
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


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(17, marks=pytest.mark.against("H17")),
        pytest.param(18, marks=pytest.mark.against("H18")),
        pytest.param(19, marks=pytest.mark.against("H19")),
        pytest.param(20, marks=pytest.mark.against("H20")),
        pytest.param(21, marks=pytest.mark.against("H21")),
        pytest.param(21.1, marks=pytest.mark.against("H21")),
        pytest.param(21.2, marks=pytest.mark.against("H21")),
        pytest.param(22, marks=pytest.mark.against("H22")),
        pytest.param(35, marks=pytest.mark.against("H35", "A22")),
        pytest.param(35.1, marks=pytest.mark.against("H35", "A22")),
        pytest.param(35.2, marks=pytest.mark.against("H35")),
        pytest.param(35.3, marks=pytest.mark.against("H35")),
        pytest.param(36, marks=pytest.mark.against("H36")),
        pytest.param(37, marks=pytest.mark.against("H37", "A36")),
        pytest.param(37.1, marks=pytest.mark.against("H37")),
        pytest.param(39, marks=pytest.mark.against("H39")),
        pytest.param(39.1, marks=pytest.mark.against("H39", "A22")),
        pytest.param(40, marks=pytest.mark.against("H40")),
        pytest.param(41, marks=pytest.mark.against("H41")),
        pytest.param(43, marks=pytest.mark.against("H43")),
        pytest.param(43.1, marks=pytest.mark.against("H43")),
        pytest.param(44, marks=pytest.mark.against("H44")),
    ],
)
def test_shapes(rig, row):
    sent, pointer = SHAPES[row]
    error = refused(rig, rig.send(sent), 422)
    assert pointer in [fault["pointer"] for fault in error["errors"]]


@pytest.mark.parametrize(
    "email",
    [
        pytest.param("a@b.com\r\nBcc: x@y.z", marks=pytest.mark.against("A24", "H23")),
        pytest.param("a@b.com\0", marks=pytest.mark.against("A24", "H24")),
        pytest.param("a@b.com\u2028", marks=pytest.mark.against("A24", "H25")),
        pytest.param("a@b.com,c@d.com", marks=pytest.mark.against("A24", "H26")),
        pytest.param('"x" <a@b.com>', marks=pytest.mark.against("A24", "H27")),
        pytest.param("a@@b.com", marks=pytest.mark.against("A24", "H28")),
        pytest.param("@b.com", marks=pytest.mark.against("A24", "H28")),
        pytest.param("a@", marks=pytest.mark.against("A24", "H28")),
        pytest.param("a b@c.d", marks=pytest.mark.against("A24", "H28")),
        pytest.param("a" * 65 + "@b.com", marks=pytest.mark.against("A24", "H29")),
        pytest.param(
            "a@" + ".".join(["b" * 62] * 4) + ".com", marks=pytest.mark.against("A24", "H29")
        ),
        pytest.param("a@" + "b" * 64 + ".com", marks=pytest.mark.against("A24", "H30")),
        pytest.param("ü@example.com", marks=pytest.mark.against("A24", "H32")),
        pytest.param("a@[127.0.0.1]", marks=pytest.mark.against("A24", "H33")),
        pytest.param("a@localhost", marks=pytest.mark.against("A24", "H33")),
        pytest.param("a@b", marks=pytest.mark.against("A24", "H33")),
    ],
    ids=repr,
)
def test_an_address_alone_that_cannot_be_sent_to_is_refused_by_its_place(rig, email):
    error = refused(rig, rig.send(body(mail(emails=[email]))), 422)
    assert error["code"] == "no_valid_address"
    assert error["errors"][0]["pointer"] == "/messages/0/emails/0"


@pytest.mark.against("H31")
def test_an_international_domain_goes_as_punycode(rig):
    assert rig.send(body(mail(emails=["u@münchen.de"]))).status_code == 200
    assert rig.letters[0].message.mails[0].emails == ("u@xn--mnchen-3ya.de",)


@pytest.mark.against("A26", "A34", "H39")
@pytest.mark.parametrize("topic", ["../../x", "🎉", "'; DROP TABLE x", "%", "a/b", "?x=1#y"])
def test_a_strange_topic_is_stored_as_it_is(rig, topic):
    assert rig.send(body(mail(topic_id=topic))).status_code == 200
    assert rig.letters[0].message.mails[0].topic == topic


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, marks=pytest.mark.against("A1")),
        pytest.param({"X-API-KEY": ""}, marks=pytest.mark.against("A1")),
        pytest.param({"X-API-KEY": "k" * 31}, marks=pytest.mark.against("A1")),
        pytest.param({"X-API-KEY": b"\xff" * 32}, marks=pytest.mark.against("A1", "H50")),
        pytest.param({"X-API-KEY": "x" * 10_000}, marks=pytest.mark.against("H50")),
        pytest.param({"X-API-KEY": KEY + " x"}, marks=pytest.mark.against("A1")),
        pytest.param({"Authorization": f"Bearer {KEY}"}, marks=pytest.mark.against("A2")),
        pytest.param(
            [("X-API-KEY", KEY), ("X-API-KEY", KEY)], marks=pytest.mark.against("A2", "H50")
        ),
        pytest.param(
            [("X-API-KEY", KEY), ("X-API-KEY", SECOND_KEY)], marks=pytest.mark.against("A2", "H50")
        ),
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


@pytest.mark.against("A2")
def test_a_second_key_is_good_during_rotation(rig):
    assert rig.client.get("/v1/topics/t", headers={"X-API-KEY": SECOND_KEY}).status_code == 200


@pytest.mark.against("A4")
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


@pytest.mark.against("A35")
def test_behind_a_trusted_proxy_the_client_is_slowed_down_not_the_proxy():
    rig = Rig(peer="127.0.0.1", trusted_proxies=("127.0.0.1",))
    for _ in range(21):
        last = rig.client.get("/v1/topics/t", headers={"X-Forwarded-For": "1.1.1.1, 192.0.2.1"})
    assert last.status_code == 429
    other = rig.client.get("/v1/topics/t", headers={"X-Forwarded-For": "192.0.2.2"})
    assert other.status_code == 401
    for _ in range(30):
        assert rig.client.get("/v1/topics/t").status_code == 401


@pytest.mark.against("H80")
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
        pytest.param("GET", "/docs", 404, marks=pytest.mark.against("A38")),
        pytest.param("GET", "/openapi.json", 404, marks=pytest.mark.against("A38")),
        pytest.param("GET", "/metrics", 404, marks=pytest.mark.against("A38")),
        ("PUT", "/v1/messages", 405),
        ("PUT", "/v1/topics/t", 405),
        ("POST", "/v1/topics/t", 405),
        ("POST", "/v1/topics/pause", 405),
        ("GET", "/v1/messages/1/cancel", 405),
        ("POST", "/v1/messages/1", 405),
        ("PUT", "/v1/suppressions", 405),
        ("POST", "/v1/account", 405),
        ("GET", "/v1/messages/1/2/3", 404),
        pytest.param("OPTIONS", "/v1/messages", 405, marks=pytest.mark.against("A39", "A40")),
        pytest.param("TRACE", "/health", 405, marks=pytest.mark.against("A40")),
        pytest.param("BREW", "/health", 405, marks=pytest.mark.against("A40")),
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


@pytest.mark.against("A29")
def test_a_fault_of_ours_tells_nothing(rig):
    rig.store.topic = None
    answer = rig.client.get("/v1/topics/t", headers={"X-API-KEY": KEY})
    error = refused(rig, answer, 500)
    assert error["code"] == "internal"
    assert "NoneType" not in answer.text


@pytest.mark.against("A29")
def test_a_fault_on_the_path_of_crowds_tells_nothing_either(rig, monkeypatch):
    monkeypatch.setattr(submission, "check", None)
    error = refused(rig, rig.send(body(mail())), 500)
    assert error["code"] == "internal"


@pytest.mark.against("A29")
def test_a_database_that_cannot_be_read_is_a_503_on_the_path_of_crowds_too(rig, monkeypatch):
    def unreadable(*_: object) -> None:
        raise StoreError("/var/lib/ses-sender.db is gone")

    monkeypatch.setattr(submission, "check", unreadable)
    error = refused(rig, rig.send(body(mail())), 503)
    assert error["code"] == "store_unavailable"
    assert "/var/lib" not in error["error"]


@pytest.mark.against("A29")
def test_a_database_that_cannot_be_read_is_a_503_without_its_path(rig):
    rig.store.broken = True
    for path in ("/v1/topics/t", "/v1/events/counts/sent"):
        answer = rig.client.get(path, headers={"X-API-KEY": KEY})
        refused(rig, answer, 503)
        assert "secret" not in answer.text
        assert answer.headers["retry-after"]


@pytest.mark.against("H12")
def test_h12_of_a_field_that_comes_twice_the_last_one_counts_and_nothing_is_merged(rig):
    raw = b'{"messages":[{"emails":["a@b.com"],"emails":["c@d.com"],"subject":"s","content":"c"}]}'
    assert rig.send(raw).json()["total"] == 1
    assert rig.letters[0].message.mails[0].emails == ("c@d.com",)


@pytest.mark.parametrize(
    "query", [f"X-API-KEY={KEY}", f"x-api-key={KEY}", f"api_key={KEY}"], ids=range(3)
)
@pytest.mark.against("A2")
def test_a2_a_key_in_query_or_body_is_none(rig, query):
    asked = body(mail()) | {"X-API-KEY": KEY, "api_key": KEY}
    refused(rig, rig.client.post(f"/v1/messages?{query}", json=asked), 401)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *[("GET", f"/v1/events/click?url={url}") for url in ("https://evil.example", "//evil")],
        ("GET", "/v1/events/click/abc"),
        ("GET", "/click/abc?url=javascript:alert(1)"),
        *[(method, "/v1/unsubscribe/abc") for method in ("GET", "HEAD", "POST", "OPTIONS")],
        ("POST", "/v1/events/unsubscribe?request_id=abc"),
        ("POST", "/v1/webhooks"),
    ],
)
@pytest.mark.against("A17", "A20", "A32", "H65", "H66", "H67", "H69", "H70", "H71", "H72")
def test_what_is_not_built_is_not_there(rig, method, path):
    """No redirect to be abused, no page that a scanner could unsubscribe with."""
    for headers in ({}, {"X-API-KEY": KEY}):
        answer = rig.client.request(method, path, headers=headers, follow_redirects=False)
        assert answer.status_code == 404
        assert "location" not in answer.headers
    assert rig.letters == []


MARKUP = "<script>alert(1)</script>"


@pytest.mark.against("A21")
def test_a21_markup_comes_back_as_json_that_no_browser_takes_for_a_page(rig):
    keyed = {"X-API-KEY": KEY}
    for answer in (
        rig.client.get(f"/{MARKUP}"),
        rig.client.get(f"/v1/topics/{MARKUP}", headers=keyed),
        rig.client.get(f"/v1/topics?{MARKUP}=1", headers=keyed),
        rig.client.request(MARKUP[1:7], "/health"),
        rig.send(body(mail(emails=[f"{MARKUP}@b.com"]))),
        rig.send(body(mail(headers={MARKUP: "x"}))),
        rig.send({MARKUP: 1}),
        rig.send(body(scheduled_at=MARKUP)),
        rig.send(MARKUP.encode()),
    ):
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        answer.json()


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
@pytest.mark.against("A39")
def test_a39_no_other_origin_is_let_in(rig, origin):
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    for method, more in (("OPTIONS", asks), ("GET", {"X-API-KEY": KEY}), ("GET", {})):
        for path in ("/v1/messages", "/v1/topics/t", "/health", "/v1/events/open"):
            answer = rig.client.request(method, path, headers={"Origin": origin, **more})
            assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80@x", "", "a b", "x" * 5000])
@pytest.mark.against("A35")
def test_a35_nothing_that_is_answered_is_spelled_with_the_host_that_was_asked(rig, host):
    for path in ("/health", "/health/", "/v1/topics/t", "/v1/messages/1", "/v1/topics", "/nowhere"):
        headers = {"X-API-KEY": KEY, "Host": host, "X-Forwarded-Host": "evil.example"}
        answer = rig.client.get(path, headers=headers, follow_redirects=False)
        assert not 300 <= answer.status_code < 400
        assert "evil" not in answer.text + repr(answer.headers)


WORDS = ["' OR 1=1--", "%", "_", "a%", "'; DROP TABLE topic; --", '"', "\\", "news' --", "?1", ":a"]


@pytest.mark.against("A26")
def test_a26_sql_and_wildcards_name_themselves_only(tmp_path):
    shelf = Shelf(tmp_path)
    mine = {word: shelf.batch(shelf.topic(word), f"user{n}@b.com") for n, word in enumerate(WORDS)}
    shelf.batch(shelf.topic("news"), *(f"n{n}@b.com" for n in range(3)))
    rig = Rig(reader=shelf.reader)
    for word, first in mine.items():
        named = quote(word, safe="")
        assert rig.ask("GET", f"/v1/topics/{named}").json()["total"] == 1
        listed = rig.ask("GET", f"/v1/messages?topic_id={named}").json()["messages"]
        assert [one["id"] for one in listed] == [first]
        csv = rig.ask("GET", f"/v1/topics/{named}/recipients.csv").text
        assert csv.count("\r\n") == 2
        for path in (f"/v1/suppressions/{named}", f"/v1/messages/{named}"):
            assert rig.ask("GET", path).status_code in {404, 422}
        assert rig.ask("GET", f"/v1/topics?after={named}").status_code == 422
    assert rig.ask("GET", "/v1/topics/news").json()["total"] == 3
