"""What our mails say: plain text and the same as HTML, in the language the person asked in, without any tracking.

Every mail can be left with one click (RFC 8058): mail programs show the button, POST to the address in
`List-Unsubscribe`, and need no page. No picture, no counting link: open and click tracking are switched off for every
provider that would add them.
"""

from typing import Final

from anymail.message import AnymailMessage
from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation

from telemetry.configuration import loa
from waitlist.models import Mail
from waitlist.services.links import Purpose, url_for

_TEMPLATES: Final = {kind: f"waitlist/mail/{kind}" for kind in Mail.Kind.values}


def message_of(mail: Mail) -> AnymailMessage:
    """The message for a mail as it should be sent now; a link in it is as old as the message."""
    entry = mail.entry
    facts = {
        "entry": entry,
        "origin": loa("PUBLIC_ORIGIN"),
        "confirm_url": url_for(entry, Purpose.CONFIRM),
        "place_url": url_for(entry, Purpose.PLACE),
        "invitation_url": url_for(entry, Purpose.INVITATION),
        "leave_url": url_for(entry, Purpose.LEAVE),
    }
    template = _TEMPLATES[mail.kind]
    with translation.override(entry.language):
        subject = " ".join(render_to_string(f"{template}.subject.txt", facts).split())
        text = render_to_string(f"{template}.txt", facts)
        html = render_to_string(f"{template}.html", facts | {"subject": subject})
    message = AnymailMessage(
        subject=subject,
        body=text,
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[entry.email],
        headers={
            "List-Unsubscribe": f"<{facts['leave_url']}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            "Auto-Submitted": "auto-generated",
        },
        track_clicks=False,
        track_opens=False,
    )
    message.attach_alternative(html, "text/html")
    return message
