"""The libraries that read and write formats, imported when a program first meets such a file."""

from __future__ import annotations

import importlib
from typing import Any

from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.package import install_command

_EXTRA = "formats"


def library(module: str, purpose: str) -> Any:
    """The module of this name.

    Args:
        purpose: what needs it, such as "a Parquet file", for the message.

    Raises:
        UsageError: it is not installed here, or does not load.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise UsageError(
            f"{purpose} needs the package {package}, which cannot be imported here ({error}): "
            f"{install_command(_EXTRA)}, on every host"
        ) from error
