"""The journal keeps what is whole, whatever happened to the file."""

import os
import zlib

import pytest

from services.sender import journal as journal_file
from services.sender.journal import Journal, to_line
from shared.domain import JobId, RecipientId, Verdict
from shared.errors import StorageFullError
from shared.protocol import Answer, Outcome


def outcome(number):
    answers = (
        Answer(RecipientId(number), Verdict.ACCEPTED, 1000, f"id-{number}"),
        Answer(RecipientId(number + 1), Verdict.PERMANENT, 1000, "", "Rejected", "nö\n{"),
    )
    return Outcome(JobId(number), answers)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journals" / "sender-0.log"


def test_what_was_appended_is_replayed(path):
    journal = Journal(path)
    assert journal.replayed == []
    journal.append([outcome(1), outcome(2)])
    journal.append([outcome(3)])
    journal.close()
    assert Journal(path).replayed == [outcome(1), outcome(2), outcome(3)]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_calls_that_began_and_have_no_outcome_are_told(path):
    assert Journal(path).begun is None
    journal = Journal(path)
    assert journal.begun == []
    journal.append([JobId(1)])
    journal.append([JobId(2), outcome(1), JobId(3)])
    assert Journal(path).begun == [2, 3]
    journal.forget([JobId(3)])
    assert Journal(path).begun == [2, 3]
    journal.forget([])
    assert Journal(path).begun == []


@pytest.mark.against("P2")
def test_a_torn_end_is_ignored_at_every_byte_and_later_lines_count(path):
    whole, last = to_line(outcome(1)), to_line(outcome(2))
    path.parent.mkdir()
    for cut in range(len(last)):
        path.write_bytes(whole + last[:cut])
        journal = Journal(path)
        # Without its line break the last line is whole all the same.
        expected = [outcome(1)] if cut < len(last) - 1 else [outcome(1), outcome(2)]
        assert journal.replayed == expected
        journal.append([outcome(3)])
        journal.close()
        assert Journal(path).replayed == [*expected, outcome(3)]


@pytest.mark.against("P2")
def test_a_spoilt_line_costs_no_other(path):
    path.parent.mkdir()
    lines = [to_line(outcome(number)) for number in (1, 2, 3)]
    for place in range(len(lines[1]) - 1):
        spoilt = bytearray(lines[1])
        spoilt[place] ^= 0x01
        if spoilt[place] == 0x0A:
            continue
        path.write_bytes(lines[0] + bytes(spoilt) + lines[2])
        assert Journal(path).replayed == [outcome(1), outcome(3)]


@pytest.mark.against("P1", "P2")
def test_a_journal_of_zeros_after_a_power_cut_is_empty(path):
    path.parent.mkdir()
    path.write_bytes(bytes(4096))
    assert Journal(path).replayed == []


def test_it_is_cut_when_all_is_acknowledged(path):
    journal = Journal(path)
    journal.append([outcome(1)])
    journal.forget([outcome(1)])
    assert journal.size > 0
    journal.forget([])
    assert journal.size == 0
    assert path.read_bytes() == b""
    journal.append([outcome(2)])
    assert Journal(path).replayed == [outcome(2)]


def test_it_is_rewritten_with_what_is_left_when_it_grew_large(path, monkeypatch):
    monkeypatch.setattr(journal_file, "COMPACT_AT", 1000)
    journal = Journal(path)
    journal.append(outcome(number) for number in range(50))
    journal.forget([outcome(49)])
    assert path.read_bytes() == to_line(outcome(49))
    journal.append([outcome(50)])
    assert Journal(path).replayed == [outcome(49), outcome(50)]


@pytest.mark.against("D1")
def test_a_full_disk_is_named_and_can_be_tried_again(path, monkeypatch):
    journal = Journal(path)
    journal.append([outcome(1)])
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, raw: write(fd, raw[:10]))
    with pytest.raises(StorageFullError, match=r"sender-0\.log"):
        journal.append([outcome(2)])
    monkeypatch.setattr(os, "write", write)
    journal.append([outcome(2)])
    assert Journal(path).replayed == [outcome(1), outcome(2)]


@pytest.mark.against("D1")
def test_d1_nothing_at_all_tries_the_disk_and_is_read_as_nothing(path, monkeypatch):
    journal = Journal(path)
    journal.append([outcome(1)])
    journal.append([])
    assert Journal(path).replayed == [outcome(1)]
    assert Journal(path).begun == []
    monkeypatch.setattr(os, "write", lambda _fd, _raw: 0)
    with pytest.raises(StorageFullError):
        journal.append([])


@pytest.mark.against("D1")
def test_a_refusal_of_the_disk_says_why(path, monkeypatch):
    def refuse(_fd, _raw):
        raise OSError(28, "No space left on device")

    journal = Journal(path)
    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(StorageFullError, match="No space left"):
        journal.append([outcome(1)])


def test_a_line_that_is_whole_but_means_nothing_is_skipped(path):
    text = b'["not an outcome"]'
    path.parent.mkdir()
    path.write_bytes(b"%d %08x %b\n" % (len(text), zlib.crc32(text), text) + to_line(outcome(1)))
    assert Journal(path).replayed == [outcome(1)]


@pytest.mark.against("D1")
def test_without_room_for_a_second_copy_the_old_one_is_kept(path, monkeypatch):
    monkeypatch.setattr(journal_file, "COMPACT_AT", 1000)
    journal = Journal(path)
    journal.append(outcome(number) for number in range(50))
    path.with_suffix(".new").mkdir()
    journal.forget([outcome(49)])
    journal.append([outcome(50)])
    assert len(Journal(path).replayed) == 51
    size = journal.size
    journal.append(outcome(number) for number in range(51, 200))
    path.with_suffix(".new").rmdir()
    journal.forget([outcome(199)])
    assert journal.size < size
