"""How the calls of a Context reach file systems: what a call says, over what the Conf says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpirdd.api import hadoopkeys
from mpirdd.api.conf import Conf
from mpirdd.api.engine import Family
from mpirdd.formats.filesystems import Options


class ReachesFiles(Family):
    """The part of a Context that its readers and shippers of files share."""

    _conf: Conf

    def _storage(self, given: Mapping[str, Any] | None) -> Options:
        """The options of a call with these ``storage_options``.

        Raises:
            InvalidType: they are no dict.
        """
        return Options.of(given, hadoopkeys.filesystems(self._conf.getAll()))
