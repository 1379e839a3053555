"""Many mails as SendBulkEmail takes them: each must come out as the single lane writes it."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sender.bulk import MAX_REQUEST, bulk_body
from services.sender.render import Cut, Letterhead, single_body
from shared.domain import RecipientId
from shared.protocol import Addressee

HEAD = Letterhead("n@shop.example", "set-1", "https://m.example", "abc", b"s" * 32)
TWO = (Addressee(RecipientId(7), "a@dest.example"), Addressee(RecipientId(8), 'b"@x.example', 3))

# As Handlebars reads it: a backslash escapes, three braces mean something else.
VARIABLE = re.compile(r"(?<![\\{])\{\{([A-Za-z0-9]+)\}\}(?!\})")


def rendered(part, data):
    """Fill a template in as SES does; any braces that are no plain variable are a fault."""
    pieces = VARIABLE.split(part)
    assert not any("{{" in literal for literal in pieces[::2]), part
    pieces[1::2] = [data[name] for name in pieces[1::2]]
    return "".join(pieces)


def mails(call):
    """Answer subject and HTML of each mail of a bulk call."""
    template = call["DefaultContent"]["Template"]["TemplateContent"]
    for entry in call["BulkEmailEntries"]:
        own = entry["ReplacementEmailContent"]["ReplacementTemplate"]["ReplacementTemplateData"]
        yield (
            rendered(template["Subject"], json.loads(own)),
            rendered(template["Html"], json.loads(own)),
        )


def single(cut, to):
    """Answer subject and HTML of the same mail in the single lane."""
    simple = json.loads(single_body(HEAD, cut, to, ()))["Content"]["Simple"]
    return simple["Subject"]["Data"], simple["Body"]["Html"]["Data"]


HOSTILE = [
    "plain",
    "{{name}}",
    "{{{raw}}}",
    "{{#if a}}x{{/if}}",
    "\\{{x}}",
    "a\\",
    "a{",
    "a{{",
    "}}a",
    "<style>@media x{a{b:c}}</style>",
    "{{{{}}}}",
    "{{pixel}} {{b0}}",
    "{{ses:openTracker}}",
    "{{" * 30 + "}" * 7,
    'quote " and \\" {{"}}',
]


@pytest.mark.parametrize("before", HOSTILE)
@pytest.mark.parametrize("after", HOSTILE)
def test_braces_of_the_caller_survive(before, after):
    cut = Cut(before, f"<body>{before}</body>{after}")
    call = json.loads(bulk_body(HEAD, cut, TWO, ()))
    assert list(mails(call)) == [single(cut, to) for to in TWO]


@given(
    st.text(alphabet='{}\\"a é<>/\n', max_size=40),
    st.text(alphabet='{}\\"a é<>/\n', max_size=40),
    st.sampled_from(["", "</body>"]),
)
def test_any_text_comes_out_as_in_the_single_lane(before, after, middle):
    cut = Cut(before, before + middle + after)
    call = json.loads(bulk_body(HEAD, cut, TWO, ()))
    assert list(mails(call)) == [single(cut, to) for to in TWO]


def test_each_entry_has_its_own_tags_and_no_default_ones():
    call = json.loads(bulk_body(HEAD, Cut("s", "h"), TWO, (("List-Id", "x"),)))
    assert "DefaultEmailTags" not in call
    assert [entry["ReplacementTags"] for entry in call["BulkEmailEntries"]] == [
        [{"Name": "mid", "Value": "abc-7"}, {"Name": "att", "Value": "1"}],
        [{"Name": "mid", "Value": "abc-8"}, {"Name": "att", "Value": "3"}],
    ]
    assert [entry["Destination"]["ToAddresses"] for entry in call["BulkEmailEntries"]] == [
        ["a@dest.example"],
        ['b"@x.example'],
    ]
    assert call["DefaultContent"]["Template"]["Headers"] == [{"Name": "List-Id", "Value": "x"}]
    assert call["ConfigurationSetName"] == "set-1"


def test_data_of_an_entry_is_complete_without_the_default():
    call = json.loads(bulk_body(HEAD, Cut("{{a}}", "{{{b"), TWO, ()))
    shared = json.loads(call["DefaultContent"]["Template"]["TemplateData"])
    for entry in call["BulkEmailEntries"]:
        own = entry["ReplacementEmailContent"]["ReplacementTemplate"]["ReplacementTemplateData"]
        assert shared.items() <= json.loads(own).items()


def test_what_is_too_large_for_a_bulk_call_is_said_so():
    assert bulk_body(HEAD, Cut("s", "x" * MAX_REQUEST), TWO, ()) is None
    assert bulk_body(HEAD, Cut("s", "{" * 300_000), TWO, ()) is None
    assert bulk_body(HEAD, Cut("s", "x" * (MAX_REQUEST - 10_000)), TWO, ()) is not None
