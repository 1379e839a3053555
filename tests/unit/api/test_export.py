"""Exports: whole files or broken ones, harmless cells, one short read a page."""

import asyncio
import csv
import io

import pytest

from services.api import export
from shared.errors import StoreError
from shared.store import listing
from tests.unit.api.rig import KEY, Rig, at
from tests.unit.api.shelf import Shelf

MS = at(0).ms


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


@pytest.fixture
def rig(shelf):
    return Rig(reader=shelf.reader)


def get(rig, path, status=200, method="GET"):
    answer = rig.client.request(method, path, headers={"X-API-KEY": KEY})
    assert answer.status_code == status, answer.text
    return answer


def rows(answer):
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    text = answer.content.decode()
    assert text.endswith("\r\n")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_topic_of_nobody_is_a_header_line(rig, shelf):
    shelf.topic("empty")
    for topic in ("nobody", "empty"):
        answer = get(rig, f"/v1/topics/{topic}/recipients.csv")
        assert answer.text == ",".join(export.COLUMNS) + "\r\n"
    assert get(rig, "/v1/suppressions.csv").text == "email,reason,source,detail,created_at\r\n"


def test_recipients_are_exported_oldest_first_as_the_list_tells_them(rig, shelf):
    topic = shelf.topic("news")
    first = shelf.batch(topic, "a@x.example", "b@x.example", scheduled=1, due_at=MS, urgent=1)
    shelf.batch(1, "other@x.example")
    shelf.set(first, state=2, seen=0b101, feedback=30, flags=1, sent_at=MS)
    one, two = rows(get(rig, "/v1/topics/news/recipients.csv"))
    assert (one["email"], two["email"]) == ("a@x.example", "b@x.example")
    listed = rig.client.get("/v1/messages", headers={"X-API-KEY": KEY}).json()["messages"][-1]
    for name, value in listed.items():
        if name.endswith("_utc"):
            continue
        assert one[name] == ("Send|Delivery" if name == "results" else spelled(value)), name


def spelled(value):
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def test_an_export_has_every_row_once_and_its_pages_are_small(rig, shelf, monkeypatch):
    monkeypatch.setattr(export, "ROWS", 7)
    monkeypatch.setattr(listing, "ROOM", 20)
    topic = shelf.topic("news")
    shelf.sql.execute("BEGIN")
    for number in range(100):
        first = shelf.batch(topic, f"a{number}@x.example", f"b{number}@x.example")
        shelf.set(first, state=2)
        shelf.batch(1, "other@x.example")
    shelf.sql.execute("COMMIT")
    limits = []
    up = shelf.reader.listing.up
    monkeypatch.setattr(
        shelf.reader.listing, "up", lambda *values: limits.append(values[-1]) or up(*values)
    )
    whole = rows(get(rig, "/v1/topics/news/recipients.csv"))
    ids = [int(row["id"]) for row in whole]
    assert len(ids) == 200
    assert ids == sorted(set(ids))
    sent = rows(get(rig, "/v1/topics/news/recipients.csv?status=Sent"))
    assert [int(row["id"]) for row in sent] == ids[::2]
    assert set(limits) == {7}


def test_what_comes_in_meanwhile_does_not_make_the_file_endless(rig, shelf, monkeypatch):
    monkeypatch.setattr(export, "ROWS", 1)
    topic = shelf.topic("news")
    shelf.batch(topic, "a@x.example", "b@x.example")
    up = shelf.reader.listing.up

    def busy(*values):
        shelf.batch(topic, "new@x.example")
        return up(*values)

    monkeypatch.setattr(shelf.reader.listing, "up", busy)
    assert len(rows(get(rig, "/v1/topics/news/recipients.csv"))) == 2


def test_rows_deleted_meanwhile_are_missed_and_nothing_else(rig, shelf, monkeypatch):
    monkeypatch.setattr(export, "ROWS", 2)
    shelf.batch(shelf.topic("news"), *(f"{number}@x.example" for number in range(8)))
    up = shelf.reader.listing.up

    def deleting(*values):
        if values[1]:
            shelf.sql.execute("DELETE FROM recipient WHERE id <= 5")
        return up(*values)

    monkeypatch.setattr(shelf.reader.listing, "up", deleting)
    ids = [row["id"] for row in rows(get(rig, "/v1/topics/news/recipients.csv"))]
    assert ids == ["1", "2", "6", "7", "8"]


def test_suppressions_are_exported_by_address(rig, shelf, monkeypatch):
    monkeypatch.setattr(export, "ROWS", 2)
    for number in (3, 1, 2, 5, 4):
        shelf.add(
            "suppression", email=f"{number}@x.example", reason="said, \"no\"\nmore", source="api",
            detail="=1+1", created_at=MS,
        )  # fmt: skip
    found = rows(get(rig, "/v1/suppressions.csv"))
    assert [row["email"] for row in found] == [f"{number}@x.example" for number in range(1, 6)]
    assert found[0] == {
        "email": "1@x.example",
        "reason": 'said, "no"\nmore',
        "source": "api",
        "detail": "'=1+1",
        "created_at": "2027-01-15T08:00:00.000Z",
    }


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1", "'  =1"),
        ("\t=1", "'\t'=1"),
        ("\rx", "'\rx"),
        ("\uff1d1", "'\uff1d1"),
        ("a;=1", "a;'=1"),
        ("a, -1", "a,' -1"),
        ("a\n@b", "a\n'@b"),
        ("=cmd|'/C'!A0@x.example", "'=cmd|'/C'!A0@x.example"),
        ("ann+1@x-y.example", "ann+1@x-y.example"),
        ("550 5.1.1 user unknown", "550 5.1.1 user unknown"),
        ("", ""),
    ],
)
def test_no_cell_begins_a_formula(text, harmless):
    assert export.harmless(text) == harmless


def test_what_ses_said_is_quoted(rig, shelf):
    one = shelf.batch(shelf.topic("t"), "+x@x.example")
    shelf.set(one, code="=HYPERLINK()", detail='a "b", c\r\nd')
    (row,) = rows(get(rig, "/v1/topics/t/recipients.csv"))
    assert (row["email"], row["code"]) == ("'+x@x.example", "'=HYPERLINK()")
    assert row["detail"] == 'a "b", c\r\nd'


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("news_2027-01", "recipients-news_2027-01.csv"),
        ("..%2F..%2Fetc%2Fpasswd", "recipients-_etc_passwd.csv"),
        ("a%22%3B%20filename%3Dx.exe", "recipients-a_filename_x_exe.csv"),
        ("%F0%9F%8E%89", "recipients.csv"),
        ("x" * 255, f"recipients-{'x' * 89}.csv"),
    ],
)
def test_the_file_name_is_safe(rig, topic, name):
    answer = get(rig, f"/v1/topics/{topic}/recipients.csv")
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["cache-control"] == "no-store"


def test_head_reads_no_rows(rig, shelf, monkeypatch):
    reads = []
    for name in ("up", "suppressions"):
        monkeypatch.setattr(shelf.reader.listing, name, lambda *values: reads.append(values))
    shelf.batch(shelf.topic("t"), "a@x.example")
    for path in ("/v1/topics/t/recipients.csv", "/v1/suppressions.csv"):
        answer = get(rig, path, method="HEAD")
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.content == b""
    assert reads == []


@pytest.mark.parametrize("query", ["status=x", "result=x", "limit=1", "status=Sent&status=Sent"])
def test_a_wrong_parameter_is_refused(rig, query):
    assert get(rig, f"/v1/topics/t/recipients.csv?{query}", 422).json()["errors"]
    assert get(rig, f"/v1/suppressions.csv?{query}", 422).json()["errors"]


def test_a_key_is_needed(rig):
    for path in ("/v1/topics/t/recipients.csv", "/v1/suppressions.csv"):
        assert rig.client.get(path).status_code == 401


def test_a_database_that_cannot_be_read_from_the_start_is_503():
    rig = Rig()
    rig.store.broken = True
    rig.store.newest = rig.store._work
    for path in ("/v1/topics/t/recipients.csv", "/v1/suppressions.csv"):
        assert get(rig, path, 503).json()["code"] == "store_unavailable"


# In mid-stream


async def asked(rig, path, take):
    """Ask as a server does; `take` is called with each message, and may wait or raise."""
    said = []

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        said.append(message)
        await take(message)

    headers = [(b"x-api-key", KEY.encode())]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "root_path": ""}
    scope |= {"headers": headers, "client": ("127.0.0.1", 1)}
    try:
        await rig.app(scope, receive, send)
    except Exception as error:  # noqa: BLE001 - the server would close the connection
        return said, error
    return said, None


def test_a_fault_in_mid_stream_leaves_the_body_without_an_end(rig, shelf, monkeypatch):
    monkeypatch.setattr(export, "ROWS", 1)
    shelf.batch(shelf.topic("t"), "a@x.example", "b@x.example")
    up = shelf.reader.listing.up

    def breaking(*values):
        if values[1]:
            raise StoreError("cannot read the database: broken")
        return up(*values)

    async def take(_message):
        pass

    monkeypatch.setattr(shelf.reader.listing, "up", breaking)
    said, error = asyncio.run(asked(rig, "/v1/topics/t/recipients.csv", take))
    assert said[0]["status"] == 200
    assert b"a@x.example" in said[-1]["body"]
    assert all(message["more_body"] for message in said[1:]), "the last chunk is never sent"
    assert error is not None, "so that the server closes the connection"


def test_a_client_that_takes_nothing_is_not_read_ahead_for(rig, shelf, monkeypatch):
    monkeypatch.setattr(export, "ROWS", 1)
    shelf.batch(shelf.topic("t"), *(f"{number}@x.example" for number in range(50)))
    reads = []
    up = shelf.reader.listing.up
    monkeypatch.setattr(
        shelf.reader.listing, "up", lambda *values: reads.append(values) or up(*values)
    )

    async def scene():
        full = asyncio.Event()
        bodies = 0

        async def take(message):
            nonlocal bodies
            bodies += message["type"] == "http.response.body"
            if bodies == 3:  # the header line, and two rows
                full.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(asked(rig, "/v1/topics/t/recipients.csv", take))
        await full.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(reads) == 2
        task.cancel()  # as the server does when the client goes away
        await asyncio.wait([task])
        assert len(reads) == 2

    asyncio.run(scene())


def test_of_many_exports_one_step_waits_for_the_database_at_a_time(rig, shelf, monkeypatch):
    """So that another question has one step before it, however many exports run."""
    monkeypatch.setattr(export, "ROWS", 1)
    shelf.batch(shelf.topic("t"), *(f"{number}@x.example" for number in range(20)))
    waiting = []

    async def take(_message):
        waiting.append(rig.reads._thread._work_queue.qsize())

    async def scene():
        paths = ["/v1/topics/t/recipients.csv"] * 9
        await asyncio.gather(*(asked(rig, path, take) for path in paths))

    asyncio.run(scene())
    assert max(waiting[50:]) <= 1
