"""That the embedded Postgres keeps its data, has its two roles, and refuses folders it cannot trust."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from loa_site.local import ports, process
from loa_site.local.errors import LocalStackError
from loa_site.local.postgres import Postgres, outside_home

PASSWORDS = {"loa_admin": "a" * 32, "loa_owner": "b" * 32, "loa_app": "c" * 32}


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    """A server with passwords over a folder of its own, which only root may enter when the tests run as root."""
    server = Postgres(tmp_path / "database", ports.free_port(), dict(PASSWORDS))
    yield server
    server.stop()
    shutil.rmtree(outside_home(tmp_path / "database"), ignore_errors=True)


@pytest.mark.slow
def test_data_survives_a_restart_and_an_interrupted_first_start(postgres: Postgres) -> None:
    unfinished = outside_home(postgres.folder) / "postgres.unfinished"
    unfinished.mkdir(parents=True, exist_ok=True)
    (unfinished / "half").write_text("written")
    postgres.start()
    postgres.create_database("kept")
    postgres.stop()

    postgres.start()

    assert "kept" in postgres.databases()
    assert not unfinished.exists()


@pytest.mark.slow
def test_each_role_needs_its_password_and_the_application_may_not_create_tables(postgres: Postgres) -> None:
    postgres.start()
    postgres.create_database("loa")

    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres.url("loa", role="loa_app").replace("c" * 32, "wrong"))
    with (
        psycopg.connect(postgres.url("loa", role="loa_app")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("CREATE TABLE ours (id int)")
    with psycopg.connect(postgres.url("loa", role="loa_owner")) as connection:
        connection.execute("CREATE TABLE ours (id int)")


@pytest.mark.slow
def test_an_incomplete_data_folder_is_refused_with_the_way_out(postgres: Postgres) -> None:
    postgres.start()
    home = postgres.folder if (postgres.folder / "postgres").exists() else outside_home(postgres.folder)
    postgres.stop()
    (home / "postgres" / "PG_VERSION").unlink()

    with pytest.raises(LocalStackError, match="is incomplete") as refusal:
        postgres.start()

    assert "make reset" in refusal.value.way_out
    assert postgres.record is None or not process.stop(postgres.record)
