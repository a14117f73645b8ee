"""`/docs/guide/…`: the documents; `/docs/`: the API reference; both are plain HTML and need no script."""

from functools import cache
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from loa_site.guide.operations import Operation, Reference, reference_of
from loa_site.guide.pages import contents, pages
from loa_site.guide.rendering import html_of

FIRST_TRIED: Final = "operation-invoke"  # an unpaid one shows the terms


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """`/docs/guide/`: the contents."""
    return render(request, "guide/index.html", {"contents": contents()})


@require_safe
def page(request: HttpRequest, slug: str) -> HttpResponse:
    """`/docs/guide/{slug}`: one document."""
    found = pages().get(slug)
    if found is None:
        raise Http404
    return render(request, "guide/page.html", {"page": found, "body": _body_of(slug), "contents": contents()})


@require_safe
def picture(request: HttpRequest, name: str) -> HttpResponseBase:
    """`/docs/guide/pictures/{name}`: a drawing of the documents."""
    folder = Path(settings.BASE_DIR) / "docs" / "pictures"
    names = {path.name for path in folder.glob("*.svg")}
    if name not in names:
        raise Http404
    return FileResponse((folder / name).open("rb"), content_type="image/svg+xml")


@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    """`/docs/`: every operation of the API on one page."""
    return render(request, "guide/reference.html", {"reference": _reference(), "contents": contents()})


@require_safe
def try_requests(request: HttpRequest) -> HttpResponse:
    """`/docs/try/`: a form that sends a request from the browser; `?operation=` names the one that is chosen."""
    operations = {one.anchor: _typed(one) for _, tagged in _reference().tags for one in tagged}
    chosen = request.GET.get("operation", "")
    facts = {
        "reference": _reference(),
        "contents": contents(),
        "operations": operations,
        "chosen": chosen if chosen in operations else FIRST_TRIED,
    }
    return render(request, "guide/try.html", facts)


def _typed(operation: Operation) -> dict[str, Any]:
    """What the page's script needs of an operation."""
    return {
        "method": operation.method,
        "path": operation.path,
        "summary": operation.summary,
        "sample": operation.sample,
        "parameters": [
            {"name": one.name, "place": one.place, "required": one.is_required} for one in operation.parameters
        ],
    }


@cache
def _body_of(slug: str) -> str:
    return html_of(pages()[slug])


@cache
def _reference() -> Reference:
    from drf_spectacular.generators import SchemaGenerator

    document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return reference_of(document)
