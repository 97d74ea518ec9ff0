"""One PostgreSQL for a pytest process, started by the first test that asks for it."""

from collections.abc import Iterator

import pytest

from tests.servers.postgresql import Postgres, running_postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """The server that tests share: stop or starve another one."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres(postgres_server: Postgres) -> str:
    """The URL of a fresh database."""
    return postgres_server.fresh()
