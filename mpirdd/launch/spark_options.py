"""The options of ``spark-submit``, for the command lines and habits that people bring along.

An option that means a key of a Conf becomes that key (``--name`` is ``spark.app.name``), as in Spark. All keys travel to the
ranks in one variable, and each ``Conf`` there begins with them (``api/conf.py``). The first of these wins: the program's own
settings, an option, ``--conf``, ``--properties-file``.

mpirdd accepts options about machines that do not exist here; a line for each says what happens instead.
"""

from __future__ import annotations

import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping

from mpirdd.api.conf import SUBMITTED, Conf, paths_of, submitted
from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.settings import parse_setting

_KEYS = {
    "--name": ("spark.app.name", "NAME", "the program's name, as logs show it"),
    "--executor-memory": ("spark.executor.memory", "SIZE", "as --memory"),
    "--num-executors": ("spark.executor.instances", "N", "as -n N+1: the driver is a rank, too"),
    "--executor-cores": ("spark.executor.cores", "N", "N executors of one core in the place of each"),
    "--total-executor-cores": ("spark.cores.max", "N", "as -n N+1: each executor has one core"),
    "--py-files": ("spark.submit.pyFiles", "PATHS", ".py, .zip and .egg files to import, with commas between them"),
    "--files": ("spark.files", "PATHS", "files for SparkFiles.get, with commas between them"),
    "--archives": ("spark.archives", "PATHS", "archives to unpack for SparkFiles.get: data.zip#name,..."),
    "--driver-memory": ("spark.driver.memory", "SIZE", "accepted: rank 0 holds results alone, which --max-result bounds"),
}
_LISTS = ("spark.submit.pyFiles", "spark.files", "spark.archives")
_FROM_RANKS = "mpirun or Slurm start the ranks; -n says how many"
_WITHOUT_EFFECT = {
    "--master": _FROM_RANKS,
    "--deploy-mode": "the driver is rank 0, on the host where the run starts; `mpirdd submit` sends all of it to Slurm",
    "--packages": "there is no JVM to load them; pip install what the program imports",
    "--repositories": "there is no JVM to load packages",
    "--exclude-packages": "there is no JVM to load packages",
    "--jars": "there is no JVM to load them",
    "--class": "there is no JVM; the program is a Python file",
    "--driver-class-path": "there is no JVM",
    "--driver-java-options": "there is no JVM",
    "--driver-library-path": "there is no JVM",
    "--driver-cores": "the driver is one process with one core",
    "--queue": "`mpirdd submit --partition NAME` chooses a partition of Slurm",
    "--principal": "file systems take their credentials from the environment",
    "--keytab": "file systems take their credentials from the environment",
    "--proxy-user": "all ranks run as you",
}


def add_options(parser: ArgumentParser) -> None:
    """Give a parser these options."""
    group = parser.add_argument_group("as in spark-submit")
    group.add_argument("--conf", action="append", default=[], metavar="KEY=VALUE", help="a key of the program's Conf")
    group.add_argument("--properties-file", metavar="FILE", help="a file of such keys, as spark-defaults.conf; --conf wins")
    for option, (_, metavar, text) in _KEYS.items():
        group.add_argument(option, metavar=metavar, help=text)
    group.add_argument("--verbose", action="store_true", help="accepted: --log-level INFO says more")
    group.add_argument("--supervise", action="store_true", help="accepted: lost executors are survived in any case")
    for option in _WITHOUT_EFFECT:
        group.add_argument(option, metavar="...", help="accepted, with a line that says why it has no effect")


def conf_of(options: Namespace) -> dict[str, str]:
    """The keys that the options give.

    Raises:
        UsageError: a word of --conf is no KEY=VALUE, a file is not there, or a value makes no sense.
    """
    keys = _properties(options.properties_file) if options.properties_file else {}
    for word in options.conf:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--conf {word}: it must be KEY=VALUE, as in --conf spark.default.parallelism=8")
        keys[key.strip()] = value
    for option, (key, _, _) in _KEYS.items():
        value = getattr(options, option[2:].replace("-", "_"))
        if value is not None:
            keys[key] = value
    for key in _LISTS:
        for path in paths_of(keys.get(key, "")):
            _check_path(key, path)
    for key, value in keys.items():
        for name, text in Conf(False).set(key, value).settings().items():
            parse_setting(name.removeprefix("MPIRDD_").lower(), text, _shown(key, keys, options))
    return keys


def variable(keys: Mapping[str, str]) -> dict[str, str]:
    """The environment variable that brings ``keys`` to all ranks; none if there are no keys."""
    if not keys:
        return {}
    import json

    return {SUBMITTED: json.dumps(keys)}


def ranks_of(keys: Mapping[str, str], given: int | None) -> int | None:
    """The number of ranks that the keys ask for; ``given`` if they ask for none.

    Raises:
        UsageError: a number is no whole number above 0, or disagrees with ``given`` (of -n).
    """
    total, instances = _number(keys, "spark.cores.max"), _number(keys, "spark.executor.instances")
    if total is None and instances is not None:
        total = instances * (_number(keys, "spark.executor.cores") or 1)
    if total is None:
        return given
    if given is not None and given != total + 1:
        raise UsageError(f"-n {given} are {given - 1} executors and the driver, and the options of spark-submit ask for {total} "
                         "executors; give only one of them")
    return total + 1


def remarks(options: Namespace) -> list[str]:
    """A line for each option that has no effect, which says what happens instead."""
    given = [(option, getattr(options, option[2:].replace("-", "_"))) for option in _WITHOUT_EFFECT]
    said = [f"{option} {value} has no effect: {_WITHOUT_EFFECT[option]}" for option, value in given if value is not None]
    if options.driver_memory is not None:
        said.append(f"--driver-memory {options.driver_memory} has no effect: rank 0 holds results alone, which --max-result "
                    "bounds")
    return said


def importable() -> list[str]:
    """The local folders and archives of ``--py-files``, for the driver's ``sys.path``. (``Context`` sends all files.)"""
    paths = [os.path.abspath(path) for path in paths_of(submitted().get("spark.submit.pyFiles", "")) if "://" not in path]
    return list(dict.fromkeys(os.path.dirname(path) if path.endswith(".py") else path for path in paths))


def _shown(key: str, keys: Mapping[str, str], options: Namespace) -> str:
    """A key as the user has typed it."""
    named = next((option for option, (of, _, _) in _KEYS.items() if of == key), None)
    if named is not None and getattr(options, named[2:].replace("-", "_")) is not None:
        return named
    given = any(word.partition("=")[0].strip() == key for word in options.conf)
    return f"--conf {key}" if given else f"{key} in {options.properties_file}"


def _check_path(key: str, path: str) -> None:
    bare = path.rpartition("#")[0] if key == "spark.archives" and "#" in path and not os.path.lexists(path) else path
    if "://" not in bare and not os.path.exists(bare):
        option = next(option for option, (of, _, _) in _KEYS.items() if of == key)
        raise UsageError(f"{option}: no such file: {bare}")


def _number(keys: Mapping[str, str], key: str) -> int | None:
    text = keys.get(key)
    if text is None:
        return None
    if not text.strip().isdecimal() or int(text) < 1:
        option = next(option for option, (of, _, _) in _KEYS.items() if of == key)
        raise UsageError(f"{option} ({key}) must be a whole number above 0, not {text!r}")
    return int(text)


def _properties(path: str) -> dict[str, str]:
    """The keys of a file like ``spark-defaults.conf``. A line has a key, blanks, = or :, and a value; # begins a comment line."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--properties-file {path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    keys = {}
    for number, line in enumerate(lines, 1):
        if line and not line.startswith(("#", "!")):
            found = re.fullmatch(r"([^\s=:]+)\s*(?:[=:]|\s)\s*(.*)", line)
            if found is None:
                raise UsageError(f"{path}, line {number}: {line!r} has a key and no value")
            keys[found[1]] = found[2]
    return keys
