"""The suppression list over HTTP: added to, listed, taken off, here and at SES."""

import pytest

from shared.protocol import (
    OrderDone,
    OrderFailed,
    ReleaseAtSes,
    ReleasedAtSes,
    Suppress,
    Suppression,
    Unreleased,
    Unsuppress,
)
from shared.store.listing import Suppressed
from tests.unit.api.rig import Rig, answer

LIST = "/v1/suppressions"
SINCE = 1_800_000_000_000


@pytest.fixture
def rig():
    return Rig()


def csv(rig, raw, **headers):
    raw = raw if isinstance(raw, bytes) else raw.encode()
    return rig.ask("POST", LIST, raw, content_type="text/csv; charset=utf-8", **headers)


def listed(*emails):
    return {one: Suppressed(one, "bounce", "event", "550 no such user", SINCE) for one in emails}


# Adding


def test_one_address(rig):
    rig.answer = lambda order: OrderDone(order.order, 1)
    sent = {"email": "Ann@Example.com", "reason": "unsubscribed", "detail": "by letter"}
    assert rig.ask("POST", LIST, sent).json() == {
        "total": 1,
        "added": 1,
        "already": 0,
        "errors": 0,
        "rejected": [],
    }
    (letter,) = rig.letters
    assert letter.to == "intake"
    assert letter.message.entries == (Suppression("ann@example.com", "unsubscribed", "by letter"),)


def test_many_addresses_some_of_them_wrong_or_listed_or_twice(rig):
    rig.answer = lambda order: OrderDone(order.order, 1)
    emails = ["a@example.com", "bad", "A@EXAMPLE.COM", "u@münchen.de", "x@localhost"]
    body = rig.ask("POST", LIST, {"emails": emails}).json()
    assert (body["total"], body["added"], body["already"], body["errors"]) == (5, 1, 2, 2)
    assert [(one["index"], one["email"]) for one in body["rejected"]] == [
        (1, "bad"),
        (4, "x@localhost"),
    ]
    assert all(one["reason"] for one in body["rejected"])
    (order,) = rig.sent(Suppress)
    assert order.entries == (
        Suppression("a@example.com", "manual", ""),
        Suppression("u@xn--mnchen-3ya.de", "manual", ""),
    )


def test_a_list_of_faults_that_is_cut_says_so(rig):
    body = rig.ask("POST", LIST, {"emails": ["bad"] * 101 + ["a@example.com"]}).json()
    assert (body["errors"], len(body["rejected"]), body["rejected_truncated"]) == (101, 100, True)


@pytest.mark.parametrize(
    ("sent", "pointer"),
    [
        ({}, ""),
        ({"email": "a@b.com", "emails": ["a@b.com"]}, ""),
        ({"email": None}, ""),
        ({"emails": []}, "/emails"),
        ({"emails": ["a@b.com"] * 10_001}, "/emails"),
        ({"emails": "a@b.com"}, "/emails"),
        ({"emails": [None]}, "/emails/0"),
        ({"email": "bad"}, "/email"),
        ({"email": "a@b.com\r\nBcc: x@y.z"}, "/email"),
        ({"emails": ["bad", "worse"]}, "/emails/0"),
        ({"email": "a@b.com", "reason": ""}, "/reason"),
        ({"email": "a@b.com", "reason": "two words"}, "/reason"),
        ({"email": "a@b.com", "reason": "=cmd|'/C calc'!A0"}, "/reason"),
        ({"email": "a@b.com", "reason": "-1+1"}, "/reason"),
        ({"email": "a@b.com", "reason": "x" * 101}, "/reason"),
        ({"email": "a@b.com", "reason": "a\0"}, "/reason"),
        ({"email": "a@b.com", "detail": "a\nb"}, "/detail"),
        ({"email": "a@b.com", "detail": "x" * 501}, "/detail"),
        ({"email": "a@b.com", "why": "x"}, "/why"),
    ],
)
def test_bad_bodies(rig, sent, pointer):
    told = rig.ask("POST", LIST, sent)
    assert told.status_code == 422
    assert told.json()["errors"][0]["pointer"] == pointer
    assert rig.letters == []


def test_a_csv(rig):
    rig.answer = lambda order: OrderDone(order.order, 2)
    told = csv(
        rig, "\ufeffemail,reason\r\nAnn@b.com,left\r\nbad,left\r\nc@d.com,two words\r\ne@f.com,\r\n"
    )
    body = told.json()
    assert (body["total"], body["added"], body["already"], body["errors"]) == (4, 2, 0, 2)
    assert [(one["index"], one["line"], one["email"]) for one in body["rejected"]] == [
        (1, 3, "bad"),
        (2, 4, "c@d.com"),
    ]
    (order,) = rig.sent(Suppress)
    assert order.entries == (Suppression("ann@b.com", "left"), Suppression("e@f.com", "manual"))


def test_a_csv_of_nothing_good_is_refused_by_its_lines(rig):
    told = csv(rig, "email\nbad\nworse\n")
    assert (told.status_code, told.json()["code"]) == (422, "no_valid_address")
    assert [fault["message"][:7] for fault in told.json()["errors"]] == ["line 2:", "line 3:"]


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 422, "invalid"),
        (b'email\n"a', 400, "not_csv"),
        (b"\xff", 400, "not_csv"),
        (b"address\na@b.com", 422, "invalid"),
        (b" " * (25 * 1024 * 1024 + 1), 413, "too_large"),
    ],
)
def test_bad_csvs(rig, raw, status, code):
    told = csv(rig, raw)
    assert (told.status_code, told.json()["code"]) == (status, code)
    assert rig.letters == []


def test_a_long_csv_goes_in_orders_of_ten_thousand(rig):
    rig.answer = lambda order: OrderDone(order.order, len(order.entries) - 1)
    told = csv(rig, "".join(f"u{number}@b.com\n" for number in range(25_000)), idempotency_key="k")
    assert (told.json()["added"], told.json()["already"]) == (24_997, 3)
    orders = rig.sent(Suppress)
    assert [len(order.entries) for order in orders] == [10_000, 10_000, 5_000]
    assert len({order.order.split(":")[0] for order in orders}) == 3
    assert len({order.order.split(":")[1] for order in orders}) == 1
    assert "idempotent-replayed" not in told.headers


def test_a_csv_that_is_replayed_in_part_only_is_no_replay(rig):
    rig.answer = lambda order: OrderDone(order.order, 1, replayed=order is rig.sent(Suppress)[0])
    told = csv(rig, "".join(f"u{number}@b.com\n" for number in range(15_000)), idempotency_key="k")
    assert "idempotent-replayed" not in told.headers


def test_a_csv_that_fails_in_the_middle_says_how_far_it_came(rig):
    def full(order):
        if len(rig.sent(Suppress)) < 2:
            return OrderDone(order.order, 9_000)
        return OrderFailed(order.order, "storage_full")

    rig.answer = full
    told = csv(rig, "".join(f"u{number}@b.com\n" for number in range(25_000)))
    assert (told.status_code, told.json()["code"]) == (503, "storage_full")
    assert told.headers["retry-after"]
    assert told.json()["error"].startswith(
        "The first 10000 of 25000 addresses are on the list, 9000 of them newly."
    )
    body = told.json()
    assert (body["total"], body["done"], body["added"]) == (25_000, 10_000, 9_000)
    assert len(rig.sent(Suppress)) == 2


def test_what_fails_at_once_says_that_nothing_happened(rig):
    rig.answer = lambda order: OrderFailed(order.order, "storage_full")
    told = csv(rig, "a@b.com")
    assert "nothing was changed" in told.json()["error"]
    assert "done" not in told.json()


def test_another_content_type(rig):
    for kind in ("text/plain", "", "text/csv; charset=latin1", "application/vnd.ms-excel"):
        told = rig.ask("POST", LIST, b"a@b.com", content_type=kind)
        assert (told.status_code, told.json()["code"]) == (415, "not_json_type")


# Taking off


def test_one_address_is_taken_off_here_and_at_ses(rig):
    rig.answer = lambda message: (
        OrderDone(message.order, 1) if isinstance(message, Unsuppress) else answer(message)
    )
    told = rig.ask("DELETE", f"{LIST}/Ann%2Bx@Example.com")
    assert told.json() == {
        "removed": 1,
        "not_listed": 0,
        "ses": {"released": 1, "refused": []},
    }
    assert [letter.to for letter in rig.letters] == ["intake", "sender-0"]
    assert {letter.message.emails for letter in rig.letters} == {("ann+x@example.com",)}


def test_ses_is_asked_also_for_what_our_list_does_not_have(rig):
    rig.answer = lambda message: (
        OrderDone(message.order, 1) if isinstance(message, Unsuppress) else answer(message)
    )
    emails = ["a@b.com", "A@b.com", "c@d.com"]
    told = rig.ask("DELETE", LIST, {"emails": emails}).json()
    assert (told["removed"], told["not_listed"], told["ses"]["released"]) == (1, 1, 2)
    (wish,) = rig.sent(ReleaseAtSes)
    assert (wish.reply_to, wish.emails) == ("api", ("a@b.com", "c@d.com"))


def test_what_ses_refuses_is_told_and_our_own_removal_stands(rig):
    def refusing(message):
        if isinstance(message, Unsuppress):
            return OrderDone(message.order, 1)
        return ReleasedAtSes(message.order, 0, (Unreleased("a@b.com", "AccessDenied: no"),))

    rig.answer = refusing
    told = rig.ask("DELETE", LIST, {"email": "a@b.com"})
    assert (told.status_code, told.json()["removed"]) == (200, 1)
    assert told.json()["ses"] == {
        "released": 0,
        "refused": [{"email": "a@b.com", "error": "AccessDenied: no"}],
    }


def test_without_a_sender_our_own_removal_stands(rig):
    rig.answer = lambda message: (
        OrderDone(message.order, 1) if isinstance(message, Unsuppress) else None
    )
    told = rig.ask("DELETE", f"{LIST}/a@b.com")
    assert (told.status_code, told.json()["removed"]) == (200, 1)
    assert "No sender answered" in told.json()["ses"]["error"]
    assert len(rig.actor.releases) == 0


def test_what_is_not_taken_off_here_is_not_taken_off_at_ses(rig):
    rig.answer = lambda order: OrderFailed(order.order, "storage_full")
    assert rig.ask("DELETE", f"{LIST}/a@b.com").status_code == 503
    assert rig.sent(ReleaseAtSes) == []


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"email": "a@b.com", "emails": ["a@b.com"]},
        {"emails": []},
        {"emails": ["a@b.com"] * 101},
        {"emails": ["a@b.com", "bad"]},
        {"email": "bad"},
        {"email": "a@b.com", "reason": "x"},
    ],
)
def test_bad_removals_remove_nothing(rig, sent):
    assert rig.ask("DELETE", LIST, sent).status_code == 422
    assert rig.letters == []


@pytest.mark.parametrize("path", ["bad", "a@b.com%0A", "a@b.com%00", "a%2Fb", "a@b.com/x", ""])
def test_paths_that_name_no_address(rig, path):
    for method in ("GET", "DELETE"):
        assert rig.ask(method, f"{LIST}/{path}").status_code == 422
    assert rig.letters == []


# Reading


def test_an_address_says_why_it_is_listed(rig):
    rig.store.suppressed = listed("a@b.com")
    shown = {
        "email": "a@b.com",
        "reason": "bounce",
        "source": "event",
        "detail": "550 no such user",
        "created_at": "2027-01-15T08:00:00Z",
    }
    assert rig.ask("GET", f"{LIST}/A@B.com").json() == shown
    assert rig.ask("GET", f"{LIST}?email=A@b.com").json() == {"suppressions": [shown], "next": None}
    told = rig.ask("GET", f"{LIST}/c@d.com")
    assert (told.status_code, told.json()["code"]) == (404, "not_listed")
    assert rig.ask("GET", f"{LIST}?email=c@d.com").json() == {"suppressions": [], "next": None}


def test_the_list_goes_page_by_page(rig):
    rig.store.suppressed = listed(*(f"u{number}@b.com" for number in range(5)))
    found = []
    query = "limit=2"
    while True:
        page = rig.ask("GET", f"{LIST}?{query}").json()
        found += [one["email"] for one in page["suppressions"]]
        if page["next"] is None:
            break
        query = f"limit=2&after={page['next']}"
    assert found == sorted(rig.store.suppressed)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=1&limit=1", "mail=a@b.com", "email=bad"]
)
def test_bad_queries(rig, query):
    assert rig.ask("GET", f"{LIST}?{query}").status_code == 422


def test_a_list_that_cannot_be_read_is_a_503(rig):
    rig.store.broken = True
    for path in (LIST, f"{LIST}/a@b.com"):
        told = rig.ask("GET", path)
        assert (told.status_code, told.json()["code"]) == (503, "store_unavailable")
        assert "secret" not in told.text
