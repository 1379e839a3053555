"""CSV as people and their programs write it: read, or refused by line."""

import pytest

from services.api import export, sheet
from services.api.refusal import RefusalError


def emails(raw: bytes | str) -> list[str]:
    return [row.email for row in sheet.read(raw.encode() if isinstance(raw, str) else raw)]


def refused(raw: bytes | str) -> RefusalError:
    with pytest.raises(RefusalError) as caught:
        emails(raw)
    return caught.value


@pytest.mark.parametrize(
    "raw",
    [
        "a@b.com\nc@d.com",
        "a@b.com\r\nc@d.com\r\n",
        "email\na@b.com\nc@d.com\n",
        "\ufeffEmail\r\na@b.com\r\nc@d.com\r\n",
        'name,"EMAIL",created\n"Ann, B.",a@b.com,1\n"x\ny"," c@d.com ",2\n',
        "\n\nemail,reason\n,\na@b.com,\n\nc@d.com,left\n",
        '"a@b.com"\n"c@d.com"\n',
        "email\ra@b.com\rc@d.com",
    ],
)
def test_ways_to_write_the_same_list(raw):
    assert emails(raw) == ["a@b.com", "c@d.com"]


def test_reasons_and_lines():
    rows = sheet.read(b'reason,x,email\nleft,"1\n2",a@b.com\n,,c@d.com\nshort\n')
    assert rows == [
        sheet.Row(3, "a@b.com", "left"),
        sheet.Row(4, "c@d.com", ""),
        sheet.Row(5, "", "short"),
    ]


def test_without_a_header_there_is_no_reason():
    assert sheet.read(b"a@b.com,left") == [sheet.Row(1, "a@b.com", "")]


@pytest.mark.parametrize(
    "email",
    ["+a@b.com", "=c@d.com", "-e@f.com", "g|=h@i.com", "j|@k.com", "o'g@h.com", "l'=m@n.com"],
)
def test_our_own_export_comes_back_as_it_was(email):
    """A cell that a spreadsheet would run is exported with an apostrophe before it."""
    exported = export.lines([export.SUPPRESSION_COLUMNS, (email, "bounce", "event", "=1", "")])
    assert sheet.read(exported) == [sheet.Row(2, email, "bounce")]


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xfea\x00@\x00",
        "email\na@b.com".encode("utf-16"),
        b'email\n"a@b.com',
        b'email\n"a"b@b.com\n',
        b'email\n"' + b"x" * 200_000,
        b"email\n" + b"x" * 200_000,
    ],
    ids=range(6),
)
def test_what_is_no_csv(raw):
    refusal = refused(raw)
    assert (refusal.status, refusal.code) == (400, "not_csv")


@pytest.mark.parametrize(
    "raw",
    ["", "\n\n", "email\n", "address\na@b.com", "a@b.com;c@d.com", "email,email\n1,2", "x", "\0"],
)
def test_a_csv_without_addresses_or_columns(raw):
    refusal = refused(raw)
    assert (refusal.status, refusal.code) == (422, "invalid")


def test_the_place_of_a_fault_is_named():
    assert "line 3" in refused('email\na@b.com\n"c@"d.com\n').sentence


def test_a_hundred_thousand_rows_and_not_one_more():
    rows = "".join(f"user{number}@example.com\n" for number in range(100_000))
    assert len(emails(rows)) == 100_000
    assert len(emails("email\n" + rows)) == 100_000
    assert "100000 rows" in refused(rows + "one@more.com").sentence
