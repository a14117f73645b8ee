"""What links in mails open. A GET only shows: mail programs and scanners open every link they see. A POST does it."""

import json

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from telemetry.configuration import loa
from waitlist.models.entry import EntryState
from waitlist.pages.answers import PRIVATE, by_link, limited, show
from waitlist.selectors.places import is_mail_slow, place_of
from waitlist.services import confirmation, leaving, links
from waitlist.services.links import Purpose

# The link itself is the proof, and nobody else knows it: CSRF tokens would only add a cookie.


@csrf_exempt
@limited
@require_http_methods(["GET", "HEAD", "POST"])
@by_link
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """`/waitlist/confirm/{token}`: a button, then a place."""
    if request.method != "POST":
        entry = links.entry_of(token, Purpose.CONFIRM)
        return show(request, "confirm", {"entry": entry})
    entry = confirmation.confirm(token)
    return _to_place(links.token_for(entry, Purpose.PLACE))


@csrf_exempt
@limited
@require_http_methods(["GET", "HEAD", "POST"])
@by_link
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """`/waitlist/invitation/{token}`: a button, then the way in."""
    if request.method != "POST":
        return show(request, "invitation", {"entry": links.entry_of(token, Purpose.INVITATION)})
    entry = confirmation.accept_invitation(token)
    return _to_place(links.token_for(entry, Purpose.PLACE))


@require_safe
@by_link
def place(request: HttpRequest, token: str) -> HttpResponse:
    """`/waitlist/place/{token}`: where somebody stands, and everything they may do."""
    entry = links.entry_of(token, Purpose.PLACE)
    facts = {
        "entry": entry,
        "token": token,
        "place": place_of(entry),
        "is_mail_slow": is_mail_slow(),
        "friend_url": f"{loa('PUBLIC_ORIGIN')}/waitlist/?friend={entry.referral_code}",
        "leave_url": reverse("waitlist-leave", args=[links.token_for(entry, Purpose.LEAVE)]),
        "has_left": entry.state == EntryState.LEFT,
    }
    return show(request, "place", facts)


@csrf_exempt
@limited
@require_POST
@by_link
def export(request: HttpRequest, token: str) -> HttpResponse:
    """`/waitlist/place/{token}/export`: everything kept about somebody, as a file."""
    document = json.dumps(leaving.export(token), indent=2, ensure_ascii=False)
    answer = HttpResponse(document + "\n", content_type="application/json", headers=dict(PRIVATE))
    answer["Content-Disposition"] = 'attachment; filename="loa-waitlist.json"'
    return answer


@csrf_exempt
@limited
@require_http_methods(["GET", "HEAD", "POST"])
@by_link
def erase(request: HttpRequest, token: str) -> HttpResponse:
    """`/waitlist/place/{token}/erase`: ask once more, then delete."""
    if request.method != "POST":
        return show(request, "erase", {"entry": links.entry_of(token, Purpose.PLACE), "token": token})
    leaving.erase(token)
    return show(request, "erased", {})


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@by_link
def leave(request: HttpRequest, token: str) -> HttpResponse:
    """`/waitlist/leave/{token}`: a button for people; a POST by the mail program alone does it too (RFC 8058).

    Without a limit: providers post for many people from few addresses, and whoever wants to leave may.
    """
    if request.method != "POST":
        return show(request, "leave", {"entry": links.entry_of(token, Purpose.LEAVE)})
    leaving.leave(token)
    return show(request, "left", {})


def _to_place(token: str) -> HttpResponse:
    answer = HttpResponseRedirect(reverse("waitlist-place", args=[token]), status=303)
    answer["Cache-Control"], answer["Referrer-Policy"] = "private, no-store", "no-referrer"
    return answer
