from __future__ import annotations

import pytest
from sites import NotHere, Site, site


@pytest.fixture(params=["openmpi4", "mpich4", "intel"])
def mpi(request: pytest.FixtureRequest) -> Site:
    try:
        return site(request.param)
    except NotHere as reason:
        pytest.skip(str(reason))
