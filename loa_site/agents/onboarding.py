"""The wizard as pages: plain forms, one step on each, for whoever is signed in at /account/. No script is needed.

A step is answered by a redirect, so a reload repeats nothing. Each form carries the version it was shown at; what was
changed in another tab meanwhile is shown again instead of overwritten.
"""

from collections.abc import Callable
from functools import wraps
from typing import Final

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.services import allowlist, feature_flags
from accounts.services.sessions import SignedIn
from loa_site.account import visits
from nft.domain.errors import InvalidToken, NftError, VersionConflict
from nft.domain.onboarding import Step, index_of
from nft.domain.personality import DOMAINS_MAX, INSTRUCTIONS_LENGTH_MAX, NAME_LENGTH_MAX, Traits, Voice, traits_of
from nft.models import OnboardingSession
from nft.services import onboarding
from nft.services.agents import agent_token
from telemetry.problem_codes import problem_code

FIELD_LENGTH_MAX: Final = 4 * INSTRUCTIONS_LENGTH_MAX  # longer texts are cut, and refused for their length all the same

Act = Callable[[HttpRequest, SignedIn], HttpResponse]


def for_holders(view: Act) -> Callable[[HttpRequest], HttpResponse]:
    """A page for a signed-in wallet that was let in, while the wizard is on. What is refused is said on the page."""

    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        visitor = visits.visitor_of(request)
        if visitor is None:
            return visits.see("account")
        if not allowlist.is_allowed(visitor.wallet):
            return _closed(request, visitor, code="not_allowlisted")
        if not feature_flags.is_enabled("onboarding", subject=visitor.wallet):
            return _closed(request, visitor, code="feature_disabled")
        try:
            return view(request, visitor)
        except NftError as refused:
            return _shown(request, visitor, refused=refused)

    return guarded


@require_safe
@for_holders
def page(request: HttpRequest, visitor: SignedIn) -> HttpResponse:
    """`/onboarding/`: the step that is next, or with `?at=` an earlier one."""
    return _shown(request, visitor)


@require_POST
@for_holders
def detect(request: HttpRequest, visitor: SignedIn) -> HttpResponse:
    """Look for tokens, always anew: somebody pressed a button."""
    session_id, version = _of_form(request)
    onboarding.detect(visitor, session_id, version=version, is_fresh=True)
    return visits.see("onboarding")


@require_POST
@for_holders
def select(request: HttpRequest, visitor: SignedIn) -> HttpResponse:
    """Choose the token whose name is the button's or the field's value: collection/id."""
    session_id, version = _of_form(request)
    chain, _slash, rest = request.POST.get("token", "")[:200].partition("/")
    collection, _slash, token_id = rest.partition("/")
    token = agent_token(collection, token_id, chain=chain)
    onboarding.select(visitor, session_id, token, version=version)
    return visits.see("onboarding")


@require_POST
@for_holders
def personality(request: HttpRequest, visitor: SignedIn) -> HttpResponse:
    """Write the personality, or keep what there is."""
    session_id, version = _of_form(request)
    make = None if "skip" in request.POST else _traits_of_form(request)
    onboarding.configure(visitor, session_id, make, version=version)
    return visits.see("onboarding")


@require_POST
@for_holders
def credit(request: HttpRequest, visitor: SignedIn) -> HttpResponse:
    """Go on with credit or without."""
    session_id, version = _of_form(request)
    onboarding.settle_credit(visitor, session_id, version=version, goes_without="skip" in request.POST)
    return visits.see("onboarding")


@require_POST
@for_holders
def complete(request: HttpRequest, visitor: SignedIn) -> HttpResponse:
    """Bring the agent to life and go to its page."""
    session_id, version = _of_form(request)
    done = onboarding.complete(visitor, session_id, version=version)
    return HttpResponseRedirect(reverse("agent", args=[done.collection, done.token_id]), status=303)


def _of_form(request: HttpRequest) -> tuple[str, int]:
    """The session and the version a form was shown at."""
    text = request.POST.get("version", "")[:10]
    if not (text.isascii() and text.isdigit()):
        raise VersionConflict("The form is not complete. Here is where you are.")
    return request.POST.get("session", "")[:40], int(text)


def _traits_of_form(request: HttpRequest) -> Callable[[str], Traits]:
    def make(name: str) -> Traits:
        domains = request.POST.get("domains", "")[:FIELD_LENGTH_MAX].split(",")
        return traits_of(
            request.POST.get("name", "")[:FIELD_LENGTH_MAX].strip() or name,
            voice=request.POST.get("voice", Voice.ANALYTICAL)[:20],
            expertise_domains=[domain for domain in domains if domain.strip()],
            custom_instructions=request.POST.get("instructions", "")[:FIELD_LENGTH_MAX],
        )

    return make


def _shown(request: HttpRequest, visitor: SignedIn, *, refused: NftError | None = None) -> HttpResponse:
    session = onboarding.start(visitor)
    state = onboarding.state_of(session)
    status = problem_code(refused.code).status if refused is not None else 200
    facts = {
        "visitor": visitor,
        "state": state,
        "at": _place(request, session),
        "personality": onboarding.personality_of(session),
        "voices": [voice.value for voice in Voice],
        "name_length": NAME_LENGTH_MAX,
        "instructions_length": INSTRUCTIONS_LENGTH_MAX,
        "domains_max": DOMAINS_MAX,
        "mistake": refused.detail if refused is not None else "",
        "typed": request.POST if refused is not None and not isinstance(refused, InvalidToken) else {},
    }
    return render(request, "agents/onboarding.html", facts, status=status)


def _place(request: HttpRequest, session: OnboardingSession) -> str:
    """The step to show: the next one, or an earlier one that is asked for."""
    wanted = request.GET.get("at", "")
    is_earlier = wanted in set(Step) and index_of(Step.WALLET) < index_of(wanted) < index_of(session.step)
    return wanted if is_earlier else session.step


def _closed(request: HttpRequest, visitor: SignedIn, *, code: str) -> HttpResponse:
    known = problem_code(code)
    facts = {"visitor": visitor, "title": _("Not open to this wallet yet"), "text": f"{known.title}. {known.next_step}"}
    return render(request, "account/refused.html", facts, status=known.status)
