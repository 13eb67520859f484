"""The contract between a measured program and the harness: arguments in, one JSON report out. Apart
from the harness, so a program whose start-up is measured imports next to nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def program_arguments(*names: str) -> argparse.Namespace:
    """``names`` as positional whole numbers (``path`` and ``only`` as text), and ``report``, the file to write."""
    parser = argparse.ArgumentParser()
    for name in names:
        parser.add_argument(name, type=str if name in ("path", "only") else int)
    parser.add_argument("--report", required=True)
    return parser.parse_args()


def write_report(path: str, **values: Any) -> None:
    """Write ``values`` for the harness."""
    Path(path).write_text(json.dumps(values))
