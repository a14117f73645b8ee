"""What the wheel holds, and that nothing in it needs what it leaves out."""

import re
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import run

PACKAGES = ("accounts", "billing", "outbound", "telemetry", "x402")
LEFT_OUT = ("loa_site", "inference", "nft", "waitlist", "tests", "contracts", "infra")
NAMED_TEMPLATE = re.compile(r"""["']([\w/]+\.html)["']""")
SETTINGS = """
SECRET_KEY = "only-for-this-test"
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    "django.contrib.messages", "django.contrib.staticfiles", "rest_framework",
    "telemetry", "outbound", "billing", "accounts", "x402",
]
MIDDLEWARE = [
    "telemetry.middleware.CorrelationMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]},
}]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "absent", "HOST": "127.0.0.1", "PORT": "1"}}
ROOT_URLCONF = "x402.urls"
STATIC_URL = "/static/"
USE_TZ = True
LOA = {"PAY_TO": "0x" + "ab" * 20, "RPC_URL": "http://127.0.0.1:1", "FACILITATOR_URL": "http://127.0.0.1:1"}
"""
SECOND_FACTOR = 'INSTALLED_APPS += ["django_otp", "django_otp.plugins.otp_totp", "django_otp.plugins.otp_static"]\n'
IMPORT_ALL = """
import importlib, pkgutil, sys
import django
django.setup()
for package in sys.argv[1:]:
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        importlib.import_module(module.name)
assert "loa_site" not in sys.modules
"""
LOAD_TEMPLATES = """
import sys
import django
django.setup()
from django.template.loader import get_template
for name in sys.argv[1:]:
    get_template(name)
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="session")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_there_is_one_wheel_for_every_platform_with_five_packages(wheel: Path, names: list[str]) -> None:
    tops = {name.partition("/")[0] for name in names if not name.partition("/")[0].endswith(".dist-info")}

    assert wheel.name == "loa_django-0.1.0-py3-none-any.whl"
    assert tops == set(PACKAGES)
    assert not [name for name in names if name.startswith(LEFT_OUT)]


def test_each_package_is_typed_and_brings_what_is_not_python(names: list[str]) -> None:
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    for suffix, least in ((".sql", 15), (".lua", 6), (".html", 8), (".css", 3), (".js", 1)):
        assert len([name for name in names if name.endswith(suffix)]) >= least, suffix


def test_no_template_of_ours_takes_the_place_of_a_projects_own(names: list[str]) -> None:
    templates = [name.partition("/templates/")[2] for name in names if "/templates/" in name]

    assert not {"base.html", "404.html", "500.html", "admin/base_site.html", "admin/base.html"} & set(templates)


@pytest.fixture
def project(environment: Path, tmp_path: Path) -> Path:
    (tmp_path / "shop_settings.py").write_text(SETTINGS)
    return tmp_path


def test_every_module_can_be_imported_without_the_site(environment: Path, project: Path) -> None:
    """With a second factor for staff installed, which some of them are about."""
    (project / "shop_settings.py").write_text(SETTINGS + SECOND_FACTOR)
    run(
        str(environment / "python"), "-c", IMPORT_ALL, *PACKAGES,
        folder=project, DJANGO_SETTINGS_MODULE="shop_settings", PYTHONPATH=str(project),
    )  # fmt: skip


def test_every_template_that_is_named_can_be_loaded(
    environment: Path, project: Path, wheel: Path, names: list[str]
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        texts = [archive.read(name).decode() for name in names if name.endswith((".py", ".html"))]
    named = sorted({template for text in texts for template in NAMED_TEMPLATE.findall(text)})

    assert "x402/paywall.html" in named
    run(
        str(environment / "python"), "-c", LOAD_TEMPLATES, *named,
        folder=project, DJANGO_SETTINGS_MODULE="shop_settings", PYTHONPATH=str(project),
    )  # fmt: skip


def test_a_projects_migrations_are_complete_whatever_its_keys_are_made_of(environment: Path, project: Path) -> None:
    (project / "shop_settings.py").write_text(SETTINGS + 'DEFAULT_AUTO_FIELD = "django.db.models.AutoField"\n')

    run(
        str(environment / "django-admin"), "makemigrations", "--check", "--dry-run", *PACKAGES,
        folder=project, DJANGO_SETTINGS_MODULE="shop_settings", PYTHONPATH=str(project),
    )  # fmt: skip


def test_the_checks_find_nothing_wrong_with_a_project_like_that(environment: Path, project: Path) -> None:
    printed = run(
        str(environment / "django-admin"), "check", "--fail-level", "WARNING",
        folder=project, DJANGO_SETTINGS_MODULE="shop_settings", PYTHONPATH=str(project),
    )  # fmt: skip

    assert "System check identified no issues" in printed
