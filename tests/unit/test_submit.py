"""``mpirdd submit`` without a Slurm: the place of each word, and the text of the script."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from runpy import run_path

import pytest

from mpirdd.launch import cli
from mpirdd.launch.slurm import follow
from mpirdd.launch.slurm.batch import Batch
from mpirdd.launch.slurm.follow import _described, _exit_code, _Log, fields, log_of
from mpirdd.launch.slurm.submit import _make_log_folder, lead_s, walltime_s
from mpirdd.protocol.errors import ClusterError, UsageError

SCRIPTS = sorted((Path(__file__).parents[2] / "slurm").glob("*.sh"))


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "job.py"
    path.write_text("")
    return path


def dry_run(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert cli.main(["submit", "--dry-run", *words]) == 0
    return capsys.readouterr().out.splitlines()


def options(script: list[str]) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in script if line.startswith("#SBATCH ")]


def run_line(script: list[str]) -> str:
    return [line for line in script if line.endswith(" &")][-1]


@pytest.mark.usefixtures("job")
def test_options_that_nobody_knows_go_to_sbatch_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--nodes", "4", "--ntasks-per-node=32", "-p", "main", "-N4", "--exclusive", "--gres", "gpu:1", "-A", "a b", "-c2",
             "-c", "3"]
    script = dry_run(capsys, *given, "job.py", "--nodes", "7")
    assert options(script)[5:] == [
        "--nodes=4", "--ntasks-per-node=32", "-p main", "-N4", "--exclusive", "--gres=gpu:1", "-A 'a b'", "-c2",
        "-c 3"]
    assert run_line(script).endswith("mpirdd run job.py --nodes 7 &")


@pytest.mark.usefixtures("job")
def test_options_of_run_go_to_run_and_n_to_sbatch(capsys: pytest.CaptureFixture[str]) -> None:
    script = dry_run(capsys, "-n", "8", "--parallelism", "64", "--no-progress", '--mpi-args=--mca a "b c"', "job.py")
    assert options(script)[-1] == "-n 8"
    assert run_line(script).endswith("""run --parallelism 64 --no-progress '--mpi-args=--mca a "b c"' job.py &""")


@pytest.mark.usefixtures("job")
def test_the_program_keeps_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_line(dry_run(capsys, "job.py", "a b", "--wait", "--", "$x")).endswith("job.py 'a b' --wait -- '$x' &")


@pytest.mark.usefixtures("job")
def test_what_the_user_gives_replaces_what_we_would(capsys: pytest.CaptureFixture[str]) -> None:
    script = dry_run(capsys, "-J", "mine", "-o", "out.txt", "--signal=B:USR2@30", "--requeue", "job.py")
    assert options(script) == ["--open-mode=append", "--requeue", "-J mine", "-o out.txt", "--signal=B:USR2@30"]
    assert any(line.startswith("lead=30 ") for line in script)


@pytest.mark.parametrize(
    ("given", "trapped", "warned"),
    [("B:USR1@5", "USR1", False), ("RB:SIGUSR1", "USR1", False), ("USR2@30", "USR2", True), ("B:TERM@9", "USR2", False)])
@pytest.mark.usefixtures("job")
def test_the_script_expects_the_signal_that_slurm_is_to_send(
    given: str, trapped: str, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["submit", "--dry-run", f"--signal={given}", "job.py"]) == 0
    out, err = capsys.readouterr()
    assert f"trap walltime {trapped}" in out.splitlines()
    assert ("--signal without B:" in err) == warned


@pytest.mark.usefixtures("job")
def test_a_setup_that_fails_ends_the_job_with_its_line_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    script = "\n".join(dry_run(capsys, "--setup", "echo one", "--setup", "(exit 7)  # 'x'", "job.py"))
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (7, "one\n")
    assert "this failed, so the job ends: (exit 7)  # 'x'" in done.stderr


def squeue(folder: Path, ends_in_s: int) -> str:
    """A PATH with a squeue that reports when the job ends."""
    (folder / "bin").mkdir()
    (folder / "bin" / "squeue").write_text(f"#!/bin/bash\ndate -d '{ends_in_s} seconds' +%Y-%m-%dT%H:%M:%S\n")
    (folder / "bin" / "squeue").chmod(0o755)
    return f"{folder / 'bin'}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("ends_in_s", "signals", "code"), [(3600, "USR2 USR2 TERM", 143), (60, "USR2 TERM", 143)],
    ids=["by hand, long before the end", "at the end"])
def test_what_the_script_is_told_reaches_the_run(tmp_path: Path, ends_in_s: int, signals: str, code: int) -> None:
    """A run that notes its signals; the walltime's signal comes 3 s later, so the run can start."""
    run = ("import signal, sys\nfor s in (signal.SIGUSR2, signal.SIGTERM):\n"
           "  signal.signal(s, lambda n, _: (print(signal.Signals(n).name, flush=True), n == 15 and sys.exit(143)))\n"
           "print('up', flush=True)\nwhile True: signal.pause()\n")
    (tmp_path / "mpirdd.py").write_text(run)  # in place of the real one
    text = Batch(["job.py"], sys.executable, lead_s=60).text()
    script = subprocess.Popen(
        ["bash", "-c", text], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": "", "PATH": squeue(tmp_path, ends_in_s), "SLURM_JOB_ID": "1"})
    assert script.stdout is not None
    try:
        assert script.stdout.readline() == "up\n"
        for name in signals.split():
            script.send_signal(getattr(signal, f"SIG{name}"))
            assert script.stdout.readline() == f"SIG{name}\n"
        assert script.wait(30) == code
    finally:
        script.kill()


def test_a_script_that_is_told_to_end_before_the_run_starts_none(tmp_path: Path) -> None:
    (tmp_path / "mpirdd.py").write_text("print('the run')")
    text = Batch(["job.py"], sys.executable, setup=["echo setup; sleep 1"]).text()
    script = subprocess.Popen(["bash", "-c", text], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert script.stdout is not None
    assert script.stdout.readline() == "setup\n"
    script.send_signal(signal.SIGTERM)
    assert script.communicate(timeout=30) == ("", None)
    assert script.returncode == 143


@pytest.mark.usefixtures("job")
def test_the_folder_of_the_log_is_made(tmp_path: Path) -> None:
    _make_log_folder(["--output=logs/a/%x.log", "-e errors/x", "--output=%x/y.log", "--job-name=z/z"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["errors", "job.py", "logs"]
    with pytest.raises(UsageError, match=r"job\.py"):
        _make_log_folder(["--output=job.py/x.log"])


def test_where_a_log_is_may_hold_blanks_and_the_node() -> None:
    record = fields("JobId=7 JobName=my job NodeList=(null) BatchHost=n1.site TRES=cpu=2,mem=1 StdOut=/a/my job-7-%N.log Power=")
    assert (record["JobName"], record["TRES"], record["Power"]) == ("my job", "cpu=2,mem=1", "")
    assert log_of(record) == "/a/my job-7-n1.log"
    assert log_of({"StdOut": "/a/%N.log"}) == "/a/%N.log"


def test_the_log_of_a_job_of_an_array_is_printed_behind_its_index(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path, log = tmp_path / "log", _Log("[2] ")
    path.write_bytes(b"one\ntw")
    log.print_new(str(path))
    path.write_bytes(b"one\ntwo\nthree\n")
    log.print_new(str(path))
    assert capfdbinary.readouterr().out == b"[2] one\n[2] two\n[2] three\n"


@pytest.mark.usefixtures("job")
def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m mpirdd submit --dry-run job.py | true"],
        capture_output=True, text=True, timeout=30, env={**os.environ, "PYTHONPATH": str(SCRIPTS[0].parents[1])})
    assert (done.returncode, done.stderr) == (0, "")


BREAKING = "a\ntouch PWN"


@pytest.mark.parametrize("words", [
    [f"--job-name={BREAKING}"], ["--job-name", BREAKING], ["-J", BREAKING], [f"-J{BREAKING}"], [f"--{BREAKING}=1"],
    ["--comment=a\rb"], [f"--setup={BREAKING}"], [f"--srun={BREAKING}"], [f"--mpi-args={BREAKING}"], [f"--scratch={BREAKING}"],
    ["--srun=pmi2", f"--scratch={BREAKING}"], ["--comment=\x1b[2J"], ["--comment=\x85"], ["--comment=\x7f"],
], ids=repr)
def test_control_characters_do_not_get_into_a_script(job: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["submit", "--dry-run", *words, "job.py"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "control character" in err
    assert len(err.splitlines()) == 1


def test_nor_do_those_of_the_program_and_the_environment(
    job: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (job.parent / f"{BREAKING}.py").write_text("")
    (job.parent / "mpirdd").mkdir()  # hides the package, so that PYTHONPATH goes into the script
    monkeypatch.setattr("sys.path", [str(job.parent)])
    for words in (["job.py", BREAKING], [f"{BREAKING}.py"], ["-m", BREAKING]):
        assert cli.main(["submit", "--dry-run", *words]) == 2, words
    monkeypatch.setenv("PYTHONPATH", BREAKING)
    assert cli.main(["submit", "--dry-run", "job.py"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("job")
def test_blanks_tabs_and_quotes_are_no_trouble(capsys: pytest.CaptureFixture[str]) -> None:
    script = dry_run(capsys, "--comment=it's mine; $(touch PWN) # x", "--job-name=two words", "job.py", "--sep", "\t")
    assert [shlex.split(line) for line in options(script)[-2:]] == [
        ["--comment=it's mine; $(touch PWN) # x"], ["--job-name=two words"]]
    assert run_line(script).endswith("job.py --sep '\t' &")


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize("option", ["--report=r.html", "--ui"])
def test_what_the_launcher_makes_is_refused_with_srun(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert f" {option} " in run_line(dry_run(capsys, option, "-m", "package.module"))
    assert cli.main(["submit", "--dry-run", "--srun=pmi2", option, "-m", "package.module"]) == 2
    assert "mpirdd report FILE" in capsys.readouterr().err


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize("option", ["--restarts=2", "--stage-environment", "--mpirun=/opt/mpirun", "--mpi-args=-v", "--ranks=4"])
def test_what_srun_cannot_do_is_refused_with_it(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert f" {option} " in run_line(dry_run(capsys, option, "-m", "package.module"))
    assert cli.main(["submit", "--dry-run", "--srun=pmi2", option, "-m", "package.module"]) == 2
    assert f"{option.partition('=')[0]} needs `mpirdd run`" in capsys.readouterr().err


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize(("words", "start"), [([], "srun "), (["--mpirun=/opt/mpirun"], sys.executable)])
def test_where_no_mpirun_is_srun_starts_the_ranks_unless_one_is_named(
    words: list[str], start: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def none_here() -> None:
        raise ClusterError("no mpirun")

    monkeypatch.setattr("mpirdd.launch.slurm.submit.find_launcher", none_here)
    (tmp_path / "srun").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_line(dry_run(capsys, *words, "job.py")).startswith(start)


@pytest.mark.usefixtures("job")
def test_with_srun_options_of_run_become_variables(capsys: pytest.CaptureFixture[str]) -> None:
    script = dry_run(capsys, "--srun=pmi2", "--parallelism=7", "-m", "package.module", "x")
    assert "export MPIRDD_PARALLELISM=7" in script
    assert run_line(script).startswith("srun --mpi=pmi2 ")
    assert run_line(script).endswith(" -m mpirdd -m package.module x &")
    assert options(script)[0] == "--job-name=package.module"


@pytest.mark.usefixtures("job")
def test_an_array_has_a_log_for_each_of_its_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--output=%x-%A_%a.log" in options(dry_run(capsys, "--array=1-4", "job.py"))
    assert "--output=%x-%j.log" in options(dry_run(capsys, "--account=a", "job.py"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing.py"], "no such program: nothing.py"),
        (["--exclusive", "user", "job.py"], "no such program: user; the value of an option of sbatch is best written with ="),
        (["--nodes", "4"], "which program?"),
        (["--nodes"], "--nodes wants a value"),
        (["--ranks", "x", "job.py"], "invalid int value: 'x'"),
        (["--wait=3", "job.py"], "--wait"),
    ],
)
@pytest.mark.usefixtures("job")
def test_mistakes_are_told_in_a_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["submit", *words]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


@pytest.mark.usefixtures("job")
def test_without_sbatch_it_says_what_to_do(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert cli.main(["submit", "job.py"]) == 1
    told = capsys.readouterr().err
    assert "no sbatch here" in told
    assert "--dry-run" in told


def test_walltimes_are_read_as_slurm_reads_them() -> None:
    texts = ["5", "1:30", "2:00:00", "1-0", "1-2:30", "1-2:30:15", "UNLIMITED", ""]
    assert [walltime_s(text) for text in texts] == [300, 90, 7200, 86400, 95400, 95415, 0, 0]


def test_a_short_walltime_is_not_spent_on_ending() -> None:
    assert [lead_s(given) for given in (["--time=1"], ["-t 1"], ["-t1"], ["--time=1:00:00"], [])] == [15, 15, 15, 120, 120]


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"JobState": "COMPLETED", "ExitCode": "0:0"}, 0),
        ({"JobState": "FAILED", "ExitCode": "3:0"}, 3),
        ({"JobState": "CANCELLED", "ExitCode": "0:15"}, 143),
        ({"JobState": "TIMEOUT", "ExitCode": "0:0"}, 1),
        ({"JobState": "NODE_FAIL"}, 1),
    ],
)
def test_the_exit_code_is_as_a_shell_would_have_it(record: dict[str, str], code: int) -> None:
    assert _exit_code(record) == code


DOWN = (1, "", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
FORGOTTEN = (1, "", "slurm_load_jobs error: Invalid job id specified")


class Slurm:
    """Answers the commands in the place of subprocess.run: exit code, stdout, stderr. The last answer stays."""

    def __init__(self, **answers: list[tuple[int, str, str]]) -> None:
        self.answers = answers

    def __call__(self, words: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[str]:
        left = self.answers[words[0]]
        return subprocess.CompletedProcess(words, *(left.pop(0) if len(left) > 1 else left[0]))


RUNNING, DONE = (0, "JobId=7 JobState=RUNNING NodeList=n1", ""), (0, "JobId=7 JobState=FAILED ExitCode=3:0", "")


@pytest.mark.parametrize(("slurm", "code"), [
    (Slurm(scontrol=[RUNNING, DOWN, DONE], squeue=[DOWN, (0, "", "")], sacct=[(0, "RUNNING|0:0", "")]), 3),
    (Slurm(scontrol=[RUNNING, FORGOTTEN], squeue=[DOWN, FORGOTTEN], sacct=[(0, "COMPLETED|0:0", "")]), 0),
    (Slurm(scontrol=[FORGOTTEN], squeue=[FORGOTTEN], sacct=[(0, "RUNNING|0:0", "")]), None),
    (Slurm(scontrol=[FORGOTTEN], squeue=[FORGOTTEN], sacct=[DOWN]), None),
], ids=["down for a moment", "forgotten and accounted", "forgotten but running", "forgotten and no accounting"])
def test_a_job_is_followed_until_slurm_says_that_it_is_over(
    slurm: Slurm, code: int | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(follow, "_LOOK_S", 0.0)
    monkeypatch.setattr("mpirdd.launch.slurm.follow.subprocess.run", slurm)
    if code is None:
        with pytest.raises(ClusterError, match="forgotten job 7"):
            follow.follow("7")
    else:
        assert follow.follow("7") == code
    assert capsys.readouterr().err.count("no answer from Slurm") == (1 if code == 3 else 0)


# --- the scripts ------------------------------------------------------------------------------------------------------


def shellcheck(text: str) -> str:
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck: apt-get install shellcheck")
    return subprocess.run(["shellcheck", "-"], input=text, capture_output=True, text=True).stdout


@pytest.mark.parametrize("requeue", [False, True])
@pytest.mark.parametrize("srun", [None, "", "pmi2"])
def test_generated_scripts_are_shellcheck_clean(requeue: bool, srun: str | None) -> None:
    text = Batch(["job.py", "a b", "*"], "/usr/bin/python3", ["--nodes=2"], ["--parallelism", "4"], ["module load x"],
                 [("MPIRDD_PARALLELISM", "4")], srun, requeue).text()
    assert shellcheck(text) == ""


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_shellcheck_clean_and_say_what_to_edit(path: Path) -> None:
    text = path.read_text()
    assert shellcheck(text) == ""
    assert text.startswith("#!/bin/bash\n#SBATCH ")
    assert "# EDIT" in text


def test_scripts_are_what_their_templates_make() -> None:
    make = run_path(str(SCRIPTS[0].parent / "templates" / "make.py"))
    assert make["scripts"]() == {path.name: path.read_text() for path in SCRIPTS}, "run: python slurm/templates/make.py"


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"JobState": "PENDING", "Reason": "Resources"}, "PENDING (Resources)"),
        ({"JobState": "PENDING", "Reason": "None"}, "PENDING"),
        ({"JobState": "RUNNING", "NodeList": "n[1-2]", "Restarts": "0"}, "RUNNING on n[1-2]"),
        ({"JobState": "RUNNING", "NodeList": "n1", "Restarts": "2"}, "RUNNING on n1, restart 2"),
    ],
)
def test_the_state_of_a_job_is_told_in_a_few_words(record: dict[str, str], said: str) -> None:
    assert _described([record]) == said


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize(("given", "asked"), [
    (["--ntasks=8"], "--ntasks=10"), (["-n", "8"], "-n 10"), (["--num-executors", "7"], "--ntasks=10"),
])
def test_the_script_asks_for_the_spares_too(capsys: pytest.CaptureFixture[str], given: list[str], asked: str) -> None:
    script = dry_run(capsys, *given, "--spares", "2", "job.py")
    assert asked in options(script)
    assert " --spares 2 " in run_line(script)


@pytest.mark.usefixtures("job")
def test_of_tasks_by_node_the_last_are_spares_and_srun_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--nodes=2", "--ntasks-per-node=4", "--spares=1"]
    assert cli.main(["submit", "--dry-run", *words, "job.py"]) == 0
    said = capsys.readouterr()
    assert "--ntasks-per-node=4" in said.out and "--ntasks=" not in said.out
    assert said.err.startswith("mpirdd: --spares 1: of the tasks that Slurm gives, the last 1 waits;")
    assert cli.main(["submit", "--dry-run", "--srun=pmi2", *words, "job.py"]) == 0
    said = capsys.readouterr()
    assert "MPIRDD_SPARES" not in said.out and "--ntasks-per-node=4" in said.out
    assert said.err == ("mpirdd: the job goes without --spares 1: srun ends it with its first lost rank, so that a spare could "
                        "never join\n")
