"""The job groups, tags and local properties of the program's threads, from which jobs are requested."""

from __future__ import annotations

from collections.abc import Callable
from threading import local

from mpirdd.driver.results import Request


class Requests:
    """Of one Context. Each thread begins without any (see ``InheritableThread``)."""

    def __init__(self) -> None:
        self._thread = local()

    @property
    def properties(self) -> dict[str, str]:
        """The local properties of this thread."""
        properties: dict[str, str] = self._thread.__dict__.setdefault("properties", {})
        return properties

    @property
    def tags(self) -> set[str]:
        """The job tags of this thread."""
        tags: set[str] = self._thread.__dict__.setdefault("tags", set())
        return tags

    def current(self) -> Request:
        """This thread's properties as they are now, for a job."""
        return Request(self.properties.get("spark.jobGroup.id"), frozenset(self.tags), dict(self.properties))

    def inheritance(self) -> Callable[[], None]:
        """Gives the calling thread this thread's present properties and tags."""
        properties, tags = dict(self.properties), set(self.tags)

        def inherit() -> None:
            self.properties.update(properties)
            self.tags.update(tags)

        return inherit
