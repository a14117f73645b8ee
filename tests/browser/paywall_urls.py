"""Paid pages beside the site's own, for a browser to buy."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from loa_site.urls import urlpatterns as of_the_site
from x402.paywall import requires_payment


@requires_payment(price="$0.01", description="Tomorrow's weather, for one place")
def forecast(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"tomorrow": "sunny", "paid_by": request.x402.payer})


@requires_payment(price="$0.25", description="A letter to read", mime_type="text/html")
def letter(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<!DOCTYPE html><html lang=en><title>A letter</title><h1>Dear reader</h1></html>")


@requires_payment(price=1, description="A picture")
def picture(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"GIF89a", content_type="image/gif")


urlpatterns = [
    path("paid/forecast", forecast),
    path("paid/letter", letter),
    path("paid/picture", picture),
    *of_the_site,
]
