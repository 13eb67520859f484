"""A folder on a store, as tests look at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mpirdd.formats.filesystems import FileSystem, Options, filesystem_of, join, name_of


@dataclass
class Store:
    url: str
    given: Mapping[str, str]
    """``storage_options``."""
    options: Options = field(init=False)

    def __post_init__(self) -> None:
        self.options = Options.of(self.given or None)

    @property
    def fs(self) -> FileSystem:
        return filesystem_of(self.url, self.options)

    def path(self, *names: str) -> str:
        return join(self.url, *names)

    def names(self, *folder: str) -> list[str]:
        """What is in a folder; nothing if it is not there."""
        path = self.path(*folder)
        return [] if self.fs.info(path) is None else [name_of(each.path) for each in self.fs.entries(path)]

    def text(self, *names: str) -> str:
        return self.fs.read_range(self.path(*names), 0, 1 << 20).decode()

    def write(self, text: str, *names: str) -> None:
        with self.fs.create(self.path(*names)) as file:
            file.write(text.encode())

    def unfinished(self) -> int:
        """Uploads below the folder that were neither completed nor aborted."""
        return len(self.fs.uploads.pending(self.url)) if self.fs.uploads else 0
