from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from buckets import Published, serving_s3
from faultscenes import (
    LARGE,
    Scene,
    asset_scene,
    publish_faulty_assets,
    release_scene,
    stack_scene,
)


@pytest.fixture(scope="session")
def scenes(sample_url: str, published: Published) -> Iterator[Callable[[str], Scene]]:
    """What is fetched under faults, by name."""
    with serving_s3() as endpoint:
        made = publish_faulty_assets(endpoint)

        @cache
        def scene(name: str) -> Scene:
            return {
                "stack": lambda: stack_scene(sample_url),
                "release": lambda: release_scene(published),
                "asset": lambda: asset_scene(made),
                "large": lambda: asset_scene(made, LARGE),
            }[name]()

        yield scene


@pytest.fixture
def seeds(request: pytest.FixtureRequest) -> Callable[[str], Iterator[int]]:
    """Give the seeds of a test: one that is always the same, or as many as there is time for."""
    minutes: float = request.config.getoption("--faults-minutes")
    told: int | None = request.config.getoption("--faults-seed")

    def give(name: str) -> Iterator[int]:
        end = time.monotonic() + 60 * minutes
        seed = zlib.crc32(name.encode()) if told is None else told
        while True:
            if minutes and told is None:
                seed = time.time_ns() % (1 << 31)
            print(f"--faults-seed {seed}")  # noqa: T201 - pytest shows it where the test fails
            yield seed
            if told is not None or time.monotonic() >= end:
                return

    return give
