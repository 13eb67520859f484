from __future__ import annotations

import gc


def pytest_collection_finish() -> None:
    """The collector walks what tests make, not thousands of tests and their modules, which takes 0.15 s each time."""
    gc.collect()
    gc.freeze()
