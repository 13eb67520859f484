"""The MPIs of sites, each in a private folder: Debian's Open MPI 4.1 and MPICH 4.0, and Intel's from PyPI.

Nothing is installed, so no other suite meets them: packages are downloaded with the system's own tools and unpacked into
``.sites`` in the clone. mpi4py's wheel loads each, as all three have one of the two binary interfaces that it knows.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".sites"
_DEBIAN = [
    "openmpi-bin", "openmpi-common", "libopenmpi3", "mpich", "libmpich12", "libpmix2", "libslurm38", "libhwloc15",
    "libevent-core-2.1-7", "libevent-pthreads-2.1-7", "libfabric1", "libucx0", "libpsm2-2", "libpsm-infinipath1", "libibverbs1",
    "librdmacm1", "libnl-3-200", "libnl-route-3-200", "libltdl7", "libnuma1"]
_INTEL = "impi-rt>=2021.13"
_DOWNLOAD_S = 120


class NotHere(Exception):
    """Why a site's MPI cannot be had on this machine."""


@dataclass(frozen=True)
class Site:
    """An MPI that is not the environment's own."""

    name: str
    kind: str
    """As ``mpirdd doctor`` names it."""
    mpirun: Path
    variables: dict[str, str]
    """As ``module load`` would set them; here also for packages that lie in another place than they were built for."""


def site(name: str) -> Site:
    """Fetch and unpack a site's MPI, once a clone. Raises NotHere."""
    make = {"openmpi4": _open_mpi, "mpich4": _mpich, "intel": _intel}[name]
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    with open(FOLDER / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side
        return make()


def _open_mpi() -> Site:
    root = _unpacked("debian", _debian)
    libraries = root / "usr/lib/x86_64-linux-gnu"
    return Site("openmpi4", "Open MPI", root / "usr/bin/mpirun.openmpi", {
        "LD_LIBRARY_PATH": f"{libraries}:{libraries}/openmpi/lib:{root}/lib/x86_64-linux-gnu",
        "MPI4PY_LIBMPI": f"{libraries}/libmpi.so.40", "OPAL_PREFIX": f"{libraries}/openmpi",
        "OPAL_LIBDIR": f"{libraries}/openmpi/lib", "OPAL_PKGDATADIR": f"{root}/usr/share/openmpi",
        "OMPI_MCA_mca_base_component_show_load_errors": "0", "PMIX_MCA_pcompress_base_silence_warning": "1"})


def _mpich() -> Site:
    root = _unpacked("debian", _debian)
    libraries, named = root / "usr/lib/x86_64-linux-gnu", root / "mpich"
    named.mkdir(exist_ok=True)
    link = named / "libmpi.so.12"  # the name of MPICH's binary interface, by which the wheel knows it; Debian's is another
    if not link.is_symlink():
        link.symlink_to(libraries / "libmpich.so.12")
    return Site("mpich4", "MPICH", root / "usr/bin/mpirun.mpich", {
        "LD_LIBRARY_PATH": f"{named}:{libraries}:{libraries}/slurm-wlm:{root}/lib/x86_64-linux-gnu", "MPI4PY_LIBMPI": str(link)})


def _intel() -> Site:
    root = _unpacked("intel", _pypi)
    return Site("intel", "Intel MPI", root / "bin/mpirun", {
        "I_MPI_ROOT": str(root), "LD_LIBRARY_PATH": f"{root}/lib", "MPI4PY_LIBMPI": f"{root}/lib/libmpi.so.12"})


def _unpacked(name: str, fetch: Callable[[Path], None]) -> Path:
    whole = FOLDER / name
    if not whole.is_dir():
        unfinished = FOLDER / f"{name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        fetch(unfinished)
        unfinished.rename(whole)
    return whole


def _debian(root: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None or os.uname().machine != "x86_64":
        raise NotHere("wants Debian on x86_64, for its packages of Open MPI and MPICH")
    packages = root / "packages"
    packages.mkdir()
    _run(["apt-get", "download", *_DEBIAN], packages)
    for package in sorted(packages.glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(root)], root)
    shutil.rmtree(packages)


def _pypi(root: Path) -> None:
    if os.uname().machine != "x86_64":
        raise NotHere("Intel MPI wants x86_64")
    _run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", str(root),
          _INTEL], root)
    wheel = next(root.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            _, _, inside = member.partition(".data/data/")
            if inside.startswith(("bin/", "lib/", "etc/", "opt/")) and not inside.startswith("bin/IMB"):
                (root / inside).parent.mkdir(parents=True, exist_ok=True)
                (root / inside).write_bytes(archive.read(member))
                (root / inside).chmod(0o700)
    wheel.unlink()


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_DOWNLOAD_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotHere(f"{command[0]} does not work: {error}") from error
    if done.returncode:
        raise NotHere(f"{' '.join(command[:3])} ...: {done.stderr.strip()[-300:]}")
