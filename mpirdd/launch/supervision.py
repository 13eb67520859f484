"""Watches over mpirun: runs it to its end, or to ours, and reports a lost rank in one plain line.

We cannot trust mpirun alone with a run. After the death of a rank, the driver or a host, it may go on for ever, end with exit
code 0, or print a page that buries the one line that matters. So a guard looks every 0.2 s. It ends the run when the driver
has died, when a rank has died before there is a world that could notice it, and when the driver has finished but mpirun does
not end.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from select import select
from threading import Event, Thread
from time import monotonic
from types import FrameType

from mpirdd.launch.status_channel import StatusChannel, die_with_parent
from mpirdd.launch.terminal import terminal_restored
from mpirdd.observe.endings import lives
from mpirdd.protocol.errors import ClusterError

_LOOK_S, _FIRST_LOOKS_S, _LOOK_AT_ONE_S, _FIRST_S = 0.2, 0.02, 0.001, 10.0
"""A rank that ends soon must have been seen before: its stack and its exit status cannot be had later. With MPICH programs
begin 0.1 s after their process."""
_PATIENCE_S = (1.5, 1.0)
"""How long mpirun, and then the kernel, may take to end the run, after the driver's ``grace_s``. Less than 5 s in all."""
_SILENCE_S = 0.2
"""How long to keep back a text that may begin a page of mpirun's."""
_LINGER_S = 8.0
"""mpirun may take this long to end once the driver has finished."""

_RULE = re.compile(r"^(-{50,}|={50,})$")
"""Stands above and below a page of explanations."""
_NOISE = re.compile(
    r"^\[\S+:\d+\] PMIX ERROR: PMIX_ERR_UNREACH |^\[\S+:\d+\] pmix_ptl_base: send_msg: write failed: |"
    r"^\[warn\] Epoll |plm:ssh: Warning: setpgid|^YOUR APPLICATION TERMINATED WITH|^This typically refers to a problem|"
    r"^Please see the FAQ page|^Abort is in progress"
)
"""Lines outside of pages that mpiruns print when a rank or a host is lost."""
_GISTS = (
    re.compile(r"process rank (?P<rank>\d+) with PID \d+ on node (?P<host>\S+)\s+exited on\s+signal (?P<signal>\d+)"),
    re.compile(r"PID (?P<pid>\d+) RUNNING AT (?P<host>\S+)\s+=\s+EXIT CODE: (?P<signal>\d+)"),
    re.compile(r"PID (?P<pid>\d+) RUNNING AT (?P<host>\S+)\s+=\s+KILLED BY SIGNAL: (?P<signal>\d+)"),  # Intel MPI
    re.compile(r"lost communication with a remote daemon.*Remote daemon\s*: \S+ on node (?P<host>\S+)", re.S),
    re.compile(r"A daemon failed to report back.*Remote host:\s+(?P<host>\S+)", re.S),
    re.compile(r"one or more processes exited with non-zero"),
    re.compile(r"Primary job\s+terminated normally, but \d+ process"),  # Open MPI 4, before the page about the rank
    # scancel sends SIGTERM (143 << 8) to all that belongs to a job, mpirun's daemons too; Slurm's own line says so.
    re.compile(r"srun returned non-zero exit status \((36608|15)\)"),
)
"""One line of ours replaces pages about these. All other pages are passed on."""
_MPICH_PROXY = "hydra_pmi_proxy"
_FOR_A_SHELL = (signal.SIGINT, signal.SIGWINCH)
"""The driver of an interactive run is not in the session of its terminal. The launcher is: it gets Ctrl-C and changes of size,
and passes them on."""


@dataclass(frozen=True, slots=True)
class End:
    """How a run has ended."""

    code: int
    """The exit code of the program; if the program did not end by itself, another code than 0."""
    lost: bool = False
    """The program did not end by itself, and nobody asked the run to end."""
    why: str = ""
    """If the run was lost: what has happened, and what to do."""
    stack: str = ""
    """The Python stack of the rank that ``why`` names, as lines; "" if it is not known."""
    host: str = ""
    """The host that was lost with mpirun's daemon on it; "" if it was another loss."""
    began: bool = True
    """The ranks had formed a world."""


class _StopRequested(BaseException):
    """A signal has told us to end. Raised wherever the main thread was waiting."""

    def __init__(self, number: int) -> None:
        self.number = number


def supervise(
    command: Sequence[str],
    environment: Mapping[str, str],
    channel: StatusChannel,
    *,
    ranks: int,
    recovers: bool,
    grace_s: float,
    interactive: bool = False,
) -> End:
    """Run mpirun to its end.

    Passes SIGUSR2 on to the driver. When another signal says to end, gives the program ``grace_s`` seconds to save and clean up.

    Args:
        ranks: the number of ranks that mpirun starts.
        recovers: the run goes on when ranks are lost.
        interactive: the driver is a shell or a notebook's kernel: it gets Ctrl-C, and the run goes on.

    Raises:
        ClusterError: mpirun does not start.
    """
    child: subprocess.Popen[bytes] | None = None
    with terminal_restored(), _stop_signals_raised():
        try:
            near = not channel.driver_is_far
            # A session of its own, so that Ctrl-C on the terminal comes to us alone.
            child = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL if near else None,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=_end_mpirun_with_us,
            )
            channel.note_mpirun(child.pid)
            words = _Words(child, all_ours=near)
            guard = _Guard(child, channel, ranks)
            channel.lend_streams()
            with ExitStack() as passing:
                for number in (signal.SIGUSR2, *(_FOR_A_SHELL if interactive else ())):
                    passing.enter_context(_passing_on(number, child, channel))
                code = child.wait()
            guard.over.set()
            words.finish()
        except _StopRequested as stop:
            if child is not None:
                _end(child, stop.number, channel.driver_pid, grace_s)
            told = channel.exit_code()  # 143 may come from our SIGTERM, whatever signal it was that we got
            return End(128 + stop.number if told in (None, 128 + signal.SIGTERM) else told)
        except OSError as error:
            raise ClusterError(f"{command[0]} does not start: {error}") from error
    told = channel.exit_code()
    gist = next((found.groupdict() for pattern in _GISTS if (found := pattern.search(words.said))), None)
    ended_by_mpirun = told == 128 + signal.SIGTERM and gist is not None
    cut_off = bool(told) and guard.lingered and channel.driver_is_far
    if told is not None and not ended_by_mpirun and not cut_off:
        return End(told)
    if cut_off:
        host = channel.ranks().get(0, ("unknown", 0))[0]
        return End(told or 1, lost=True, host=host, why=f"host {host}, where the driver (rank 0) ran, cannot be reached any "
                   f"more; the driver ended with exit code {told}. Run again without that host.")
    return End(
        128 - code if code < 0 else code or 1, lost=True, why=guard.trouble or guard.witness.why(gist, code, recovers=recovers),
        stack=guard.witness.stack(),
        host=gist["host"] or "" if gist and "host" in gist and "signal" not in gist else "", began=not guard.at_start)


class _Words:
    """Passes on the output of mpirun and the ranks, without the pages that mpirun adds when a rank is lost.

    Args:
        all_ours: the program does not print through mpirun, so empty lines are mpirun's.
    """

    def __init__(self, child: subprocess.Popen[bytes], *, all_ours: bool) -> None:
        self._all_ours = all_ours
        self.said = ""
        """The pages that were kept back."""
        self._threads = [
            Thread(target=self._pass_on, args=(source.fileno(), target), daemon=True)
            for source, target in ((child.stdout, 1), (child.stderr, 2)) if source is not None
        ]
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Wait until all is passed on, but not for long: a process that a rank has left behind may still hold the pipe."""
        for thread in self._threads:
            thread.join(1.0)

    def _pass_on(self, source: int, target: int) -> None:
        waiting, page = b"", b""
        while True:
            if (waiting or page) and not select([source], [], [], _SILENCE_S)[0]:
                _write(target, page + waiting)  # a prompt, or a page of the program's own
                waiting = page = b""
            data = os.read(source, 1 << 16)
            *lines, waiting = (waiting + data).splitlines(keepends=True) if data else [waiting, b""]
            if waiting.endswith(b"\n"):
                lines, waiting = [*lines, waiting], b""
            out = b""
            for line in lines:
                text = line.decode(errors="replace").rstrip("\n")
                is_rule = _RULE.match(text) is not None
                if page or is_rule:
                    whole = bool(page) and is_rule
                    page += line
                    if whole:
                        out += self._keep_back(page)
                        page = b""
                elif not (_NOISE.search(text) or (self._all_ours and not text.strip())):
                    out += line
            _write(target, out)
            if not data:
                _write(target, page)
                return

    def _keep_back(self, page: bytes) -> bytes:
        """Nothing if the page is about a loss; else the page."""
        text = page.decode(errors="replace")
        if not any(gist.search(text) for gist in _GISTS):
            return page
        self.said += text
        return b""


def _write(target: int, data: bytes) -> None:
    with suppress(OSError):
        while data:
            data = data[os.write(target, data) :]


class _Guard(Thread):
    """Ends mpirun when the run cannot come to a good end. ``trouble`` says why."""

    def __init__(self, child: subprocess.Popen[bytes], channel: StatusChannel, ranks: int) -> None:
        super().__init__(daemon=True)
        self.trouble = ""
        self.at_start = False
        self.lingered = False
        """The driver has finished, and mpirun did not end."""
        self.over = Event()
        self._child, self._channel, self._ranks = child, channel, ranks
        self._since: dict[str, float] = {}
        from mpirdd.launch.postmortem import PostMortem  # late: mpirun starts meanwhile

        self.witness = PostMortem(channel, ranks)
        self.start()

    def run(self) -> None:
        first_until, soon = monotonic() + _FIRST_S, min(_LOOK_S, _FIRST_LOOKS_S + self._ranks * _LOOK_AT_ONE_S)
        while not self.over.wait(_LOOK_S if self.witness.sees_all or monotonic() > first_until else soon):
            self.witness.look()
            through = self._channel.exit_code() is not None
            driver = self._channel.driver_pid
            if self._lasts("through", through, _LINGER_S):
                self.lingered = True
                break
            if self._lasts("driver", bool(driver) and not through and not lives(driver or 0), 1.0):
                self.trouble = self.witness.driver_lost()
                break
            gone = "" if driver or through else self._gone_at_start()
            if self._lasts("start", bool(gone), 1.0):
                self.trouble = f"{gone} died while the ranks were starting, so that the run never began."
                self.at_start = True
                break
        else:
            return
        _end_mpirun(self._child, self.over.wait)

    def _lasts(self, what: str, holds: bool, seconds: float) -> bool:
        """Has ``what`` held for so long? At first sight the run may just be on its way to a good end."""
        if not holds:
            self._since.pop(what, None)
            return False
        return monotonic() - self._since.setdefault(what, monotonic()) >= seconds

    def _gone_at_start(self) -> str:
        here, started = os.uname().nodename, self._channel.ranks()
        for rank, (host, pid) in started.items():
            if host == here and not lives(pid):
                return f"rank {rank} (host {host})"
        # Or a rank died before it registered. While mpirun has children that have not registered, or that start ranks
        # elsewhere, the start may just be slow.
        children = _children(self._child.pid)
        if children and children <= {pid for _, pid in started.values()} and len(started) < self._ranks:
            return f"rank {min(set(range(self._ranks)) - started.keys())} (host {here})"
        return ""


def _children(pid: int) -> set[int]:
    """The children of mpirun. Instead of MPICH's proxy, the parent of the ranks, its children count."""
    children: set[int] = set()
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                children.update(map(int, file.read().split()))
    for child in list(children):
        with suppress(OSError), open(f"/proc/{child}/comm") as file:
            if file.read().strip() == _MPICH_PROXY:
                children.remove(child)
                children |= _children(child)
    return children


@contextmanager
def _stop_signals_raised() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        for each in handled:
            signal.signal(each, signal.SIG_IGN)  # ending takes at most 5 s: nothing to hurry
        raise _StopRequested(number)

    handled = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # as under nohup
    ]
    before = {number: signal.signal(number, stop) for number in handled}
    # Ctrl-Z would stop this process, but not the ranks, one of which reads from the terminal.
    before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _passing_on(number: signal.Signals, child: subprocess.Popen[bytes], channel: StatusChannel) -> Iterator[None]:
    """Pass this signal on: to the driver alone; if it is on another host, through mpirun to all ranks."""
    def pass_on(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and channel.driver_pid is None:  # there is nobody yet whom it could interrupt
            raise _StopRequested(number)
        if channel.driver_is_far:
            child.send_signal(number)
        else:
            channel.signal_driver(number)

    before = signal.signal(number, pass_on)
    try:
        yield
    finally:
        signal.signal(number, before)


def _end(child: subprocess.Popen[bytes], number: int, driver_pid: int | None, grace_s: float) -> None:
    """End the run, the driver first: then the program can clean up, and mpirun has no failure to explain."""
    def ended(within_s: float) -> bool:
        with suppress(subprocess.TimeoutExpired):
            child.wait(within_s)
            return True
        return False

    if driver_pid:
        with suppress(ProcessLookupError):
            os.kill(driver_pid, signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
            if ended(grace_s):
                return
    _end_mpirun(child, ended)


def _end_mpirun(child: subprocess.Popen[bytes], ended: Callable[[float], bool]) -> None:
    """End mpirun by SIGTERM, then by SIGKILL; the ranks end with their parent (``die_with_parent``). ``ended`` waits for up to
    so many seconds."""
    for harder, patience_s in zip((signal.SIGTERM, signal.SIGKILL), _PATIENCE_S, strict=True):
        child.send_signal(harder)
        if ended(patience_s):
            return


def _end_mpirun_with_us() -> None:
    die_with_parent(signal.SIGTERM)
