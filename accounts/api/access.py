"""Staff's switches over HTTP: feature flags and the allowlist. By the admin's own session, with its permissions.

A change needs the CSRF token as every unsafe request of a browser session does. Who may see the admin may ask here: the
admin site's own rule (two factors included) is the one that counts.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.access_serializers import (
    AllowlistChangedSerializer,
    AllowlistChangeSerializer,
    AllowlistPageSerializer,
    FlagChangeSerializer,
    FlagListSerializer,
    FlagSerializer,
    entry_facts,
    flag_facts,
)
from accounts.api.views import NO_STORE
from accounts.models import AllowlistEntry
from accounts.services import allowlist, feature_flags
from accounts.services.errors import AccountsError
from accounts.services.feature_flags import Setting
from telemetry.problem import problem_response

PAGE_SIZE = 100
LAST_ID = 2**63 - 1


class StaffView(APIView):
    """A view for staff who are signed in to the admin. Answers are never cached."""

    authentication_classes = (SessionAuthentication,)
    permission_classes = ()

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep the answer out of every cache."""
        finished = super().finalize_response(request, response, *args, **kwargs)
        for name, value in NO_STORE.items():
            finished[name] = value
        return finished


def refusal_of(request: Request, permission: str) -> HttpResponse | None:
    """401 for nobody, 403 for those who may not; None for staff with the permission."""
    if not request.user.is_authenticated:
        return problem_response("authentication_required", detail="Sign in to the admin first.")
    if not admin.site.has_permission(request._request) or not request.user.has_perm(permission):
        return problem_response("forbidden")
    return None


class FeatureFlagsView(StaffView):
    """`/api/v1/admin/feature-flags`."""

    @extend_schema(
        operation_id="list_feature_flags",
        summary="Every feature flag and how it is set",
        responses={200: FlagListSerializer},
        tags=["admin"],
    )
    def get(self, request: Request) -> HttpResponse | Response:
        """All flags, those nobody set included: they are off."""
        refused = refusal_of(request, "accounts.view_featureflag")
        if refused is not None:
            return refused
        return Response(FlagListSerializer({"flags": [flag_facts(row) for row in feature_flags.all_flags()]}).data)

    @extend_schema(
        operation_id="set_feature_flag",
        summary="Set a feature flag",
        description="Takes effect in every process within a second. Kept in the audit log with your name and reason.",
        request=FlagChangeSerializer,
        responses={200: FlagSerializer},
        tags=["admin"],
    )
    def post(self, request: Request) -> HttpResponse | Response:
        """Switch one flag."""
        refused = refusal_of(request, "accounts.change_featureflag")
        if refused is not None:
            return refused
        form = FlagChangeSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        wish = form.validated_data
        setting = Setting(wish["is_enabled"], wish["percentage"], tuple(wish["subjects"]))
        try:
            row = feature_flags.set_flag(
                wish["name"], setting, actor=request.user.get_username(), reason=wish["reason"]
            )
        except AccountsError as error:
            return problem_response(error.code, detail=error.detail)
        return Response(FlagSerializer(flag_facts(row)).data)


class AllowlistView(StaffView):
    """`/api/v1/admin/allowlist`."""

    @extend_schema(
        operation_id="list_allowlist",
        summary="Wallets that were let in, newest first",
        parameters=[OpenApiParameter("cursor", str, description="`next_cursor` of the page before.")],
        responses={200: AllowlistPageSerializer},
        tags=["admin"],
    )
    def get(self, request: Request) -> HttpResponse | Response:
        """Entries, ended ones included."""
        refused = refusal_of(request, "accounts.view_allowlistentry")
        if refused is not None:
            return refused
        cursor = request.query_params.get("cursor", str(LAST_ID))
        if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 19):
            return problem_response("invalid_cursor")
        rows = AllowlistEntry.objects.filter(pk__lt=min(int(cursor), LAST_ID)).order_by("-id")
        found = list(rows[: PAGE_SIZE + 1])
        shown = found[:PAGE_SIZE]
        answer = {
            "entries": [entry_facts(row) for row in shown],
            "next_cursor": str(shown[-1].pk) if len(found) > PAGE_SIZE else None,
        }
        return Response(AllowlistPageSerializer(answer).data)

    @extend_schema(
        operation_id="change_allowlist",
        summary="Let wallets in, or take them off the list",
        description=f"At most {allowlist.BULK_MAX} addresses at once; what is no address is named in `invalid`.",
        request=AllowlistChangeSerializer,
        responses={200: AllowlistChangedSerializer},
        tags=["admin"],
    )
    def post(self, request: Request) -> HttpResponse | Response:
        """Change the list in bulk."""
        refused = refusal_of(request, "accounts.change_allowlistentry")
        if refused is not None:
            return refused
        form = AllowlistChangeSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        wish, actor = form.validated_data, request.user.get_username()
        try:
            if wish["action"] == "add":
                done = allowlist.add(
                    wish["addresses"], actor=actor, reason=wish["reason"], expires_at=wish["expires_at"]
                )
                changed = {"added": done.count, "removed": 0}
            else:
                done = allowlist.remove(wish["addresses"], actor=actor, reason=wish["reason"])
                changed = {"added": 0, "removed": done.count}
        except AccountsError as error:
            return problem_response(error.code, detail=error.detail)
        return Response(AllowlistChangedSerializer(changed | {"invalid": list(done.invalid)}).data)
