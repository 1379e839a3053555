"""Orders that are carried out from outside: on mail that is due in 300 days, on addresses of ours.

Each tells what it must come to; a later call may ask with what an earlier one was answered.
"""

import csv
import io
import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx2

from tests.system.asks import LATER, MESSAGES, Ask, body, has, mail, repeated
from tests.system.asks_refused import ACCOUNT, CSV, LISTED, TOPICS

EXPIRY = LATER + timedelta(days=1)


def utc(moment: Any) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def keep(into: dict[str, Any], fits: Any = lambda _answer: True) -> Any:
    """Check an answer, and keep what it said for the calls to come."""

    def check(answer: httpx2.Response) -> bool:
        into.clear()
        into.update(answer.json())
        return bool(fits(answer))

    return check


# ── single mails ──


def mails(topic: str) -> Iterator[Ask]:
    """Post three with their ids; list them, look at one, cancel it."""
    emails = [f"walk-{n}-{secrets.token_hex(4)}@example.com" for n in range(3)]
    urgent = mail(topic_id=topic, emails=emails[:2], priority="urgent", subject="A walk in haste")
    bulk = mail(topic_id=topic, emails=emails[2:], priority="bulk")
    posted: dict[str, Any] = {}
    told = Ask("with ids, urgent, to expire", "POST", f"{MESSAGES}?return=ids", 200)
    yield told._replace(
        body=body(urgent, bulk, expires_at=EXPIRY.isoformat()),
        fits=keep(
            posted,
            lambda a: (
                [(one["message"], one["email"]) for one in a.json()["ids"]]
                == [(0, emails[0]), (0, emails[1]), (1, emails[2])]
                and a.json()["expires_at_utc"] == utc(EXPIRY)
            ),
        ),
    )
    ids = [one["id"] for one in posted.get("ids", [])]
    yield Ask(
        "without ids", "POST", MESSAGES, 200, body=body(bulk), fits=lambda a: "ids" not in a.json()
    )
    yield from listed(topic, emails, ids)
    for number in ids[:1]:
        yield from looked_at(topic, number, emails[0])
        yield from cancelled(number)
    where = f"{MESSAGES}?topic_id={topic}&status=Stopped"
    yield Ask("those that are stopped", "GET", where, 200, fits=lambda a: ids_of(a) == ids[:1])


def ids_of(answer: httpx2.Response) -> list[int]:
    return [one["id"] for one in answer.json()["messages"]]


def listed(topic: str, emails: list[str], ids: list[int]) -> Iterator[Ask]:
    """List a topic's four: whole, by page, by what they are."""
    of_topic = f"{MESSAGES}?topic_id={topic}"
    whole: dict[str, Any] = {}
    yield Ask(
        "the newest come first",
        "GET",
        of_topic,
        200,
        fits=keep(whole, lambda a: ids_of(a)[1:] == ids[::-1] and a.json()["next"] is None),
    )
    wanted = [one["id"] for one in whole.get("messages", [])]
    found: list[int] = []
    page: dict[str, Any] = {"next": ""}
    while page.get("next") is not None and len(found) <= len(wanted):
        after = f"&after={page['next']}" if page["next"] else ""
        yield Ask(
            "page by page",
            "GET",
            f"{of_topic}&limit=1{after}",
            200,
            fits=keep(page, lambda a: len(ids_of(a)) <= 1),
        )
        found += [one["id"] for one in page.get("messages", [])]
    yield Ask("and none is left out", "HEAD", of_topic, 200, fits=lambda _: found == wanted != [])
    for query, expected in (
        (f"topic_id={topic}&status=Created&limit=1000", wanted),
        (f"topic_id={topic}&status=Sent", []),
        (f"topic_id={topic}&result=Delivery", []),
        (f"topic_id={topic}-unknown", []),
        (f"email={emails[0]}", ids[:1]),
        (f"email={emails[0].replace('@example', '@Example')}&status=Created", ids[:1]),
        (f"email={emails[0]}&status=Failed", []),
        (f"topic_id={topic}&email={emails[1]}", ids[1:2]),
        (f"topic_id={topic}&after=1", []),
    ):
        ask = Ask("a filter", "GET", f"{MESSAGES}?{query}", 200)
        yield ask._replace(fits=lambda a, expected=expected: ids_of(a) == expected)


def looked_at(topic: str, number: int, email: str) -> Iterator[Ask]:
    """Ask for one mail that waits for its time."""
    one = has(
        id=number,
        topic_id=topic,
        email=email,
        status="Created",
        code=None,
        attempts=0,
        priority="urgent",
        message_id=None,
        sent_at=None,
        scheduled_at_utc=utc(LATER),
        expires_at_utc=utc(EXPIRY),
        result=None,
        results=[],
        opens=0,
        subject="A walk in haste",
    )
    yield Ask(
        "one mail",
        "GET",
        f"{MESSAGES}/{number}",
        200,
        fits=lambda a: (
            one(a)
            and [wait["code"] for wait in a.json()["waits"]] == ["scheduled"]
            and [entry["what"] for entry in a.json()["history"]] == ["accepted"]
        ),
    )
    yield Ask("one mail", "HEAD", f"{MESSAGES}/{number}", 200)
    early = Ask("it is not Unknown", "POST", f"{MESSAGES}/{number}/resolve", 409, "not_unknown")
    yield early._replace(body={"outcome": "sent"}, fits=has(state="Created"))


def cancelled(number: int) -> Iterator[Ask]:
    """Cancel one mail, more than once."""
    path = f"{MESSAGES}/{number}"
    ok = has(status="ok", id=number, state="Stopped")
    yield from repeated(Ask("cancel", "POST", f"{path}/cancel", 200, fits=ok), {})
    for given in (None, {}):
        yield Ask("cancel it again", "POST", f"{path}/cancel", 200, body=given, fits=ok)
    yield Ask(
        "it is stopped",
        "GET",
        path,
        200,
        fits=lambda a: (
            a.json()["status"] == "Stopped"
            and a.json()["waits"] == []
            and [entry["what"] for entry in a.json()["history"]] == ["accepted", "cancelled"]
        ),
    )
    late = Ask("it is not Unknown", "POST", f"{path}/resolve", 409, "not_unknown")
    yield late._replace(body={"outcome": "resend"}, fits=has(state="Stopped"))


# ── topics ──


def steered(topic: str, waiting: int) -> Iterator[Ask]:
    """Steer the topic of `asks.taken`, in which so many wait, and stop it."""
    path = f"{TOPICS}/{topic}"
    yield from known(topic, waiting)
    paused = has(status="ok", topic_id=topic, state="paused", waiting=waiting, in_flight=0)
    why = {"reason": "a walk"}
    pause = Ask("pause", "POST", f"{path}/pause", 200, body=why, fits=paused)
    yield from repeated(pause, {"reason": "another walk"})
    yield pause._replace(what="pause it again", body=None)
    yield pause._replace(what="and give another reason", body={"reason": "walk on"})
    shown = Ask("the topic says so", "GET", path, 200)
    yield shown._replace(
        fits=lambda a: (
            a.json()["state"] == "paused"
            and a.json()["paused"]["reason"] == "walk on"
            and "paused" in [wait["code"] for wait in a.json()["waits"]]
            and a.json()["eta"] is None
        )
    )
    more = body(mail(topic_id=topic))
    yield Ask("a post to a paused topic", "POST", MESSAGES, 200, body=more, fits=has(success=1))
    waiting += 1
    resume = Ask("resume", "POST", f"{path}/resume", 200)
    resume = resume._replace(fits=has(status="ok", topic_id=topic, waiting=waiting))
    yield from repeated(resume, {})
    yield resume._replace(what="resume it again")
    yield from redated(path, waiting)
    again = Ask("retry-failed", "POST", f"{path}/retry-failed", 200, fits=has(retried=0))
    yield from repeated(again, {})
    yield from exported(topic, waiting)
    yield pause._replace(fits=has(state="paused", waiting=waiting))
    for stopped in (waiting, 0):
        yield Ask(
            f"stops {stopped}",
            "DELETE",
            path,
            200,
            fits=lambda a, n=stopped: a.json() == {"status": "ok", "stopped": n, "in_flight": 0},
        )
    ended = {"Created": 0, "Stopped": waiting}.items()
    yield shown._replace(
        what="it is stopped, and paused as before",
        fits=lambda a: (
            ended <= a.json()["request_counts"].items()
            and (a.json()["state"], a.json()["remaining"]) == ("cancelled", 0)
            and a.json()["paused"]["reason"] == "a walk"
            and a.json()["cancelled_at"] is not None
        ),
    )
    yield Ask("resume what is stopped", "POST", f"{path}/resume", 200, fits=has(waiting=0))


def known(topic: str, waiting: int) -> Iterator[Ask]:
    """Ask for a topic, for all, for one that nobody posted to."""
    path = f"{TOPICS}/{topic}"
    wanted = {"state": "scheduled", "total": waiting, "remaining": waiting, "topic_id": topic}
    yield Ask(
        "how far a topic is",
        "GET",
        path,
        200,
        fits=lambda a: (
            wanted.items() <= a.json().items()
            and a.json()["request_counts"]["Created"] == waiting
            and "scheduled" in [wait["code"] for wait in a.json()["waits"]]
        ),
    )
    yield Ask("how far a topic is", "HEAD", path, 200)
    unknown = Ask("an unknown topic has zeros", "GET", f"{path}-unknown", 200)
    yield unknown._replace(fits=lambda a: not any(a.json()["request_counts"].values()))
    nothing = Ask("and nothing to stop", "DELETE", f"{path}-unknown", 200)
    yield nothing._replace(fits=has(stopped=0, in_flight=0))
    for name in ("a/b", "%ED%95%9C%EA%B5%AD", "100%25"):
        yield Ask("an odd name", "GET", f"{TOPICS}/{name}", 200)
    first: dict[str, Any] = {}
    listed_ = Ask("all topics", "GET", f"{TOPICS}?limit=1000", 200)
    yield listed_._replace(fits=lambda a: topic in names_of(a))
    page = Ask("page by page", "GET", f"{TOPICS}?limit=1", 200)
    yield page._replace(fits=keep(first, lambda a: len(names_of(a)) == 1))
    after = first.get("next")
    if after is not None:
        following = page._replace(path=f"{TOPICS}?limit=1&after={after}")
        yield following._replace(fits=lambda a: a.json()["topics"] != first["topics"])


def names_of(answer: httpx2.Response) -> list[str | None]:
    return [one["topic_id"] for one in answer.json()["topics"]]


def redated(path: str, waiting: int) -> Iterator[Ask]:
    """Give a topic another time; its mail is then due at that one."""
    for what, moment in (("another day", LATER + timedelta(hours=20)), ("and back", LATER)):
        told = has(status="ok", rescheduled=waiting, in_flight=0, scheduled_at_utc=utc(moment))
        given = {"scheduled_at": moment.isoformat()}
        yield Ask(what, "PATCH", path, 200, body=given, fits=told)
    due = LATER.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    yield Ask("it is due then", "GET", path, 200, fits=has(next_due_at=due, state="scheduled"))


def exported(topic: str, waiting: int) -> Iterator[Ask]:
    """Export a topic as CSV."""
    path = f"{TOPICS}/{topic}/recipients.csv"
    for query, rows in (
        ("", waiting),
        ("?status=Created", waiting),
        ("?status=Sent", 0),
        ("?result=Bounce", 0),
    ):
        ask = Ask(f"{rows} rows", "GET", path + query, 200)
        yield ask._replace(fits=lambda a, rows=rows: is_sheet(a) and len(sheet(a)) == rows)
    yield Ask("the head of a file", "HEAD", path, 200, fits=is_sheet)
    unknown = path.replace(topic, f"{topic}-unknown")
    yield Ask("no rows", "GET", unknown, 200, fits=lambda a: is_sheet(a) and sheet(a) == [])


def sheet(answer: httpx2.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))


def is_sheet(answer: httpx2.Response) -> bool:
    disposition = answer.headers["content-disposition"]
    kind = answer.headers["content-type"]
    return kind.startswith("text/csv") and disposition.startswith('attachment; filename="')


def odd_names(topic: str) -> Iterator[Ask]:
    """Topics may be called like a route, or have anything in their names."""
    for name in (f"{topic}/pause", f"{topic}/ü 100%?#"):
        path = f"{TOPICS}/{quote(name, safe='')}"
        one = body(mail(topic_id=name))
        yield Ask(f"a topic {name}", "POST", MESSAGES, 200, body=one, fits=has(success=1))
        yield Ask("pause it", "POST", f"{path}/pause", 200, fits=has(topic_id=name, waiting=1))
        yield Ask("it is paused", "GET", path, 200, fits=has(topic_id=name, state="paused"))
        yield Ask("resume it", "POST", f"{path}/resume", 200, fits=has(topic_id=name, waiting=1))
        yield Ask("stop it", "DELETE", path, 200, fits=has(stopped=1))


# ── the suppression list ──


def suppressed(topic: str) -> Iterator[Ask]:
    """Put addresses on the list, post to them, take them off."""
    one, *others = (f"walk-{secrets.token_hex(6)}@example.com" for _ in range(5))
    path = f"{LISTED}/{one}"
    entry = {"email": one.replace("walk", "Walk"), "reason": "walk", "detail": "on the walk"}
    fresh = has(total=1, added=1, already=0, errors=0, rejected=[])
    yield Ask("put one on the list", "POST", LISTED, 200, body=entry, fits=fresh)
    yield Ask("once more", "POST", LISTED, 200, body=entry, fits=has(added=0, already=1))
    shown = has(email=one, reason="walk", source="api", detail="on the walk")
    yield Ask("it is there", "GET", path, 200, fits=shown)
    yield Ask("in any case", "GET", path.replace("walk", "WALK"), 200, fits=shown)
    yield Ask("it is there", "HEAD", path, 200)
    yield from _both_forms(others)
    known_ = Ask("look for one", "GET", f"{LISTED}?email={one}", 200)
    yield known_._replace(fits=lambda a: emails_of(a) == [one] and a.json()["next"] is None)
    page: dict[str, Any] = {}
    yield Ask("page by page", "GET", f"{LISTED}?limit=1", 200, fits=keep(page))
    after = f"{LISTED}?limit=1&after={quote(page.get('next') or '')}"
    yield Ask("the next", "GET", after, 200, fits=lambda a: emails_of(a) > [page["next"]])
    whole = Ask("the list as a file", "GET", f"{LISTED}.csv", 200)
    mine = {one, *others}
    yield whole._replace(fits=lambda a: is_sheet(a) and mine <= {r["email"] for r in sheet(a)})
    yield Ask("the list as a file", "HEAD", f"{LISTED}.csv", 200, fits=is_sheet)
    both = body(mail(topic_id=topic, emails=[one.upper(), "success@simulator.amazonses.com"]))
    ask = Ask("a post to one who is listed", "POST", MESSAGES, 200, body=both)
    yield ask._replace(fits=has(total=2, success=1, suppressed=1))
    listed_ = f"{MESSAGES}?topic_id={topic}&status=Suppressed"
    found: dict[str, Any] = {}
    fits = keep(found, lambda a: len(ids_of(a)) == 1)
    yield Ask("it is stored, not sent to", "GET", listed_, 200, fits=fits)
    for row in found.get("messages", []):
        final = Ask("and cannot be cancelled", "POST", f"{MESSAGES}/{row['id']}/cancel", 409)
        yield final._replace(code="final", fits=has(state="Suppressed"))
    yield Ask("take one off", "DELETE", path, 200, fits=taken_off(1, 0))
    yield Ask("once more", "DELETE", path, 200, fits=taken_off(0, 1))
    yield Ask("it is gone", "GET", path, 404, "not_listed")
    rest = {"emails": [*others, one]}
    yield Ask("take the others off", "DELETE", LISTED, 200, body=rest, fits=taken_off(4, 1))
    yield Ask("one of those", "DELETE", LISTED, 200, body={"email": one}, fits=taken_off(0, 1))


def _both_forms(others: list[str]) -> Iterator[Ask]:
    given = {"emails": [others[0], others[0].upper(), "nobody"]}
    added = has(total=3, added=1, already=1, errors=1)
    yield from repeated(
        Ask("as JSON", "POST", LISTED, 200, body=given, fits=added), {"email": "a@b.co"}
    )
    rows = f"Email;x,reason\n{others[1]},left\n".encode()
    wrong = Ask("CSV with semicolons", "POST", LISTED, 422, "invalid", headers=(CSV,), body=rows)
    yield wrong
    rows = f"name,email,reason\r\nAnn,{others[1]},left\r\nBob,bob,\r\n".encode()
    ask = Ask("as CSV, by columns", "POST", LISTED, 200, headers=(CSV,), body=rows)
    yield ask._replace(
        fits=lambda a: (
            has(total=2, added=1, errors=1)(a)
            and [one["line"] for one in a.json()["rejected"]] == [3]
        )
    )
    rows = "\n".join(others[2:]).encode()
    ask = Ask("as CSV, addresses alone", "POST", LISTED, 200, headers=(CSV,), body=rows)
    yield from repeated(ask._replace(fits=has(total=2, added=2, errors=0)), b"a@example.com\n")
    reason = has(email=others[1], reason="left")
    yield Ask("its own reason", "GET", f"{LISTED}/{others[1]}", 200, fits=reason)


def emails_of(answer: httpx2.Response) -> list[str]:
    return [one["email"] for one in answer.json()["suppressions"]]


def taken_off(removed: int, unknown: int) -> Any:
    counts = has(removed=removed, not_listed=unknown)
    return lambda a: counts(a) and {"released", "refused"} <= a.json()["ses"].keys()


# ── the account ──


def account() -> Iterator[Ask]:
    """Ask for the account; set the rate to what it is, and to more than SES allows."""
    told: dict[str, Any] = {}
    parts = {"rate", "quota", "sandbox", "sending_enabled", "hold", "bulk", "events", "reputation"}
    yield Ask(
        "the account", "GET", ACCOUNT, 200, fits=keep(told, lambda a: parts <= a.json().keys())
    )
    yield Ask("the account", "HEAD", ACCOUNT, 200)
    rate = told.get("rate", {})
    same = Ask("the rate as it is", "PATCH", ACCOUNT, 200)
    for _ in range(2):
        yield same._replace(
            body={"max_send_per_second": rate.get("api")},
            fits=lambda a: a.json()["rate"]["api"] == rate["api"],
        )
    if rate.get("account"):
        more = {"max_send_per_second": rate["account"] + 1}
        high = Ask("more than SES allows", "PATCH", ACCOUNT, 422, "rate_too_high", body=more)
        yield high._replace(
            pointer="/max_send_per_second",
            fits=lambda a: f"{rate['account']:g}" in a.json()["error"],
        )
