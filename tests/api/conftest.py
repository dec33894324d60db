"""The API in this process, on real services."""

from collections.abc import Iterator

import pytest

from testbench.adapters import db
from testbench.api.app import create_app
from tests.callers import Api
from tests.services import Env


@pytest.fixture
def api(bench_env: Env) -> Iterator[Api]:
    """Everything but the MQTT broker is real; there is none, and nothing to tell it."""
    bench_env.set(MQTT_URL="mqtt://127.0.0.1:1?auth=none")
    yield Api(create_app())
    db.engine().dispose()
