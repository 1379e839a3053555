"""From the request to the letters in it, each checked as SES checks it."""

from email.message import EmailMessage
from typing import Any

import msgspec

from services.simulator import mime, template
from services.simulator.errors import RefusalError, bad_request
from services.simulator.limits import (
    MOST_INLINE,
    bare,
    check_attachments,
    check_everyone,
    check_headers,
    check_length,
    check_sender,
    check_tags,
    check_template_data,
)
from services.simulator.shapes import (
    Attachment,
    Destination,
    Entry,
    Header,
    SendBulkEmail,
    SendEmail,
    Simple,
    Tag,
    Template,
)
from services.simulator.template import MissingError, Parsed, Rendered
from services.simulator.verdict import EICAR


class Letter(msgspec.Struct):
    """One mail SES has read and not yet decided on."""

    source: str
    to: list[str]
    cc: list[str]
    bcc: list[str]
    rendered: Rendered
    headers: list[tuple[str, str]]
    tags: list[tuple[str, str]]
    configuration_set: str
    infected: bool = False
    error: str = ""  # a Rendering Failure's text

    def everyone(self) -> list[str]:
        """List all recipients."""
        return [*self.to, *self.cc, *self.bcc] if self.cc or self.bcc else self.to

    def tag(self, name: str) -> str | None:
        """Give one tag's value."""
        for key, value in self.tags:
            if key == name:
                return value
        return None


def single(call: SendEmail, size: int) -> Letter:
    """Read SendEmail."""
    content = call.content
    ways = (content.simple, content.raw, content.template)
    if sum(way is not None for way in ways) != 1:
        msg = "Content must have exactly one of Simple, Raw and Template."
        raise bad_request(msg)
    check_length(size)
    check_tags(call.email_tags)
    if content.raw is not None:
        return _raw(call, content.raw.data)
    check_everyone(call.destination.everyone())
    if content.simple is not None:
        rendered, headers, infected = _simple(content.simple)
        return _letter(call, call.destination, rendered, headers, infected=infected)
    assert content.template is not None
    return _templated(call, content.template, size)


def bodies(call: SendEmail) -> Rendered | None:
    """Decode a simple mail's bodies, which most runs leave alone."""
    simple = call.content.simple
    if simple is None:
        return None
    html, text = simple.body.html, simple.body.text
    return Rendered(
        simple.subject.data,
        None if html is None else html.text(),
        None if text is None else text.text(),
    )


def _simple(simple: Simple) -> tuple[Rendered, list[Header], bool]:
    check_headers(simple.headers)
    html, text = simple.body.html, simple.body.text
    if html is None and text is None:
        msg = "Message body is empty: a text or an HTML part is needed."
        raise bad_request(msg)
    if not all(part.is_text() for part in (html, text) if part is not None):
        msg = "STRING_VALUE expected for a body's Data"
        raise RefusalError("SerializationException", msg)
    rendered = Rendered(simple.subject.data)
    return rendered, simple.headers, _infected(simple.attachments)


def _templated(call: SendEmail, wanted: Template, size: int) -> Letter:
    parsed = parsed_template(wanted, size)
    letter = _letter(call, call.destination, Rendered(), wanted.headers)
    letter.infected = _infected(wanted.attachments)
    fill(letter, parsed, template.read_data(wanted.template_data))
    return letter


def _raw(call: SendEmail, data: bytes) -> Letter:
    try:
        return _read_raw(call, mime.read(data))
    except (LookupError, ValueError, AttributeError, TypeError):
        # The standard library's parser answers broken mails with any of these.
        msg = "Raw message cannot be read."
        raise bad_request(msg) from None


def _read_raw(call: SendEmail, mail: EmailMessage) -> Letter:
    given = call.destination
    if not given.everyone():
        found = [mime.addresses(mail, name) for name in ("To", "Cc", "Bcc")]
        given = Destination(*found)
    check_everyone(given.everyone())
    call.from_email_address = call.from_email_address or mime.sender(mail)
    call.configuration_set_name = call.configuration_set_name or mime.configuration_set(mail)
    letter = _letter(call, given, mime.rendered(mail), [])
    letter.headers = mime.headers(mail)
    letter.infected = any(
        EICAR in (part.get_payload(decode=True) or b"") for part in mail.iter_attachments()
    )
    if not call.email_tags:
        check_tags(mime.tags(mail))
        letter.tags = [(tag.name, tag.value) for tag in mime.tags(mail)]
    return letter


def _letter(
    call: SendEmail | SendBulkEmail,
    to: Destination,
    rendered: Rendered,
    headers: list[Header],
    *,
    infected: bool = False,
) -> Letter:
    tags = call.email_tags if isinstance(call, SendEmail) else []
    return Letter(
        check_sender(call.from_email_address),
        [bare(address) for address in to.to_addresses],
        [bare(address) for address in to.cc_addresses],
        [bare(address) for address in to.bcc_addresses],
        rendered,
        [(header.name, header.value) for header in headers],
        [(tag.name, tag.value) for tag in tags],
        call.configuration_set_name or "",
        infected,
    )


def parsed_template(wanted: Template, size: int) -> Parsed:
    """Check a template and parse it; only inline ones exist here."""
    ways = (wanted.template_name, wanted.template_arn, wanted.template_content)
    if sum(way is not None for way in ways) != 1:
        msg = "Template must have exactly one of TemplateName, TemplateArn and TemplateContent."
        raise bad_request(msg)
    check_headers(wanted.headers)
    check_template_data(wanted.template_data, "template.templateData")
    if wanted.template_content is None:
        name = wanted.template_name or wanted.template_arn
        raise RefusalError("NotFoundException", f"Template {name} does not exist")
    if size > MOST_INLINE:
        msg = f"Inline template input is more than {MOST_INLINE} bytes long: '{size}'."
        raise bad_request(msg)
    return template.parse(wanted.template_content)


def fill(letter: Letter, parsed: Parsed, data: dict[str, Any]) -> None:
    """Render a letter, or note the Rendering Failure it will end as."""
    try:
        letter.rendered = template.render(parsed, data)
    except MissingError as missing:
        letter.error = str(missing)


def sender_of(call: SendBulkEmail) -> str:
    """Give a bulk call's From address, or refuse it."""
    return check_sender(call.from_email_address)


def check_entries(call: SendBulkEmail, shared: Template) -> None:
    """Refuse a bulk call whose entries SES's own model would refuse."""
    check_tags(call.default_email_tags)
    for entry in call.bulk_email_entries:
        check_headers(entry.replacement_headers)
        check_tags(entry.replacement_tags)
        check_template_data(_data_of(entry), "bulkEmailEntries.replacementTemplateData")
        if shared.headers and entry.replacement_headers:
            check_headers(merged_headers(shared.headers, entry.replacement_headers))


def entry(call: SendBulkEmail, shared: Template, one: Entry) -> Letter:
    """Read one entry; the template is filled in by the caller."""
    check_everyone(one.destination.everyone())
    headers = merged_headers(shared.headers, one.replacement_headers)
    letter = _letter(call, one.destination, Rendered(), headers)
    letter.tags = merged_tags(call.default_email_tags, one.replacement_tags)
    return letter


def entry_data(one: Entry, shared: dict[str, Any]) -> dict[str, Any]:
    """Give one entry's data, laid over the shared data."""
    return template.merged(shared, template.read_data(_data_of(one)))


def _data_of(one: Entry) -> str | None:
    content = one.replacement_email_content
    if content is None or content.replacement_template is None:
        return None
    return content.replacement_template.replacement_template_data


def merged_headers(shared: list[Header], own: list[Header]) -> list[Header]:
    """Replace the template's headers by the entry's of the same name; keep the others."""
    if not own or not shared:
        return own or shared
    names = {header.name.lower() for header in own}
    return [*(header for header in shared if header.name.lower() not in names), *own]


def merged_tags(shared: list[Tag], own: list[Tag]) -> list[tuple[str, str]]:
    """Lay an entry's tags over the default tags, by name."""
    names = {tag.name for tag in own}
    kept = [tag for tag in shared if tag.name not in names]
    return [(tag.name, tag.value) for tag in [*kept, *own]]


def _infected(attachments: list[Attachment]) -> bool:
    check_attachments(attachments)
    return any(EICAR in attachment.raw_content for attachment in attachments)
