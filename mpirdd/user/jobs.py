"""Who asks for a job: groups, tags and local properties of the program's threads, and cancelling by them."""

from __future__ import annotations

from collections.abc import Callable
from threading import local
from typing import Any

from mpirdd.roles.driver import Driver, Request
from mpirdd.words.errors import UsageError


class Jobs:
    """The part of a Context that knows the threads' properties. Threads start with none (see ``InheritableThread``)."""

    _driver: Driver

    def __init__(self) -> None:
        self._thread = local()

    def setJobGroup(self, groupId: str, description: str, interruptOnCancel: bool = False) -> None:
        """Put the jobs that this thread asks for from now on into a group, to be cancelled together.

        Cancelling always interrupts tasks that are running in ranks of their own, so ``interruptOnCancel``
        makes no difference.
        """
        self._properties.update({"spark.jobGroup.id": groupId, "spark.job.description": description})

    def setJobDescription(self, value: str | None) -> None:
        """Describe the jobs that this thread asks for from now on."""
        self.setLocalProperty("spark.job.description", value)

    def setInterruptOnCancel(self, interruptOnCancel: bool) -> None:
        """Accepted: cancelling always interrupts."""

    def addJobTag(self, tag: str) -> None:
        """Tag the jobs that this thread asks for from now on."""
        self._check_tag(tag)
        self._tags.add(tag)

    def removeJobTag(self, tag: str) -> None:
        """Remove a tag; one that is not there is no error."""
        self._check_tag(tag)
        self._tags.discard(tag)

    def getJobTags(self) -> set[str]:
        """This thread's tags.

        >>> sc.addJobTag("a tag"); sc.getJobTags()
        {'a tag'}
        >>> sc.clearJobTags(); sc.getJobTags()
        set()
        """
        return set(self._tags)

    def clearJobTags(self) -> None:
        """Remove all of this thread's tags."""
        self._tags.clear()

    def setLocalProperty(self, key: str, value: str | None) -> None:
        """Set a property of this thread that its jobs' tasks can read; None removes it.

        >>> sc.setLocalProperty("color", "red"); sc.getLocalProperty("color")
        'red'
        >>> sc.setLocalProperty("color", None); sc.getLocalProperty("color") is None
        True
        """
        if value is None:
            self._properties.pop(key, None)
        else:
            self._properties[key] = value

    def getLocalProperty(self, key: str) -> str | None:
        """A property of this thread, or None."""
        return self._properties.get(key)

    def cancelJobGroup(self, groupId: str) -> None:
        """Cancel the running jobs of a group; the threads that wait for them get ``JobCancelled``."""
        self._driver.cancel(lambda request: request.group == groupId)

    def cancelJobsWithTag(self, tag: str) -> None:
        """Cancel the running jobs that have a tag."""
        self._check_tag(tag)
        self._driver.cancel(lambda request: tag in request.tags)

    def cancelAllJobs(self) -> None:
        """Cancel everything that is running.

        >>> sc.cancelAllJobs()
        """
        self._driver.cancel(lambda request: True)

    @property
    def _properties(self) -> dict[str, str]:
        properties: dict[str, str] = self._thread.__dict__.setdefault("properties", {})
        return properties

    @property
    def _tags(self) -> set[str]:
        tags: set[str] = self._thread.__dict__.setdefault("tags", set())
        return tags

    def _request(self) -> Request:
        """This thread's properties as they are now, for a job."""
        return Request(self._properties.get("spark.jobGroup.id"), frozenset(self._tags), dict(self._properties))

    def _inheritance(self) -> Callable[[], None]:
        """Gives the thread that calls it what this thread's properties and tags are now."""
        properties, tags = dict(self._properties), set(self._tags)

        def inherit() -> None:
            self._properties.update(properties)
            self._tags.update(tags)

        return inherit

    @staticmethod
    def _check_tag(tag: Any) -> None:
        if not isinstance(tag, str) or not tag or "," in tag:
            raise UsageError(f"a job tag is a text without commas, and not empty; not {tag!r}")
