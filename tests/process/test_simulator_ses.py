"""Unpatched boto3 against the simulator's SES v2: every operation, every refusal."""

import json

import pytest
from botocore.exceptions import ClientError

from tests.process.test_simulator_rig import REGION, Webhook, mail, simulator

TEMPLATE = {"Subject": "{{subject}}", "Html": "{{html}}", "Text": "Hi {{ name }}"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with simulator(tmp_path_factory.mktemp("ses"), SIMULATOR_RATE=100000) as rig:
        yield rig


@pytest.fixture
def rig(shared):
    shared.post("/_simulator/reset?all=1", {})
    return shared


def entry(to, data, **more):
    return {
        "Destination": {"ToAddresses": [to]},
        "ReplacementEmailContent": {
            "ReplacementTemplate": {"ReplacementTemplateData": json.dumps(data)}
        },
        **more,
    }


def bulk(entries, template=None, **more):
    return {
        "FromEmailAddress": "news@example.com",
        "DefaultContent": {
            "Template": {"TemplateContent": TEMPLATE, "TemplateData": "{}", **(template or {})}
        },
        "BulkEmailEntries": entries,
        **more,
    }


FULL = {"subject": "S", "html": "<b>&{{x}}</b>", "name": "Kim"}


def test_send_email_simple_keeps_braces_and_gives_a_message_id(rig):
    answer = rig.send(EmailTags=[{"Name": "mid", "Value": "m-1"}, {"Name": "att", "Value": "1"}])
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    (row,) = rig.ledger()
    assert row["message_id"] == answer["MessageId"]
    assert (row["mid"], row["att"], row["api"]) == ("m-1", "1", "single")
    assert (row["verdict"], row["address"]) == ("accepted", "user@example.com")
    (kept,) = rig.mailbox()
    assert kept["html"] == "<p>{{not}} a template</p>"
    assert kept["subject"] == "Hello 안녕"


def test_send_email_raw_reads_the_mime_mail(rig):
    raw = (
        "From: A <a@example.com>\r\nTo: B <b@example.org>, c@example.org\r\n"
        "Subject: =?utf-8?b?7JWI?=\r\n"
        "X-SES-MESSAGE-TAGS: mid=m9, att=2\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nbody"
    )
    rig.ses.send_email(Content={"Raw": {"Data": raw.encode()}})
    assert [row["address"] for row in rig.ledger()] == ["b@example.org", "c@example.org"]
    assert {row["mid"] for row in rig.ledger()} == {"m9"}
    kept = rig.mailbox()[0]
    assert (kept["subject"], kept["text"]) == ("안", "body")
    assert "X-SES-MESSAGE-TAGS" not in dict(kept["headers"])


def test_send_email_with_an_inline_template_is_rendered(rig):
    content = {"TemplateContent": TEMPLATE, "TemplateData": json.dumps(FULL)}
    rig.ses.send_email(**{**mail(), "Content": {"Template": content}})
    (kept,) = rig.mailbox()
    assert (kept["subject"], kept["html"], kept["text"]) == ("S", "<b>&{{x}}</b>", "Hi Kim")


def test_bulk_renders_merges_headers_and_keeps_each_entry_apart(rig):
    headers = [{"Name": "X-Both", "Value": "shared"}, {"Name": "X-Shared", "Value": "1"}]
    own = [{"Name": "x-both", "Value": "own"}]
    answer = rig.ses.send_bulk_email(
        **bulk(
            [
                entry(
                    "a@example.com",
                    {"subject": "A"},
                    ReplacementHeaders=own,
                    ReplacementTags=[{"Name": "mid", "Value": "ma"}],
                ),
                entry("b@example.com", {"subject": "B", "html": "{{name}}"}),
            ],
            {"TemplateData": json.dumps(FULL), "Headers": headers},
            DefaultEmailTags=[{"Name": "mid", "Value": "default"}],
        )
    )
    results = answer["BulkEmailEntryResults"]
    assert [one["Status"] for one in results] == ["SUCCESS", "SUCCESS"]
    a, b = rig.mailbox()
    assert (a["subject"], a["html"]) == ("A", "<b>&{{x}}</b>")
    assert (b["subject"], b["html"]) == ("B", "{{name}}"), "values are not read again"
    assert a["headers"] == [["X-Shared", "1"], ["x-both", "own"]]
    assert (a["tags"], b["tags"]) == ({"mid": "ma"}, {"mid": "default"})
    assert [row["message_id"] for row in rig.ledger()] == [one["MessageId"] for one in results]


def test_bulk_statuses_come_in_request_order(rig):
    rig.faults(
        rules=[
            {
                "do": "entry_status",
                "entry_status": "TRANSIENT_FAILURE",
                "match": {"address_re": "^t"},
            }
        ]
    )
    entries = [
        entry("good@example.com", FULL),
        entry("no-at-sign", FULL),
        entry("t@example.com", FULL),
        entry("last@example.com", FULL),
    ]
    answer = rig.ses.send_bulk_email(**bulk(entries))["BulkEmailEntryResults"]
    statuses = [one["Status"] for one in answer]
    assert statuses == ["SUCCESS", "INVALID_PARAMETER", "TRANSIENT_FAILURE", "SUCCESS"]
    assert answer[1]["Error"] == "Missing final '@domain'"
    assert [row["verdict"] for row in rig.ledger()] == [
        "accepted",
        "INVALID_PARAMETER",
        "TRANSIENT_FAILURE",
        "accepted",
    ]


def headers(*pairs):
    content = mail()["Content"]["Simple"]
    made = [{"Name": name, "Value": value} for name, value in pairs]
    return {"Content": {"Simple": {**content, "Headers": made}}}


def to(*addresses):
    return {"Destination": {"ToAddresses": list(addresses)}}


BAD = {
    "51 recipients": (to(*(f"u{n}@example.com" for n in range(51))), "Recipient count exceeds 50"),
    "no recipient": (to(), "Destination is missing"),
    "no domain": (to("someone"), "Missing final '@domain'"),
    "non-ASCII local part": (
        to("안녕@example.com"),
        "Local address contains control or whitespace",
    ),
    "non-ASCII domain": (to("a@예.com"), "Domain contains control or whitespace"),
    "space": (to("a b@example.com"), "Local address contains control or whitespace"),
    "unencoded name": (to("안녕 <a@example.com>"), "Display name contains non-ASCII"),
    "bad sender": ({"FromEmailAddress": "x"}, "Missing final '@domain'"),
    "16 headers": (headers(*((f"X-{n}", "v") for n in range(16))), "less than or equal to 15"),
    "own header": (headers(("Message-ID", "v")), "'Message-ID' is not allowed"),
    "header name": (headers(("X Y", "v")), "headers.name"),
    "header value": (headers(("X-Y", "안")), "headers.value"),
    "header twice": (headers(("List-Id", "a"), ("list-id", "b")), "more than once"),
    "long header": (headers(("X-" + "y" * 100, "v" * 950)), "must not exceed 996"),
    "tag": ({"EmailTags": [{"Name": "mid", "Value": "a b"}]}, "Invalid tag value: <a b>"),
    "tag name": ({"EmailTags": [{"Name": "m.d", "Value": "a"}]}, "Invalid tag name: <m.d>"),
    "unknown template operation": (
        {
            "Content": {
                "Template": {"TemplateContent": {"Subject": "s", "Html": "{{#if a}}b{{/if}}"}}
            }
        },
        "Template contains unsupported operations.",
    ),
    "template data": (
        {"Content": {"Template": {"TemplateContent": TEMPLATE, "TemplateData": "[1]"}}},
        "not a valid JSON object",
    ),
    "long template data": (
        {"Content": {"Template": {"TemplateContent": TEMPLATE, "TemplateData": "x" * 262145}}},
        "less than or equal to 262144",
    ),
    "long inline template": (
        {"Content": {"Template": {"TemplateContent": {"Subject": "s", "Html": "x" * 1048577}}}},
        "Inline template input",
    ),
    "empty body": (
        {"Content": {"Simple": {"Subject": {"Data": "s"}, "Body": {}}}},
        "Message body is empty",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_ses_refuses_is_a_bad_request(rig, what):
    change, text = BAD[what]
    with pytest.raises(rig.ses.exceptions.BadRequestException) as caught:
        rig.ses.send_email(**{**mail(), **change})
    assert text in caught.value.response["Error"]["Message"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    summary = rig.summary()
    assert (summary["accepted"], summary["calls"]) == (0, 1)
    assert summary["rejected_calls"] == {"BadRequestException": 1}


def test_bulk_refuses_51_entries_and_bad_headers_as_a_whole(rig):
    many = [entry(f"u{n}@example.com", FULL) for n in range(51)]
    bad = [entry("a@example.com", FULL, ReplacementHeaders=[{"Name": "Bcc", "Value": "x@y.z"}])]
    for entries in (many, bad):
        with pytest.raises(rig.ses.exceptions.BadRequestException):
            rig.ses.send_bulk_email(**bulk(entries))
    assert rig.summary()["rejected"] == {"BadRequestException": 52}


ACCOUNT = {
    "TooManyRequestsException": (
        {"rules": [{"do": "throttle"}]},
        429,
        "Maximum sending rate exceeded.",
    ),
    "LimitExceededException": (
        {"account": {"max_24h": 10, "sent_24h": 10}},
        400,
        "Daily message quota exceeded.",
    ),
    "AccountSuspendedException": ({"account": {"enforcement": "SHUTDOWN"}}, 400, "restricted"),
    "SendingPausedException": ({"account": {"sending_enabled": False}}, 400, "paused"),
    "MessageRejected": (
        {"account": {"unverified_from": True}},
        400,
        f"failed the check in region {REGION.upper()}: news@example.com",
    ),
    "MailFromDomainNotVerifiedException": (
        {"rules": [{"do": "error", "code": "MailFromDomainNotVerifiedException", "status": 400}]},
        400,
        "told to fail",
    ),
}


@pytest.mark.parametrize("name", ACCOUNT)
@pytest.mark.parametrize("lane", ["single", "bulk"])
def test_account_trouble_is_a_modelled_exception(rig, name, lane):
    script, status, text = ACCOUNT[name]
    rig.faults(**script)
    one = bulk([entry("a@example.com", FULL)])
    send = rig.send if lane == "single" else lambda: rig.ses.send_bulk_email(**one)
    with pytest.raises(getattr(rig.ses.exceptions, name)) as caught:
        send()
    assert text in caught.value.response["Error"]["Message"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert rig.summary()["rejected"] == {name: 1}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("InternalFailure", 500),
        ("ServiceUnavailable", 503),
        ("ThrottlingException", 400),
        ("AccessDeniedException", 403),
        ("ExpiredTokenException", 403),
        ("RequestTimeout", 408),
    ],
)
def test_unmodelled_errors_surface_as_client_errors(rig, code, status):
    rig.rule("error", code=code, status=status, message="m")
    with pytest.raises(ClientError) as caught:
        rig.send()
    assert caught.value.response["Error"] == {"Code": code, "Message": "m"}
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_an_unknown_configuration_set_and_template_are_not_found(rig):
    with pytest.raises(rig.ses.exceptions.NotFoundException) as caught:
        rig.send(ConfigurationSetName="nope")
    assert caught.value.response["Error"]["Message"] == "Configuration set <nope> does not exist."
    with pytest.raises(rig.ses.exceptions.NotFoundException):
        rig.ses.send_email(**{**mail(), "Content": {"Template": {"TemplateName": "t"}}})


def test_a_sandbox_account_reaches_verified_recipients_only(rig):
    rig.faults(account={"production_access": False, "verified_recipients": ["me@example.com"]})
    rig.send("me@example.com")
    rig.send("success+1@simulator.amazonses.com")
    with pytest.raises(rig.ses.exceptions.MessageRejected) as caught:
        rig.send("you@example.com")
    assert "you@example.com" in caught.value.response["Error"]["Message"]
    entries = [entry("me@example.com", FULL), entry("you@example.com", FULL)]
    results = rig.ses.send_bulk_email(**bulk(entries))["BulkEmailEntryResults"]
    assert [one["Status"] for one in results] == ["SUCCESS", "MESSAGE_REJECTED"]


def test_the_rate_is_counted_in_recipients_and_runs_into_debt(rig):
    rig.faults(account={"max_send_rate": 1})
    rig.send(**to("a@example.com", "b@example.com", "c@example.com"))
    with pytest.raises(rig.ses.exceptions.TooManyRequestsException):
        rig.send()
    assert rig.summary()["worst_second"] == 4, "refused calls count as arrivals"


def test_the_quota_spares_the_mailbox_simulator_and_cuts_a_bulk_call(rig):
    rig.faults(account={"max_24h": 5, "sent_24h": 4})
    rig.send("success@simulator.amazonses.com")
    entries = [entry(f"u{n}@example.com", FULL) for n in range(2)]
    results = rig.ses.send_bulk_email(**bulk(entries))["BulkEmailEntryResults"]
    assert [one["Status"] for one in results] == ["SUCCESS", "ACCOUNT_DAILY_QUOTA_EXCEEDED"]
    quota = rig.ses.get_account()["SendQuota"]
    assert (quota["SentLast24Hours"], quota["Max24HourSend"]) == (5.0, 5.0)
    with pytest.raises(rig.ses.exceptions.LimitExceededException):
        rig.ses.send_bulk_email(**bulk(entries))


def test_get_account_tells_the_account_and_may_be_denied_or_missing(rig):
    account = rig.ses.get_account()
    assert account["SendQuota"]["MaxSendRate"] == 100000.0
    assert (account["SendingEnabled"], account["EnforcementStatus"]) == (True, "HEALTHY")
    rig.faults(account={"getaccount": "denied"})
    with pytest.raises(ClientError) as caught:
        rig.ses.get_account()
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
    rig.faults(account={"getaccount": "missing"})
    with pytest.raises(ClientError) as caught:
        rig.ses.get_account()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_the_suppression_list(rig):
    ses = rig.ses
    for number in range(3):
        reason = "COMPLAINT" if number else "BOUNCE"
        ses.put_suppressed_destination(EmailAddress=f"U{number}+x@example.com", Reason=reason)
    one = ses.get_suppressed_destination(EmailAddress="u0+x@example.com")["SuppressedDestination"]
    assert (one["EmailAddress"], one["Reason"]) == ("U0+x@example.com", "BOUNCE")
    assert one["LastUpdateTime"].year >= 2026
    page = ses.list_suppressed_destinations(PageSize=2)
    rest = ses.list_suppressed_destinations(PageSize=2, NextToken=page["NextToken"])
    assert len(page["SuppressedDestinationSummaries"]) == 2
    assert len(rest["SuppressedDestinationSummaries"]) == 1
    assert "NextToken" not in rest
    bounced = ses.list_suppressed_destinations(Reasons=["BOUNCE"])
    assert len(bounced["SuppressedDestinationSummaries"]) == 1
    ses.delete_suppressed_destination(EmailAddress="u0+x@example.com")
    with pytest.raises(ses.exceptions.NotFoundException):
        ses.get_suppressed_destination(EmailAddress="u0+x@example.com")
    with pytest.raises(ses.exceptions.NotFoundException):
        ses.delete_suppressed_destination(EmailAddress="u0+x@example.com")
    with pytest.raises(ses.exceptions.BadRequestException):
        ses.put_suppressed_destination(EmailAddress="nobody", Reason="BOUNCE")
    with pytest.raises(ses.exceptions.InvalidNextTokenException):
        ses.list_suppressed_destinations(NextToken="x")


def test_configuration_sets_and_event_destinations(rig):
    ses = rig.ses
    arn = rig.sns.create_topic(Name="t")["TopicArn"]
    sending = {"SendingEnabled": False}
    ses.create_configuration_set(ConfigurationSetName="one", SendingOptions=sending)
    with pytest.raises(ses.exceptions.AlreadyExistsException):
        ses.create_configuration_set(ConfigurationSetName="one")
    with pytest.raises(ses.exceptions.BadRequestException):
        ses.create_configuration_set(ConfigurationSetName="no spaces")
    assert ses.get_configuration_set(ConfigurationSetName="one")["SendingOptions"] == sending
    assert ses.list_configuration_sets()["ConfigurationSets"] == ["one"]
    with pytest.raises(ses.exceptions.SendingPausedException):
        rig.send(ConfigurationSetName="one")
    with pytest.raises(ses.exceptions.NotFoundException):
        ses.get_configuration_set(ConfigurationSetName="two")
    destination = {
        "Enabled": True,
        "MatchingEventTypes": ["SEND"],
        "SnsDestination": {"TopicArn": arn},
    }
    where = {"ConfigurationSetName": "one", "EventDestinationName": "d"}
    ses.create_configuration_set_event_destination(**where, EventDestination=destination)
    with pytest.raises(ses.exceptions.AlreadyExistsException):
        ses.create_configuration_set_event_destination(**where, EventDestination=destination)
    changed = {**destination, "MatchingEventTypes": ["BOUNCE", "SEND"]}
    ses.update_configuration_set_event_destination(**where, EventDestination=changed)
    (told,) = ses.get_configuration_set_event_destinations(ConfigurationSetName="one")[
        "EventDestinations"
    ]
    assert told == {"Name": "d", **changed}
    unknown = {**destination, "SnsDestination": {"TopicArn": arn + "x"}}
    with pytest.raises(ses.exceptions.BadRequestException):
        ses.update_configuration_set_event_destination(**where, EventDestination=unknown)
    nothing = {**destination, "MatchingEventTypes": []}
    with pytest.raises(ses.exceptions.BadRequestException):
        ses.update_configuration_set_event_destination(**where, EventDestination=nothing)
    ses.delete_configuration_set_event_destination(**where)
    with pytest.raises(ses.exceptions.NotFoundException):
        ses.update_configuration_set_event_destination(**where, EventDestination=destination)
    ses.delete_configuration_set(ConfigurationSetName="one")
    assert ses.list_configuration_sets()["ConfigurationSets"] == []


def test_a_missing_variable_is_accepted_and_ends_as_a_rendering_failure(rig):
    with Webhook() as webhook:
        rig.wire(webhook)
        answer = rig.ses.send_bulk_email(
            **bulk([entry("a@example.com", {"subject": "S"})], ConfigurationSetName="bulk")
        )
        assert answer["BulkEmailEntryResults"][0]["Status"] == "SUCCESS"
        event = webhook.next().event
    assert event["eventType"] == "Rendering Failure"
    assert event["failure"]["errorMessage"] == (
        "Attribute 'html' is not present in the rendering data."
    )
    assert rig.summary()["events_total"]["made"] == 2, "the confirmation and this one"


def test_the_ledger_goes_on_from_a_row_and_counts_doubles(rig):
    for number in (1, 2, 2):
        rig.send(EmailTags=[{"Name": "mid", "Value": f"m{number}"}])
    assert [row["row"] for row in rig.ledger(after=1)] == [2, 3]
    assert rig.ledger(after=3) == []
    summary = rig.summary()
    assert (summary["distinct_mids"], summary["doubled_mids"]) == (2, 1)
    assert summary["first_arrival_ns"] <= summary["last_arrival_ns"] <= summary["now_ns"]
