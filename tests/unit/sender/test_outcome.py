"""What each answer of SES means, name by name."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sender.outcome import (
    BulkFault,
    Finding,
    bare_address,
    judge_bulk,
    judge_single,
    names_our_from,
)
from services.sender.reply import Entry, NoReply, Reply, read_reply
from shared.domain import Verdict

FROM = "news@shop.example"
HOLD_REASONS = {
    "quota",
    "sending_paused",
    "suspended",
    "credentials",
    "not_verified",
    "configuration",
}
NOT_VERIFIED = (
    "Email address is not verified. The following identities failed the check in region EU-WEST-1: "
)

SINGLE = [
    # every exception of SendEmail and SendBulkEmail in the model
    (429, "TooManyRequestsException", "Maximum sending rate exceeded.", Verdict.THROTTLED, ""),
    (400, "LimitExceededException", "Daily message quota exceeded.", Verdict.ACCOUNT, "quota"),
    (400, "LimitExceededException", "", Verdict.ACCOUNT, "quota"),
    (400, "LimitExceededException", "Maximum sending rate exceeded.", Verdict.THROTTLED, ""),
    (400, "LimitExceededException", "Too many recipients.", Verdict.FOR_NOW, ""),
    (400, "AccountSuspendedException", "Suspended.", Verdict.ACCOUNT, "suspended"),
    (400, "SendingPausedException", "Paused.", Verdict.ACCOUNT, "sending_paused"),
    (400, "MessageRejected", "Bad content.", Verdict.PERMANENT, ""),
    (400, "MailFromDomainNotVerifiedException", "No.", Verdict.ACCOUNT, "not_verified"),
    (404, "NotFoundException", "Configuration set absent.", Verdict.ACCOUNT, "configuration"),
    (400, "BadRequestException", "Missing final '@domain'.", Verdict.PERMANENT, ""),
    # the names every AWS service shares
    (400, "ThrottlingException", "Rate exceeded", Verdict.THROTTLED, ""),
    (400, "Throttling", "Maximum sending rate exceeded.", Verdict.THROTTLED, ""),
    (503, "ThrottlingException", "Rate exceeded", Verdict.THROTTLED, ""),
    (503, "SlowDown", "", Verdict.THROTTLED, ""),
    (500, "InternalFailure", "", Verdict.UNKNOWN, ""),
    (400, "InternalFailure", "", Verdict.UNKNOWN, ""),
    (503, "ServiceUnavailable", "", Verdict.UNKNOWN, ""),
    (408, "RequestTimeout", "", Verdict.UNKNOWN, ""),
    (403, "AccessDeniedException", "not authorized", Verdict.ACCOUNT, "credentials"),
    (403, "ExpiredTokenException", "expired", Verdict.ACCOUNT, "credentials"),
    (403, "ExpiredToken", "expired", Verdict.ACCOUNT, "credentials"),
    (403, "UnrecognizedClientException", "invalid token", Verdict.ACCOUNT, "credentials"),
    (403, "IncompleteSignature", "", Verdict.ACCOUNT, "credentials"),
    (403, "InvalidSignatureException", "Signature expired: skew", Verdict.ACCOUNT, "credentials"),
    (403, "SignatureDoesNotMatch", "", Verdict.ACCOUNT, "credentials"),
    (400, "InvalidClientTokenId", "", Verdict.ACCOUNT, "credentials"),
    (403, "RequestTimeTooSkewed", "", Verdict.ACCOUNT, "credentials"),
    (403, "MissingAuthenticationToken", "", Verdict.ACCOUNT, "credentials"),
    (413, "RequestEntityTooLarge", "", Verdict.PERMANENT, ""),
    (400, "ValidationError", "", Verdict.PERMANENT, ""),
    (400, "ValidationException", "", Verdict.PERMANENT, ""),
    (400, "SerializationException", "", Verdict.PERMANENT, ""),
    # by text, where the name says too little
    (429, "TooManyRequestsException", "Daily message quota exceeded.", Verdict.ACCOUNT, "quota"),
    (400, "ThrottlingException", "Daily message quota exceeded.", Verdict.ACCOUNT, "quota"),
    (400, "MessageRejected", "Sending paused for this account.", Verdict.ACCOUNT, "sending_paused"),
    (400, "MessageRejected", "Account is suspended.", Verdict.ACCOUNT, "suspended"),
    (400, "MessageRejected", NOT_VERIFIED + FROM, Verdict.ACCOUNT, "not_verified"),
    (400, "MessageRejected", NOT_VERIFIED + "shop.example", Verdict.ACCOUNT, "not_verified"),
    (400, "MessageRejected", NOT_VERIFIED + "a@b.example", Verdict.PERMANENT, ""),
    (400, "MessageRejected", f"{NOT_VERIFIED}a@b.example, {FROM}", Verdict.ACCOUNT, "not_verified"),
    # without a name
    (429, "", "", Verdict.THROTTLED, ""),
    (403, "", "", Verdict.ACCOUNT, "credentials"),
    (413, "", "", Verdict.PERMANENT, ""),
    (408, "", "", Verdict.UNKNOWN, ""),
    (500, "", "", Verdict.UNKNOWN, ""),
    (502, "", "", Verdict.UNKNOWN, ""),
    (504, "", "", Verdict.UNKNOWN, ""),
    (302, "", "", Verdict.UNKNOWN, ""),
    # names that do not exist yet
    (400, "BrandNewException", "", Verdict.FOR_NOW, ""),
    (409, "ConflictException", "", Verdict.FOR_NOW, ""),
    (429, "BrandNewException", "", Verdict.THROTTLED, ""),
    (500, "BrandNewException", "", Verdict.UNKNOWN, ""),
]


@pytest.mark.parametrize(("status", "code", "message", "verdict", "reason"), SINGLE)
@pytest.mark.against("E1", "E4", "E6", "E7", "E8")
def test_every_refusal_has_its_verdict(status, code, message, verdict, reason):
    found = judge_single(Reply(status, code, message), FROM)
    assert found.verdict is verdict
    assert found.code == (reason or code or f"HTTP {status}")
    assert found.detail


def test_a_message_id_means_accepted():
    assert judge_single(Reply(200, message_id="m1"), FROM) == Finding(
        Verdict.ACCEPTED, message_id="m1"
    )


@pytest.mark.against("E3")
def test_success_without_a_message_id_means_that_ses_may_have_it():
    assert judge_single(Reply(200), FROM).verdict is Verdict.UNKNOWN


@pytest.mark.against("E2", "E3")
def test_what_never_left_is_not_sent_and_what_may_have_left_is_unknown():
    assert judge_single(NoReply(left=False, detail="refused"), FROM).verdict is Verdict.NOT_SENT
    assert judge_single(NoReply(left=True, detail="reset"), FROM).verdict is Verdict.UNKNOWN
    both = judge_bulk(NoReply(left=True, detail="reset"), 3, FROM)
    assert [one.verdict for one in both] == [Verdict.UNKNOWN] * 3


BULK = [
    ("SUCCESS", "", Verdict.ACCEPTED, ""),
    ("ACCOUNT_THROTTLED", "Maximum sending rate exceeded.", Verdict.THROTTLED, ""),
    ("ACCOUNT_THROTTLED", "Daily message quota exceeded.", Verdict.ACCOUNT, "quota"),
    ("TRANSIENT_FAILURE", "", Verdict.FOR_NOW, ""),
    ("FAILED", "", Verdict.FOR_NOW, ""),
    ("ACCOUNT_DAILY_QUOTA_EXCEEDED", "", Verdict.ACCOUNT, "quota"),
    ("ACCOUNT_SUSPENDED", "", Verdict.ACCOUNT, "suspended"),
    ("ACCOUNT_SENDING_PAUSED", "", Verdict.ACCOUNT, "sending_paused"),
    ("CONFIGURATION_SET_SENDING_PAUSED", "", Verdict.ACCOUNT, "configuration"),
    ("CONFIGURATION_SET_NOT_FOUND", "", Verdict.ACCOUNT, "configuration"),
    ("CONFIGURATION_SET_DOES_NOT_EXIST", "", Verdict.ACCOUNT, "configuration"),
    ("INVALID_SENDING_POOL_NAME", "", Verdict.ACCOUNT, "configuration"),
    ("TEMPLATE_NOT_FOUND", "", Verdict.ACCOUNT, "configuration"),
    ("TEMPLATE_DOES_NOT_EXIST", "", Verdict.ACCOUNT, "configuration"),
    ("MAIL_FROM_DOMAIN_NOT_VERIFIED", "", Verdict.ACCOUNT, "not_verified"),
    ("MESSAGE_REJECTED", "Bad content.", Verdict.PERMANENT, ""),
    ("MESSAGE_REJECTED", NOT_VERIFIED + FROM, Verdict.ACCOUNT, "not_verified"),
    ("MESSAGE_REJECTED", NOT_VERIFIED + "a@b.example", Verdict.PERMANENT, ""),
    ("INVALID_PARAMETER", "", Verdict.PERMANENT, ""),
    ("INVALID_PARAMETER_VALUE", "", Verdict.PERMANENT, ""),
    ("SOMETHING_NEW", "", Verdict.FOR_NOW, ""),
]


@pytest.mark.against("E5")
def test_every_status_of_a_bulk_answer_has_its_verdict_in_order():
    entries = tuple(
        Entry(status, error, "m" if status == "SUCCESS" else "") for status, error, _, _ in BULK
    )
    found = judge_bulk(Reply(200, entries=entries), len(BULK), FROM)
    assert [(one.verdict, one.code) for one in found] == [
        (verdict, reason or ("" if verdict is Verdict.ACCEPTED else status))
        for status, _, verdict, reason in BULK
    ]


@pytest.mark.parametrize("entry", [Entry("SUCCESS"), Entry(""), Entry("SOMETHING_NEW", "", "m1")])
@pytest.mark.against("E5")
def test_an_entry_that_contradicts_itself_is_unknown(entry):
    found = judge_bulk(Reply(200, entries=(entry,)), 1, FROM)
    assert found[0].verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("entries", [None, (), (Entry("SUCCESS", "", "m"),) * 2])
@pytest.mark.against("E5")
def test_a_bulk_answer_of_the_wrong_length_makes_all_unknown(entries):
    found = judge_bulk(Reply(200, entries=entries), 3, FROM)
    assert [one.verdict for one in found] == [Verdict.UNKNOWN] * 3


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(403, "AccessDeniedException", "ses:SendBulkEmail"), "refused"),
        (Reply(404, "UnknownOperationException"), "refused"),
        (Reply(501), "refused"),
        (Reply(400, "ThrottlingException", "Rate exceeded"), "call_rate"),
        (Reply(429, "TooManyRequestsException", "Too many requests"), "call_rate"),
        (Reply(400, "BadRequestException", "unsupported operations"), "content"),
        (Reply(400, "MessageRejected", "Bad content."), "content"),
        (Reply(413, "RequestEntityTooLarge"), "content"),
        (Reply(400, "BrandNewException"), "content"),
    ],
)
def test_a_bulk_call_refused_as_such_fails_nobody(reply, kind):
    found = judge_bulk(reply, 3, FROM)
    assert isinstance(found, BulkFault)
    assert found.kind == kind


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (
            Reply(429, "TooManyRequestsException", "Maximum sending rate exceeded."),
            Verdict.THROTTLED,
        ),
        (Reply(429, "TooManyRequestsException", "Daily message quota exceeded."), Verdict.ACCOUNT),
        (Reply(400, "SendingPausedException"), Verdict.ACCOUNT),
        (Reply(403, "ExpiredTokenException"), Verdict.ACCOUNT),
        (Reply(400, "MessageRejected", NOT_VERIFIED + FROM), Verdict.ACCOUNT),
        (Reply(500, "InternalFailure"), Verdict.UNKNOWN),
    ],
)
@pytest.mark.against("E5")
def test_what_stops_a_whole_bulk_call_holds_for_each_of_its_mails(reply, verdict):
    assert [one.verdict for one in judge_bulk(reply, 2, FROM)] == [verdict] * 2


@pytest.mark.parametrize(
    ("listed", "ours"),
    [
        ("news@shop.example", True),
        ("NEWS@SHOP.EXAMPLE", True),
        ("shop.example", True),
        ("example", True),
        ("News <news@shop.example>, x@y.example", True),
        ("other@shop.example", False),
        ("op.example", False),
        ("news@shop.example.evil", False),
    ],
)
def test_our_own_identity_is_found_in_the_list(listed, ours):
    assert names_our_from(NOT_VERIFIED + listed, "News <News@Shop.example>") is ours


def test_a_refusal_without_a_list_is_taken_for_ours():
    assert names_our_from("Email address is not verified.", FROM)


@pytest.mark.parametrize(
    ("text", "address"),
    [("a@B.c", "a@b.c"), ("A B <a@b.c>", "a@b.c"), ('"A, B" <a@b.c> ', "a@b.c")],
)
def test_a_from_address_is_cut_out_of_its_name(text, address):
    assert bare_address(text) == address


def test_the_name_of_an_error_loses_namespace_and_address():
    header = "TooManyRequestsException:http://internal.amazon.com/coral/"
    assert read_reply(429, header, b'{"message":"slow"}') == Reply(
        429, "TooManyRequestsException", "slow"
    )
    body = json.dumps({"__type": "com.amazon.ses#MessageRejected", "Message": "no"}).encode()
    assert read_reply(400, "", body) == Reply(400, "MessageRejected", "no")


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"MessageId":', b"\xff", b"[" * 100_000])
@pytest.mark.against("E3")
def test_an_unreadable_success_is_unknown(body):
    assert judge_single(read_reply(200, "", body), FROM).verdict is Verdict.UNKNOWN


def test_fields_of_the_wrong_kind_are_left_empty():
    body = b'{"MessageId":7,"message":[],"BulkEmailEntryResults":[1]}'
    assert read_reply(200, "", body) == Reply(200)


@given(
    st.integers(100, 599),
    st.text(max_size=30),
    st.text(max_size=200),
    st.text(max_size=10),
)
def test_no_answer_is_without_a_verdict(status, code, message, message_id):
    reply = Reply(status, code, message, message_id)
    found = judge_single(reply, FROM)
    if found.verdict is Verdict.ACCOUNT:
        assert found.code in HOLD_REASONS
    assert (found.verdict is Verdict.ACCEPTED) == (200 <= status < 300 and bool(message_id))
    bulk = judge_bulk(reply, 2, FROM)
    assert isinstance(bulk, BulkFault) or len(bulk) == 2
