"""Where browsers send their reports; mounted at the root of the site."""

from django.urls import path

from loa_site.security.csp_report import csp_report
from loa_site.security.policy import REPORT_PATH

urlpatterns = [path(REPORT_PATH.removeprefix("/"), csp_report, name="csp-report")]
