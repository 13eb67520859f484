"""Where the package's files are: the engine's modules, and the files that it brings along for users."""

from __future__ import annotations

import os

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The folder of the package ``mpirdd``."""
_ENGINE = PACKAGE + os.sep
_EXAMPLES = os.path.join(PACKAGE, "examples", "")


def is_engine(filename: str) -> bool:
    """Is this the file of one of the engine's modules? Messages point at the user's lines, not at the engine's.

    The examples in an installed package are programs, not the engine.
    """
    return filename.startswith(_ENGINE) and not filename.startswith(_EXAMPLES)


def companion(installed: str, in_clone: str) -> str:
    """The path of a folder: ``installed`` inside an installed package, ``in_clone`` beside the package in a clone."""
    path = os.path.join(PACKAGE, installed)
    return path if os.path.isdir(path) else os.path.join(os.path.dirname(PACKAGE), in_clone)


def page(name: str) -> str:
    """The path of a page of the documentation, as ``API.md``, for messages to users."""
    return os.path.join(companion("docs", "docs"), name)


def install_command(extra: str) -> str:
    """The command that installs the requirements of an extra of the package into this Python.

    No index has the package yet, so its name alone is not enough: the command names the clone that runs, or the place from
    which it was installed.
    """
    import shlex

    clone = os.path.dirname(PACKAGE)
    if os.path.isfile(os.path.join(clone, "pyproject.toml")):
        return f"python -m pip install -e {shlex.quote(f'{clone}[{extra}]')}"
    source = _installed_from()
    wanted = f"mpirdd[{extra}] @ {source}" if source else f"mpirdd[{extra}]"
    return f"python -m pip install {shlex.quote(wanted)}"


def _installed_from() -> str:
    """The address that pip noted at installation; empty for a package from an index."""
    import json
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        noted = json.loads(distribution("mpirdd").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError, OSError):
        return ""
    url, repository = str(noted.get("url", "")), noted.get("vcs_info", {}).get("vcs")
    return f"{repository}+{url}" if repository and url else url
