"""The OpenAPI description is complete; what it allows, and much that it does not, is answered and never crashes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from library.config import Config
from oko.web.app import make_api
from oko.web.desk import JobDesk
from oko.web.serving import Serving, serving
from tests.oko import small_library
from tests.oko.web.test_jobs import Children

EXAMPLES = 20  # an operation: some ten seconds for all
CHECKS = (
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    children = Children()
    with pytest.MonkeyPatch.context() as patch:
        library = small_library.make(tmp_path_factory.mktemp("schema"), patch)
        with serving(library.folder, Config(upload_mb=1)) as found:
            found.jobs = JobDesk(library.folder, spawn=children.spawn)
            yield found
    children.close()


def operations_of(desk: Serving) -> list[Any]:
    # Behind the guard, which would refuse most of the hosts and sites that are made up.
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", make_api(desk))
    # A stream of events has no end while its job has none.
    wanted = schema.exclude(operation_id="follow_job")
    return [found.ok() for found in wanted.get_all_operations()]


def test_nothing_that_is_sent_crashes_the_server(desk: Serving, subtests: pytest.Subtests) -> None:
    # Not by schemathesis's own pytest plugin, which lags behind pytest.
    for operation in operations_of(desk):
        with subtests.test(operation.label):
            ask_of_everything(operation)


def ask_of_everything(operation: Any) -> None:
    modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
    for mode in modes:

        @settings(
            max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), derandomize=True, database=None
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def asked(case: Any) -> None:
            case.call_and_validate(checks=CHECKS)

        with contextlib.suppress(Unsatisfiable):  # nothing can be sent wrongly where nothing is sent
            asked()


def described(desk: Serving) -> dict[str, Any]:
    return make_api(desk).openapi()


def test_every_operation_is_described(desk: Serving) -> None:
    operations = [o for path in described(desk)["paths"].values() for o in path.values()]
    names = [o["operationId"] for o in operations]
    assert len(names) == len(set(names)) > 15
    assert all(o["description"] for o in operations)
    assert all("_api_" not in name for name in names), "made up from addresses"
    for operation in operations:
        error = operation["responses"]["403"]["content"]["application/json"]["schema"]
        assert error["$ref"].endswith("/ErrorAnswer")


def test_the_addresses_that_the_page_builds_on(desk: Serving) -> None:
    paths = described(desk)["paths"]
    wanted = {
        "/api/health", "/api/status", "/api/search", "/api/pictures", "/api/photos/{photo_id}", "/api/suggestions",
        "/api/photos/{photo_id}/thumbnail", "/api/photos/{photo_id}/preview", "/api/photos/{photo_id}/duplicates",
        "/api/photos/{photo_id}/tags/{name}", "/api/photos/{photo_id}/favourite", "/api/tags", "/api/folders",
        "/api/duplicates", "/api/jobs", "/api/jobs/{job_id}", "/api/jobs/{job_id}/events",
    }  # fmt: skip
    assert wanted <= set(paths)
