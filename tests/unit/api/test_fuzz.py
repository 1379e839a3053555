"""Whatever comes in: an answer, never a 500, and nothing stored of what is refused."""

import itertools
import json
import re
from collections.abc import Iterator
from datetime import datetime
from email.parser import Parser
from typing import Any
from urllib.parse import quote_from_bytes, unquote
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.api import address, headers, schedule, shape, submission
from services.api.refusal import RefusalError
from tests.unit.api.fuzzing import NOW_MS, Call, Fuzzed, is_one_mailbox, judge
from tests.unit.api.rig import KEY, Rig, body, mail

SEOUL = ZoneInfo("Asia/Seoul")
bounded = settings(deadline=None, derandomize=True)

NASTY = st.sampled_from(
    [
        *("", " ", "\0", "\n", "\r\n", "\x1b[2J", "\u2028", "\u202e", "\ufeff", "\ufffd", "💥"),
        *("a@b.com", "a@b.com\nBcc: c@d.com", "a@b.com,c@d.com", "<a@b.com>", "ü@b.com", "@", "a@"),
        *("2027-01-16 09:00:00", "2027-01-16T09:00:00Z", "9999-12-31 23:59:59", "tomorrow"),
        *("../../x", "%00", "' OR 1=1--", "<script>", "{{x}}", "=1+1", "Sent", "urgent", "-1"),
        *("9" * 400, "1e400", "x" * 1000, "null", "true"),
    ]
)
TEXT = NASTY | st.text(max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
LIST = body(
    mail(topic_id="t", headers={"X-A": "1"}, priority="bulk", emails=["a@b.com", "c@d.com"]),
    mail(),
    scheduled_at="2027-01-16 09:00:00",
    expires_at="2027-01-17T09:00:00Z",
)
ORDERS: list[Any] = [
    LIST,
    {"reason": "r"},
    {"scheduled_at": "2027-01-16 09:00:00"},
    {"outcome": "sent"},
    {"max_send_per_second": 10},
    {"emails": ["a@b.com", "c@d.com"], "reason": "r"},
]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory) -> Iterator[Fuzzed]:
    made = Fuzzed(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.runner.close()


# ── every route ──


def routes() -> list[tuple[str, str]]:
    """Answer every method and path that the API knows, and a method that it does not."""
    known = Rig().app._app._app.router.routes
    return [
        (method, route.path_format) for route in known for method in [*sorted(route.methods), "PUT"]
    ]


ROUTES = routes()
PART = (
    st.sampled_from(["news", "1", "999", "a@b.com", "news/pause", "..", "%", "a/b", ""])
    | TEXT
    | st.binary(max_size=8).map(lambda raw: unquote(quote_from_bytes(raw)))
)
NAMES = ["limit", "after", "status", "result", "email", "topic_id", "return", "hours", "request_id"]
QUERY = st.lists(
    st.tuples(st.sampled_from(NAMES) | TEXT, PART).map(
        lambda pair: quote_from_bytes(pair[0].encode()) + "=" + quote_from_bytes(pair[1].encode())
    ),
    max_size=3,
).map(lambda pairs: "&".join(pairs).encode()) | st.binary(max_size=20)
HEADER = st.binary(max_size=20).map(lambda raw: re.sub(rb"[\r\n\0]", b"", raw).strip())
EXTRA = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *(b"idempotency-key", b"x-forwarded-for", b"x-request-id", b"range", b"host"),
                *(b"x-amz-sns-message-type", b"x-amz-sns-rawdelivery", b"accept", b"if-none-match"),
                *(b"content-encoding", b"cookie", b"origin", b"x-http-method-override"),
            ]
        ),
        HEADER | st.sampled_from([b"one", b"true", b"identity", b"bytes=0-1", b"*"]),
    ),
    max_size=2,
)
TYPES = [b"application/json"] * 6 + [
    b"text/csv",
    b"text/plain",
    b"",
    b"application/json; charset=x",
]
KEYS = [KEY.encode()] * 8 + [b"", b"\xff", KEY.encode()[:-1]]


def changed(draw: Any, tree: Any) -> Any:
    """Change one place of a tree: another value, a place less, one more, text into text."""
    tree = json.loads(json.dumps(tree))
    every = list(places(tree)) if isinstance(tree, dict | list) else []
    if not every:
        return draw(JSON)
    *way, last = draw(st.sampled_from(every))
    into = tree
    for step in way:
        into = into[step]
    how = draw(st.integers(0, 5))
    if how == 0:
        del into[last]
    elif how == 1 and isinstance(into, dict):
        into[draw(TEXT)] = draw(JSON)
    elif how <= 3 and isinstance(into[last], str):
        place = draw(st.integers(0, len(into[last])))
        into[last] = into[last][:place] + draw(TEXT) + into[last][place:]
    elif how == 4:
        into[last] = draw(TEXT)
    else:
        into[last] = draw(JSON)
    return tree


@st.composite
def bodies(draw: Any, *good: Any) -> bytes:
    """Draw a body: mostly a good one with up to two changes, else JSON, CSV, or noise."""
    how = draw(st.integers(0, 12))
    if how == 0:
        return draw(st.binary(max_size=40))
    if how == 1:
        return "\r\n".join(draw(st.lists(TEXT | st.just("email,reason"), max_size=4))).encode()
    tree = draw(JSON) if how == 2 else draw(st.sampled_from(good or ORDERS))
    for _ in range(draw(st.integers(0, 2))):
        tree = changed(draw, tree)
    raw = json.dumps(tree, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    if how == 3 and raw:
        place = draw(st.integers(0, len(raw) - 1))
        raw = raw[:place] + draw(st.binary(max_size=3)) + raw[place + draw(st.integers(0, 2)) :]
    return raw


@st.composite
def calls(draw: Any, method: str, path: str) -> Call:
    """Draw a request to a route."""
    filled = re.sub(r"{[^}]*}", lambda _: draw(PART), path)
    if draw(st.integers(0, 9)) == 0:
        filled += draw(PART)
    raw = draw(bodies())
    cut = draw(st.integers(0, len(raw)))
    given = [(b"content-type", draw(st.sampled_from(TYPES))), *draw(EXTRA)]
    given.append((b"x-api-key", draw(st.sampled_from(KEYS))))
    query = draw(st.just(b"") | QUERY)
    return Call(method, filled, query, tuple(given), (raw[:cut], raw[cut:]))


@pytest.mark.against("A29", "A40")
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_answers_whatever_it_is_asked(fuzzed, method, path):
    @settings(bounded, max_examples=10, suppress_health_check=list(HealthCheck))
    @given(calls(method, path))
    def asked(call: Call) -> None:
        judge(fuzzed, call, fuzzed.ask(call))

    asked()


OPEN = {"/health", "/ready", "/v1/events/open", "/v1/events/results"}


@pytest.mark.against("A1", "A3")
@pytest.mark.parametrize(("method", "path"), [one for one in ROUTES if one[1] not in OPEN])
def test_every_route_wants_the_key_before_it_does_anything(fuzzed, method, path):
    """By good requests of every kind; a new route that asks for none must be named above."""
    filled = re.sub(r"{[^}]*}", "news" if "topic" in path else "1", path)
    for order in (b"", *(json.dumps(order).encode() for order in ORDERS)):
        call = Call(method, filled, headers=KEYED[:1], body=(order,))
        answer = fuzzed.ask(call)
        judge(fuzzed, call, answer)
        assert answer.status == (405 if method == "PUT" else 401)


KEYED = ((b"content-type", b"application/json"), (b"x-api-key", KEY.encode()))


@settings(bounded, max_examples=300, suppress_health_check=list(HealthCheck))
@given(bodies(LIST))
@example(json.dumps(LIST).encode())
def test_a_submission_is_stored_whole_and_good_or_not_at_all(fuzzed, raw):
    call = Call("POST", "/v1/messages", headers=KEYED, body=(raw,))
    answer = fuzzed.ask(call)
    judge(fuzzed, call, answer)
    told = json.loads(answer.body)
    if answer.status == 200:
        (letter,) = fuzzed.changes()
        success = sum(len(one.emails) for one in letter.message.mails)
        asked = sum(len(one["emails"]) for one in json.loads(raw)["messages"])
        assert told["total"] == asked == success + told["errors"] + told["duplicates"]


# ── JSON ──


def by_the_book(raw: bytes) -> Any:
    """Read JSON as RFC 8259 has it; raise ValueError for anything else, and lone surrogates."""

    def constant(word: str) -> Any:
        raise ValueError(word)

    tree = json.loads(raw.decode(), parse_constant=constant)
    json.dumps(tree, ensure_ascii=False, allow_nan=False).encode()
    return tree


@settings(bounded, max_examples=250)
@given(bodies(LIST))
@example(json.dumps(LIST).encode().replace(b"Hello", b"\xff"))
@example(b'{"messages":[{"emails":["a@b.com"],"subject":"\\ud83d","content":"c"}]}')
@example(b'{"messages":[],"messages":[]}')
@example(b"\xef\xbb\xbf{}")
def test_what_is_read_is_what_another_parser_reads(raw):
    try:
        tree = by_the_book(raw)
    except (ValueError, RecursionError):
        with pytest.raises(RefusalError) as caught:
            shape.decode(raw)
        assert caught.value.status == 400
        return
    refusal = None
    try:
        kept = msgspec.to_builtins(shape.decode(raw))
    except RefusalError as error:
        refusal = (error.status, error.code)
    if refusal is None:
        for mine, theirs in zip(kept["messages"], tree["messages"], strict=True):
            assert {name: mine[name] for name in theirs} == theirs
    else:
        assert refusal == (422, "wrong_shape")


# ── addresses, headers, times ──


LOCAL = st.text('abcxyz019.+-_"()<>,;:@[]\\/! \n\0ü💥', min_size=1, max_size=10) | st.text(
    "ab.", min_size=60, max_size=66
)
NAME = st.lists(
    st.text(st.characters(codec="utf-8") | st.sampled_from("abcxn-"), min_size=1, max_size=64),
    min_size=1,
    max_size=5,
).map(".".join)
ADDRESSES = st.builds(lambda one, two: f"{one}@{two}", LOCAL, NAME | st.just("example.com")) | TEXT


@pytest.mark.against("A24", "H29", "H30", "H33")
@settings(bounded, max_examples=600, suppress_health_check=list(HealthCheck))
@given(ADDRESSES)
@example("a" * 64 + "@" + ".".join(["b" * 63] * 3) + ".com")
@example("a@" + ".".join(["b" * 60] * 4) + ".com")
@example("a@" + "ü" * 50 + ".com")
@example("a@x.xn--p1ai")
def test_an_address_that_is_taken_is_one_mailbox_that_ses_can_be_given(written):
    judge_address(written)


@pytest.mark.against("A22", "A24")
@pytest.mark.parametrize("form", ["a{}b@example.com", "{}a@b.com", "a{}@b.com", "a@b{}c.com"])
def test_no_letter_anywhere_makes_two_mailboxes_of_an_address(form):
    for letter in (*map(chr, range(256)), "\u2028", "\u200b", "\u202e", "\uff20", "\uff0c", "💥"):
        judge_address(form.format(letter))


def judge_address(written: str) -> None:
    """Take an address; what is taken is one that SES can be given."""
    try:
        taken = address.normalize(written)
    except ValueError:
        return
    assert is_one_mailbox(taken), taken
    assert address.normalize(taken) == taken
    assert written.count("@") == taken.count("@") == 1
    assert taken.rpartition("@")[0].lower() == written.rpartition("@")[0].lower()


@pytest.mark.against("A22", "A23")
@settings(bounded, max_examples=250)
@given(
    st.dictionaries(
        TEXT | st.sampled_from(["X-A", "X-B", "List-Id", "To"]),
        TEXT | st.builds("a{}b".format, TEXT),
        min_size=1,
        max_size=3,
    )
)
def test_headers_that_are_taken_are_that_many_lines_and_none_of_ours(given_):
    taken, faults = headers.check(given_, "/h")
    if faults:
        return
    text = "".join(f"{name}: {value}\r\n" for name, value in taken)
    read = Parser().parsestr(text + "\r\n")
    assert list(read.items()) == list(given_.items())
    ours = {"to", "from", "cc", "bcc", "sender", "subject", "date", "message-id", "return-path"}
    assert not ours & {name.lower() for name in read}
    assert read.get_payload() == ""


def dates(draw: Any) -> str:
    numbers = [draw(st.integers(0, most)) for most in (9999, 13, 32, 25, 61, 61)]
    date = "{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}".format(
        *numbers[:3], draw(st.sampled_from(" T")), *numbers[3:]
    )
    return date + draw(st.sampled_from(["", "Z", "+09:00", "-23:59", "+24:00", ".5", ".5Z", "\n"]))


@pytest.mark.against("H40", "H41", "H43")
@settings(bounded, max_examples=250)
@given(st.composite(dates)() | st.datetimes().map(str) | TEXT)
def test_a_time_is_read_as_another_library_reads_it_or_refused_and_never_taken_for_now(text):
    try:
        due = schedule.read(text, SEOUL, NOW_MS)
    except ValueError:
        return
    if text == "":
        assert due is None
        return
    theirs = datetime.fromisoformat(text.upper())
    theirs_ms = (theirs if theirs.tzinfo else theirs.replace(tzinfo=SEOUL)).timestamp() * 1000
    assert NOW_MS - schedule.PAST_MS <= theirs_ms <= NOW_MS + schedule.AHEAD_MS
    assert due is None or abs(due - theirs_ms) <= 1
    assert (due is None) == (theirs_ms <= NOW_MS)


def test_every_place_of_a_good_submission_can_be_spoilt_without_a_fault_of_ours():
    """Every leaf and every field, by every kind of value: refused, or good after all."""
    values = (None, True, 0, -1, 1.5, "", "x", "\0", [], [None], {}, {"x": 1}, ["a@b.com"])
    refused = []
    for path, value in itertools.product(places(LIST), values):
        tree = json.loads(json.dumps(LIST))
        into = tree
        for step in path[:-1]:
            into = into[step]
        into[path[-1]] = value
        try:
            submission.check(shape.decode(json.dumps(tree).encode()), SEOUL, NOW_MS)
        except RefusalError as error:
            refused.append(error)
    assert {error.status for error in refused} == {422}
    assert all(error.faults for error in refused)
    assert len(refused) > 200


def places(tree: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        yield (*before, key)
        if isinstance(value, dict | list):
            yield from places(value, (*before, key))
