"""A mail as SendEmail takes it: the pixel's place, tags, headers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sender.render import Cut, Letterhead, pixel_place, single_body
from shared.domain import RecipientId
from shared.protocol import Addressee
from shared.token import read_open_token

HEAD = Letterhead("News <n@shop.example>", "set-1", "https://m.example/", "abc", b"s" * 32)
TO = Addressee(RecipientId(7), 'ü+"x@dest.example', 2)


@pytest.mark.against("A25", "H38")
@pytest.mark.parametrize(
    ("html", "before"),
    [
        ("<p>Hi</p>", "<p>Hi</p>"),
        ("<body>Hi</body></html>", "<body>Hi"),
        ("<BODY>Hi</BODY >", "<BODY>Hi"),
        ("a</body>b</body>c", "a</body>b"),
        ("a</body>b<!-- </body> -->c", "a"),
        ("<!-- </body> -->a", "<!-- </body> -->a"),
        ("<!--[if !mso]><!-->a</body><!--<![endif]-->", "<!--[if !mso]><!-->a"),
        ("<!-->a</body>", "<!-->a"),
        ("<!--->a</body>", "<!--->a"),
        ("<!-- x --!>a</body>", "<!-- x --!>a"),
        ("a<!-- never closed </body>", "a"),
        ("a</body><!-- never closed", "a"),
        ("", ""),
    ],
)
def test_the_pixel_stands_before_the_last_body_end_outside_comments(html, before):
    assert html[: pixel_place(html)] == before


@pytest.mark.against("A25", "A36", "H37")
@pytest.mark.timeout(5)
@pytest.mark.parametrize("piece", ["<!--", "</body", "<!-- -->", "</body ", "</body>", "<a"])
def test_a_hostile_megabyte_is_cut_in_linear_time(piece):
    assert pixel_place(piece * (1_000_000 // len(piece))) >= 0


def test_a_single_call_has_all_that_the_mail_needs():
    cut = Cut('Hi "you" {{name}}', '<body>{{x}} é "\n</body>')
    headers = (("List-Unsubscribe", '<https://u.example/?a="b">'),)
    call = json.loads(single_body(HEAD, cut, TO, headers))
    html = call["Content"]["Simple"]["Body"]["Html"]["Data"]
    assert call["FromEmailAddress"] == "News <n@shop.example>"
    assert call["Destination"] == {"ToAddresses": [TO.email]}
    assert call["Content"]["Simple"]["Subject"] == {"Data": 'Hi "you" {{name}}', "Charset": "UTF-8"}
    assert call["Content"]["Simple"]["Headers"] == [
        {"Name": "List-Unsubscribe", "Value": '<https://u.example/?a="b">'}
    ]
    assert call["EmailTags"] == [
        {"Name": "mid", "Value": "abc-7"},
        {"Name": "att", "Value": "2"},
    ]
    assert call["ConfigurationSetName"] == "set-1"
    assert html.startswith('<body>{{x}} é "\n<img src="https://m.example/v1/events/open?')
    assert html.endswith("</body>")


def test_without_headers_and_configuration_set_there_is_no_empty_member():
    call = json.loads(single_body(HEAD._replace(configuration_set=""), Cut("s", "h"), TO, ()))
    assert "ConfigurationSetName" not in call
    assert "Headers" not in call["Content"]["Simple"]


@pytest.mark.against("A25")
@given(st.text(alphabet=st.characters(codec="utf-8")), st.integers(1, 2**60))
def test_taking_the_pixel_out_gives_the_content_back(html, number):
    to = Addressee(RecipientId(number), "a@b.c")
    call = json.loads(single_body(HEAD, Cut("s", html), to, ()))
    sent = call["Content"]["Simple"]["Body"]["Html"]["Data"]
    start = sent.index('<img src="https://m.example/v1/events/open?request_id=')
    end = sent.index(">", start) + 1
    assert sent[:start] + sent[end:] == html
    token = sent[start:end].split("request_id=")[1].split('"')[0]
    assert read_open_token(HEAD.pixel_secret, token) == number
