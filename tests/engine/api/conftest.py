"""One served API for a module of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ...conftest import NewDatabase
from .served import Served, serving


@pytest.fixture(scope="module")
def api(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(new_database(tmp_path_factory.mktemp("api"))) as served:
        yield served
