"""Java programs from Maven's jars that answer a line on stdout for each line on stdin, and end with stdin.

    jars = fetched(pom, folder / "jars")
    with Jvm(["-cp", f"{jars}/*", "Program.java"], folder / "log") as program:
        program.ask("do", "this")

The tests' HDFS and the benchmarks' Hadoop are such programs.
"""

from __future__ import annotations

import select
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
FETCHED_WITHIN_S = 300.0
END_S = 20.0
_LOG_CHARACTERS = 2000
"""The end of a log that an error shows."""


class NoJars(Exception):
    """Maven cannot get the jars; the message says why."""


class JvmEnded(RuntimeError):
    """The program has ended, or takes too long to answer; the message has the end of its log."""


def missing_programs(names: Iterable[str] = ("java", "javac", "mvn")) -> str | None:
    """What is missing on this machine, and how to install it."""
    missing = [name for name in names if shutil.which(name) is None]
    return f"no {', '.join(missing)}: apt-get install default-jdk-headless maven" if missing else None


def fetched(pom: Path, into: Path) -> Path:
    """The folder with the jars that ``pom`` names. Maven downloads them once. Raises NoJars."""
    words = ["mvn", "-q", "-B", "-f", str(pom), COPY, f"-DoutputDirectory={into}", "-DincludeScope=runtime"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=FETCHED_WITHIN_S, check=False)
    except subprocess.TimeoutExpired as late:
        raise NoJars(f"Maven takes more than {FETCHED_WITHIN_S:g} s to get Hadoop's jars") from late
    if done.returncode:
        raise NoJars(f"Maven cannot get Hadoop's jars: {done.stdout[-1000:]}")
    return into


class Jvm:
    """A running program.

    Args:
        words: for ``java``: options, class path, class, arguments.
        log: where its stderr goes.
        inside: the words of a command line that run a command elsewhere (in a network namespace).
        folder: where it runs.
    """

    def __init__(
        self, words: Iterable[object], log: Path, *, inside: Sequence[str] = (), folder: Path | None = None
    ) -> None:
        self.log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [*inside, "java", *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output,
                cwd=folder, text=True, start_new_session=True)
        self.pid = self._process.pid

    def __enter__(self) -> Jvm:
        return self

    def answer(self, timeout_s: float | None = None) -> str:
        """Its next line. Raises JvmEnded."""
        assert self._process.stdout is not None
        # One answer is read whole before the next is asked for, so nothing waits in Python's own buffer.
        if timeout_s is not None and not select.select([self._process.stdout], [], [], timeout_s)[0]:
            raise JvmEnded(f"no answer for {timeout_s:g} s: {self._end_of_log()}")
        line = self._process.stdout.readline()
        if not line:
            raise JvmEnded(f"the Java program has ended: {self._end_of_log()}")
        return line.strip()

    def ask(self, *words: object, timeout_s: float | None = None) -> str:
        """What it answers to a command, after ``ok``. Raises RuntimeError for another answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(" ".join(map(str, words)) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise JvmEnded(f"the Java program has ended: {self._end_of_log()}") from error
        answer = self.answer(timeout_s)
        if not answer.startswith("ok"):
            raise RuntimeError(f"{words}: {answer}")
        return answer[3:]

    def _end_of_log(self) -> str:
        return self.log.read_text(errors="replace")[-_LOG_CHARACTERS:]

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ask it to end, by the end of its stdin; kill it if it has not after 20 s."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
