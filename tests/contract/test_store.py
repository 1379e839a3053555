"""The store: migrations equal the schema, statements prepare and search, readers cannot write."""

import re
from pathlib import Path

import apsw
import pytest

from shared.domain import FEEDBACK_WORDS, State
from shared.errors import StoreError, StoreTooNewError
from shared.store import sql
from shared.store.migrate import migrate
from shared.store.open import open_reader
from shared.store.read import Reader
from shared.store.write import Store

SMALL = {"install", "account", "ear", "lease", "unknown", "spared_content"} | {
    "suspect",
    "sender_death",
    "sqlite_sequence",
    "carray",
    "CONSTANT",
    "due",
}
"""Tables that stay small, or stand for a parameter or a few rows: scanning them costs nothing."""

ONCE = {"totals"}
"""Statements of the start alone."""

STATEMENTS = [
    (file, name, text) for file in sql.READS + sql.WRITES for name, text in sql.load(file).items()
]


def shape(connection: apsw.Connection) -> list[tuple[str, str, str]]:
    rows = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name"
    )
    return [
        (kind, name, re.sub(r"\s+(?=[,)])", "", re.sub(r"\s+", " ", re.sub("--.*", "", text))))
        for kind, name, text in rows
    ]


def test_all_migrations_make_the_readable_schema():
    migrated, readable = apsw.Connection(":memory:"), apsw.Connection(":memory:")
    migrate(migrated)
    readable.execute(sql.schema())
    assert shape(migrated) == shape(readable)


def test_migrations_are_numbered_without_a_gap_and_named():
    names = sorted(p.name for p in Path(sql.__file__).parent.glob("migrations/*"))
    assert all(re.fullmatch(r"\d{4}_[a-z_]+\.sql", name) for name in names)
    assert [step.number for step in sql.migrations()] == list(range(1, len(names) + 1))


@pytest.mark.parametrize(("file", "name", "text"), STATEMENTS, ids=lambda value: str(value)[:40])
def test_every_statement_prepares_and_searches(file, name, text):
    connection = apsw.Connection(":memory:")
    connection.execute(sql.schema())
    numbered = re.findall(r"\?(\d+)", text)
    count = max(map(int, numbered)) if numbered else text.count("?")
    plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", [None] * count)
    scans = {row[3].split()[1] for row in plan if row[3].startswith("SCAN")}
    covered = {"orphan"} if name == "has_orphan" else {"topic"} if name == "unswept" else set()
    assert name in ONCE or scans <= SMALL | covered


def test_no_statement_is_named_twice_and_all_are_explained():
    for files in (sql.READS, sql.WRITES):
        texts = [(Path(sql.__file__).parent / file).read_text() for file in files]
        names = re.findall(r"^-- (\w+): .+$", "\n".join(texts), re.MULTILINE)
        assert len(names) == len(set(names))


def test_a_database_of_the_first_schema_is_brought_up_to_date(tmp_path):
    path = tmp_path / "x.db"
    old = apsw.Connection(str(path))
    old.execute(sql.migrations()[0].text)
    old.pragma("user_version", 1)
    old.execute("INSERT INTO topic (id, name, created_at, sent) VALUES (2, 'news', 1, 3)")
    old.execute("INSERT INTO opening VALUES (7, 1000, 2000, 2)")
    old.close()
    store = Store(path)
    assert store.migrated == list(range(2, len(sql.migrations()) + 1))
    assert Reader(path).topic("news").requests["Sent"] == 3
    rows = open_reader(path).execute("SELECT request_id, result_type FROM email_result").fetchall()
    assert rows == [(7, "Open")]


@pytest.mark.against("F2")
def test_a_newer_database_is_refused(tmp_path):
    Store(tmp_path / "x.db").close()
    connection = apsw.Connection(str(tmp_path / "x.db"))
    connection.pragma("user_version", 999)
    connection.close()
    with pytest.raises(StoreTooNewError, match="999"):
        Store(tmp_path / "x.db")


@pytest.mark.against("F2")
def test_a_step_that_fails_leaves_the_database_as_it_was(tmp_path, monkeypatch):
    newest = len(sql.migrations())
    step = sql.Migration(newest + 1, "CREATE TABLE x (a); CREATE TABLE x (a);")
    broken = [*sql.migrations(), step]
    monkeypatch.setattr(sql, "migrations", lambda: broken)
    connection = apsw.Connection(":memory:")
    with pytest.raises(StoreError, match=f"step {newest + 1}"):
        migrate(connection)
    assert connection.pragma("user_version") == newest
    assert not connection.execute("SELECT * FROM sqlite_master WHERE name = 'x'").fetchall()


@pytest.mark.against("P1")
def test_commits_are_durable_and_readers_cannot_write(tmp_path):
    store = Store(tmp_path / "x.db")
    assert store._connection.pragma("synchronous") == 2
    assert store._connection.pragma("journal_mode") == "wal"
    reader = open_reader(tmp_path / "x.db")
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("INSERT INTO ear VALUES (1, 1, 1, NULL)")


def test_a_savepoint_undoes_one_message_only(tmp_path):
    store = Store(tmp_path / "x.db")
    store.begin()
    with store.savepoint():
        store.run("add_topic", ("kept", 1))
    with pytest.raises(ZeroDivisionError), store.savepoint():
        store.run("add_topic", ("undone", 1 // 0))
    with pytest.raises(StopIteration), store.savepoint():
        next(iter([store.run("add_topic", ("undone", 1))][1:]))
    store.commit()
    assert store.row("topic_by_name", ("kept",)) is not None
    assert store.row("topic_by_name", ("undone",)) is None


@pytest.mark.against("D2")
def test_a_database_that_is_none_is_named(tmp_path):
    path = tmp_path / "x.db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match=r"x\.db"):
        Store(path)
    with pytest.raises(StoreError, match=r"x\.db"):
        Reader(path).topic("x")


def test_sent_since_counts_minutes_and_whole_hours(tmp_path):
    store = Store(tmp_path / "x.db")
    hour = 500_000
    for minute, count in ((hour * 60 - 1, 1), (hour * 60 + 30, 10), (hour * 60 + 61, 100)):
        store.run("count_minute", (minute, count, 0))
        store.run("count_hour", (minute // 60, count))
    now = (hour + 2) * 3_600_000 - 60_000
    assert Reader(tmp_path / "x.db").sent_since(now, 2) == 111
    assert Reader(tmp_path / "x.db").sent_since(now, 1) == 100
    assert Reader(tmp_path / "x.db").sent_since(now + 30 * 60_000, 2) == 110


def test_the_ancestors_tables_spell_states_and_events_as_we_do():
    schema = sql.schema()
    assert set(re.findall(r"THEN '([A-Z][a-z]+)'", schema)) >= {s.word for s in State} - {
        "Suppressed"
    }
    for kind, word in FEEDBACK_WORDS.items():
        assert f"WHEN {int(kind)} THEN '{word}'" in re.sub(r"\s+", " ", schema)
