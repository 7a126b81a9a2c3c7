"""One small phantom for all tests of this room: making it costs a second."""

import pytest

from imaging.phantom.chest import PhantomCase, chest_phantom


@pytest.fixture(scope="session")
def phantom() -> PhantomCase:
    return chest_phantom(seed=11, shape=(48, 160, 160), spacing_mm=(3.0, 2.0, 2.0), nodule_count=6)
