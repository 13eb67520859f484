"""The Context's methods for job groups, tags and local properties of the program's threads, and cancelling by them."""

from __future__ import annotations

from typing import Any

from mpirdd.api.engine import Family
from mpirdd.protocol.errors import UsageError


class Jobs(Family):
    """The part of a Context that knows the threads' properties. Threads start with none (see ``InheritableThread``)."""

    def setJobGroup(self, groupId: str, description: str, interruptOnCancel: bool = False) -> None:
        """Put this thread's jobs from now on into a group, for cancelling together. Cancelling
        always interrupts tasks in ranks of their own, so ``interruptOnCancel`` makes no difference.
        """
        self._engine.requests.properties.update({"spark.jobGroup.id": groupId, "spark.job.description": description})

    def setJobDescription(self, value: str | None) -> None:
        """Describe this thread's jobs from now on."""
        self.setLocalProperty("spark.job.description", value)

    def setInterruptOnCancel(self, interruptOnCancel: bool) -> None:
        """Accepted: cancelling always interrupts."""

    def addJobTag(self, tag: str) -> None:
        """Tag this thread's jobs from now on."""
        _check_tag(tag)
        self._engine.requests.tags.add(tag)

    def removeJobTag(self, tag: str) -> None:
        """Remove a tag; a missing tag is no error."""
        _check_tag(tag)
        self._engine.requests.tags.discard(tag)

    def getJobTags(self) -> set[str]:
        """This thread's tags.

        >>> sc.addJobTag("a tag"); sc.getJobTags()
        {'a tag'}
        >>> sc.clearJobTags(); sc.getJobTags()
        set()
        """
        return set(self._engine.requests.tags)

    def clearJobTags(self) -> None:
        """Remove all of this thread's tags."""
        self._engine.requests.tags.clear()

    def setLocalProperty(self, key: str, value: str | None) -> None:
        """Set a property of this thread that its jobs' tasks can read; None removes it.

        >>> sc.setLocalProperty("color", "red"); sc.getLocalProperty("color")
        'red'
        >>> sc.setLocalProperty("color", None); sc.getLocalProperty("color") is None
        True
        """
        if value is None:
            self._engine.requests.properties.pop(key, None)
        else:
            self._engine.requests.properties[key] = value

    def getLocalProperty(self, key: str) -> str | None:
        """A property of this thread, or None."""
        return self._engine.requests.properties.get(key)

    def cancelJobGroup(self, groupId: str) -> None:
        """Cancel the running jobs of a group; the threads that wait for them get ``JobCancelled``."""
        self._engine.driver.cancel(lambda request: request.group == groupId)

    def cancelJobsWithTag(self, tag: str) -> None:
        """Cancel the running jobs that have a tag."""
        _check_tag(tag)
        self._engine.driver.cancel(lambda request: tag in request.tags)

    def cancelAllJobs(self) -> None:
        """Cancel all running jobs.

        >>> sc.cancelAllJobs()
        """
        self._engine.driver.cancel(lambda request: True)


def _check_tag(tag: Any) -> None:
    if not isinstance(tag, str) or not tag or "," in tag:
        raise UsageError(f"a job tag is a text without commas, and not empty; not {tag!r}")
