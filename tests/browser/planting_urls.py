"""The site, and a page of it with a script in it that its author did not write."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from loa_site.public_pages import landing
from loa_site.urls import handler400, handler403, handler404, handler500
from loa_site.urls import urlpatterns as site

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]


def planted(request: HttpRequest) -> HttpResponse:
    """The first page as somebody who could write into it would leave it."""
    answer = landing(request)
    answer.content = answer.content.replace(b"</body>", b"<script>window.ran = true</script></body>")
    return answer


urlpatterns = [*site, path("planted", planted)]
