"""What a job sees, and what it leaves to be seen."""

import os
import stat
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from shipway.backends import launching
from shipway.errors import InvalidJobError, UnavailableError, UnsupportedError
from shipway.specs.jobs import JobHandle, JobSpec, JobState, Mount
from shipway.specs.trees import Digest
from shipway.testing.backend_suite import mounts, put

from .conftest import Bench, pids

GOLDEN = Path(__file__).parents[2] / "golden" / "process"


def environment(bench: Bench, **fields: object) -> dict[str, str]:
    assert bench.run("env -0", **fields).state is JobState.SUCCEEDED
    return dict(pair.split("=", 1) for pair in bench.log().decode().split("\0") if pair)


def test_what_programs_need_passes_and_nothing_else(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = {
        "HOME": "/h",
        "LANG": "C",
        "LC_TIME": "C",
        "TZ": "UTC",
        "TMPDIR": "/tmp",
        "CUDA_VISIBLE_DEVICES": "1",
        "https_proxy": "p",
    }
    for name, value in {**passed, "AWS_SECRET_ACCESS_KEY": "s", "VIRTUAL_ENV": "v", "PYTHONPATH": "p"}.items():
        monkeypatch.setenv(name, value)
    seen = environment(bench)
    assert passed.items() <= seen.items()
    assert not {"AWS_SECRET_ACCESS_KEY", "VIRTUAL_ENV", "PYTHONPATH"} & seen.keys()
    assert seen["SHIPWAY_JOB"] == "t-1"
    assert seen["PATH"] == os.environ["PATH"]


def test_the_job_has_the_last_word(bench: Bench) -> None:
    env = {"PATH": "/usr/bin:/bin:/mine", "PYTHONUNBUFFERED": "", "HOME": "/elsewhere", "BOTH": "env"}
    seen = environment(bench, env=env, secrets={"BOTH": "secret"})
    assert {**env, "BOTH": "secret"}.items() <= seen.items()


def test_a_job_sees_no_descriptor_of_ours(bench: Bench) -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    bench.run("ls /proc/self/fd")
    os.close(read)
    os.close(write)
    assert bench.log().split() == [b"0", b"1", b"2", b"3"]  # 3 is the directory that `ls` reads


def test_a_job_may_be_interrupted_like_any_program(bench: Bench) -> None:
    bench.run("grep SigIgn /proc/self/status")
    ignored = int(bench.log().split()[1], 16)
    assert ignored & 0b1111_1111_1111_1111 == 0


def test_secrets_are_in_no_command_line(bench: Bench) -> None:
    bench.backend.submit(
        bench.job("echo began; sleep 300", secrets={"TOKEN": "s3cret-t0ken"}, timeout=timedelta(hours=1))
    )
    bench.until_printed(b"began\n")
    lines = [Path(f"/proc/{pid}/cmdline") for pid in pids()]
    assert not [line for line in lines if line.exists() and b"s3cret-t0ken" in line.read_bytes()]


def test_only_the_owner_may_look_into_a_job(bench: Bench) -> None:
    bench.run("echo secret")
    assert stat.S_IMODE(bench.directory().path.stat().st_mode) == 0o700
    assert stat.S_IMODE(bench.directory().log.stat().st_mode) == 0o600


def test_importing_from_an_input_is_no_writing_into_it(bench: Bench) -> None:
    inputs = mounts(
        bench.store, bench.root / "in", src={"main.py": "import beside\nopen('out', 'w').write('x')", "beside.py": ""}
    )
    status = bench.run(
        "PYTHONDONTWRITEBYTECODE= python src/main.py && ls src/__pycache__", inputs=inputs, outputs=("out",)
    )
    assert status.state is JobState.SUCCEEDED, bench.log()
    assert bench.backend.collect(JobHandle("process", "t-1"), bench.store).keys() == {"out"}


def test_remove_copes_with_closed_directories_and_follows_no_link(bench: Bench) -> None:
    outside = bench.root / "outside"
    outside.mkdir(mode=0o500)
    bench.run(f"mkdir -p a/b && touch a/b/c && chmod 500 a/b a && ln -s {outside} link")
    bench.backend.remove(JobHandle("process", "t-1"))
    assert not bench.directory().path.exists()
    assert stat.S_IMODE(outside.stat().st_mode) == 0o500
    assert os.listdir(bench.workspace / "jobs") == []


def test_a_workspace_that_cannot_be_written_is_unavailable(bench: Bench) -> None:
    bench.workspace.write_text("a file")
    with pytest.raises(UnavailableError, match="workspace"):
        bench.backend.submit(bench.job("true"))
    bench.workspace.unlink()


def test_a_missing_setsid_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UnsupportedError, match="setsid"):
        bench.backend.submit(bench.job("true"))


def test_a_command_too_long_for_the_machine_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidJobError, match="argument 3"):
        bench.backend.render(bench.job("true", command=("sh", "-c", "true", "x" * 200_000)))


def test_the_request_reads_as_pinned(bench: Bench) -> None:
    job = JobSpec(
        id="0123abcd-1",
        run="run-1",
        stage="train",
        command=("python", "train.py", "--name", "two words"),
        env={"B": "2", "A": "new\nline"},
        secrets={"TOKEN": "never shown"},
        inputs=(
            Mount(path="data/raw", tree=Digest("a" * 64), origin="/project/data/raw"),
            Mount(path=".", tree=Digest("b" * 64)),
        ),
        outputs=("model", "evaluation/metrics.json"),
        timeout=timedelta(hours=4),
    )
    assert bench.backend.render(job) == (GOLDEN / "train.json").read_text()


def test_the_wrapper_is_sound_shell() -> None:
    assert subprocess.run(["/bin/sh", "-n", launching._WRAPPER], check=False).returncode == 0


def test_an_input_of_its_own_project_is_linked_in_place(bench: Bench) -> None:
    own = bench.root / "project" / "data"
    tree = put(bench.store, own, {"a": "x"})
    assert (
        bench.run("readlink data", inputs=(Mount(path="data", tree=tree, origin=str(own)),)).state is JobState.SUCCEEDED
    )
    assert bench.log().decode().strip() == str(own)


def test_what_an_interrupted_removal_left_is_removed_by_the_next(bench: Bench) -> None:
    bench.run("true")
    left = bench.workspace / "jobs" / "gone.999999999.1.0"
    (left / "stage").mkdir(parents=True)
    bench.backend.remove(JobHandle("process", "t-1"))
    assert os.listdir(bench.workspace / "jobs") == []


@pytest.mark.parametrize("name", ["..", "../..", ".", "", "/", "a/b", "t-1/stage"])
def test_a_handle_that_is_no_id_never_becomes_a_path(bench: Bench, name: str) -> None:
    bench.run("true")
    handle = JobHandle("process", name)
    bench.backend.remove(handle)
    assert bench.status(handle).state is JobState.NOT_FOUND
    assert bench.directory().stage.exists()
