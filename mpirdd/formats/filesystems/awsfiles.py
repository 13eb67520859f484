"""What ``~/.aws/credentials`` and ``~/.aws/config`` say of a profile: that of ``AWS_PROFILE``, or the default one."""

from __future__ import annotations

import os


def profile() -> dict[str, str]:
    """All of it, by the names of AWS's files; what the file of credentials says counts first."""
    return _section("AWS_CONFIG_FILE", "~/.aws/config", "profile ") | _section(
        "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", "")


def _section(variable: str, usual: str, prefix: str) -> dict[str, str]:
    path = os.environ.get(variable) or os.path.expanduser(usual)
    if not os.path.exists(path):
        return {}
    from configparser import ConfigParser, Error

    parser = ConfigParser(interpolation=None)
    try:
        parser.read(path)
    except (OSError, Error):
        return {}
    name = os.environ.get("AWS_PROFILE", "default")
    section = name if name == "default" else prefix + name
    return dict(parser.items(section)) if parser.has_section(section) else {}
