"""The permission matrix: every page and every act of the staff site, for every role (faults.md 69)."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from loa_site.roles import AUDITOR, FINANCE, OPERATOR, ROLES, SUPPORT
from tests.admin.addresses import address, pages_of, rows_of
from tests.admin.books import Book
from tests.admin.staff import browser_of, member
from tests.admin.staff_rows import acts_on

ALL = {SUPPORT, FINANCE, OPERATOR, AUDITOR}
PAYER_PAGES = ALL
# Which roles may open a model's list and rows; the superuser may open all of them.
MAY_VIEW = {
    "accounts.account": ALL,
    "accounts.wallet": ALL,
    "accounts.session": ALL,
    "accounts.auditevent": {AUDITOR},
    "auth.group": {AUDITOR},
    "auth.user": {AUDITOR},
    "billing.account": ALL,
    "billing.approval": {FINANCE, OPERATOR, AUDITOR},
    "billing.billingentry": ALL,
    "billing.bulkdecision": {FINANCE, OPERATOR, AUDITOR},
    "billing.creditnote": ALL,
    "billing.deadletter": ALL,
    "billing.journal": ALL,
    "billing.outboxevent": {SUPPORT, OPERATOR, AUDITOR},
    "billing.stream": {OPERATOR, AUDITOR},
    "billing.webhookdelivery": {SUPPORT, OPERATOR, AUDITOR},
    "billing.webhookendpoint": {SUPPORT, OPERATOR, AUDITOR},
    "inference.model": {FINANCE, OPERATOR, AUDITOR},
    "inference.modelprice": {FINANCE, OPERATOR, AUDITOR},
    "x402.chaintransaction": {FINANCE, OPERATOR, AUDITOR},
    "x402.keptquote": ALL,
    "x402.payment": ALL,
    "x402.reconciliation": {FINANCE, OPERATOR, AUDITOR},
    "x402.refund": ALL,
    "x402.relayer": {OPERATOR, AUDITOR},
}
MAY_ACT = {
    ("billing.deadletter", "retry"): {SUPPORT, FINANCE, OPERATOR},
    ("billing.deadletter", "void"): {FINANCE},
    ("billing.deadletter", "annotate"): {SUPPORT, FINANCE, OPERATOR},
    ("billing.deadletter", "give-back"): {FINANCE, OPERATOR},
    ("billing.approval", "agree"): {FINANCE, OPERATOR},
    ("billing.stream", "fence-reset"): {OPERATOR},
    ("billing.webhookdelivery", "replay"): {SUPPORT, OPERATOR},
    ("billing.outboxevent", "send-again"): {SUPPORT, OPERATOR},
    ("x402.refund", "above-limit"): {FINANCE, OPERATOR},
}
PAGES = {
    "operations": ({OPERATOR, AUDITOR}, ()),
    "dashboard": (ALL, ()),
    "circuit": ({OPERATOR}, ("settlement", "open")),
    "billing_deadletter_bulk": ({FINANCE, OPERATOR}, ("finalize", "poisoned", "retry")),
}


@pytest.fixture
def browsers(transactional_db: None) -> dict[str, Client]:
    """One member of staff of each role."""
    return {role: browser_of(member(role)) for role in sorted(ALL)}


def viewers_of(label: str) -> set[str]:
    """The roles that may view a model which this table does not name: as the roles themselves say."""
    app_label, _, name = label.partition(".")
    return {AUDITOR} | {role for role, rights in ROLES.items() if f"{app_label}.view_{name}" in rights}


def allowed(browsers: dict[str, Client], page: str) -> set[str]:
    """The roles that may open a page; all others are refused."""
    statuses = {role: client.get(page).status_code for role, client in browsers.items()}
    assert set(statuses.values()) <= {200, 403}, (page, statuses)
    return {role for role, status in statuses.items() if status == 200}


def test_the_groups_are_what_the_table_of_roles_says(transactional_db: None):
    for role, permissions in ROLES.items():
        held = {
            f"{one.content_type.app_label}.{one.codename}"
            for one in Group.objects.get(name=role).permissions.select_related("content_type")
        }
        if role == AUDITOR:
            assert {name.partition(".")[2].split("_")[0] for name in held} == {"view", "see"}
        else:
            assert held == permissions


def test_each_role_opens_the_lists_and_rows_that_are_its_and_no_others(browsers: dict[str, Client], book: Book):
    keys = rows_of(book)
    for model in admin.site._registry:
        label = model._meta.label_lower
        expected = MAY_VIEW.get(label) or viewers_of(label)
        assert allowed(browsers, address(model, "changelist")) == expected, label
        if model in keys:
            assert allowed(browsers, address(model, "change", keys[model])) == expected, label


def test_each_role_does_what_is_its_and_nothing_else(browsers: dict[str, Client], book: Book):
    found = {
        (model._meta.label_lower, act): allowed(browsers, address(model, "act", key, act))
        for model, key in rows_of(book).items()
        if model._meta.app_label in ("billing", "x402")
        for act in acts_on(model)
    }

    assert found == MAY_ACT


@pytest.mark.parametrize("name", list(PAGES))
def test_pages_of_no_row_are_open_to_their_roles(browsers: dict[str, Client], name: str):
    roles, arguments = PAGES[name]

    assert allowed(browsers, reverse(f"admin:{name}", args=arguments)) == roles


def test_an_act_that_is_sent_without_the_right_changes_nothing(browsers: dict[str, Client], book: Book):
    from billing.services.dead_letters import letter_of

    page = reverse("admin:billing_deadletter_act", args=[book.dead_letter_id.replace("_", "_5F"), "void"])
    before = letter_of(book.dead_letter_id)

    for role in (SUPPORT, OPERATOR, AUDITOR):
        answer = browsers[role].post(page, {"reason": "I may not", "token": "forged-token"})
        assert answer.status_code == 403, role

    assert letter_of(book.dead_letter_id) == before


def test_an_act_needs_the_token_that_its_page_carried_in_a_form_of_this_site(book: Book):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(member(FINANCE))
    page = reverse("admin:billing_deadletter_act", args=[book.dead_letter_id.replace("_", "_5F"), "void"])

    assert strict.post(page, {"reason": "from elsewhere", "token": "t"}).status_code == 403


def test_nobody_without_a_role_sees_more_than_their_own_password_page(book: Book):
    nobody = browser_of(member())

    open_pages = {page for page in pages_of(book) if nobody.get(page).status_code == 200}

    own = {reverse(f"admin:{name}") for name in ("index", "password_change", "second_factor", "security_keys")}
    assert open_pages == own


def test_no_page_may_be_framed(browsers: dict[str, Client]):
    answer = browsers[OPERATOR].get(reverse("admin:operations"))

    assert answer["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]


def test_the_address_without_its_slash_leads_to_the_site(transactional_db: None):
    answer = Client().get("/admin")

    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    assert User.objects.filter(username="nobody").count() == 0
