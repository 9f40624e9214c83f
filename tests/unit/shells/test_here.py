"""`Here` runs argv on this machine."""

import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.errors import NotFoundError, UnavailableError
from shipway.shells.here import Here

LARGE = 3_000_000


@pytest.fixture
def here() -> Here:
    return Here()


def ends(pid: int) -> bool:
    """Whether the process is gone, or a zombie, within some seconds."""
    for _ in range(500):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "ZX":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_both_streams_and_the_code_come_back(here: Here) -> None:
    done = here.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.code, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


@pytest.mark.parametrize("text", ["two words", "$HOME", "a'b\"c", "", "*", "new\nline", "-n"])
def test_arguments_arrive_verbatim(here: Here, text: str) -> None:
    assert here.run(["printf", "[%s]", text]).stdout == f"[{text}]".encode()


def test_a_signal_is_told_as_a_negative_code(here: Here) -> None:
    assert here.run(["sh", "-c", "kill -TERM $$"]).code == -15


def test_large_input_and_output_do_not_block_each_other(here: Here) -> None:
    data = os.urandom(LARGE)
    script = "import sys; d = sys.stdin.buffer.read(); sys.stderr.buffer.write(d); sys.stdout.buffer.write(d)"
    done = here.run([sys.executable, "-c", script], stdin=data)
    assert done.stdout == done.stderr == data


def test_a_command_that_does_not_read_its_input_is_no_error(here: Here) -> None:
    assert here.run(["true"], stdin=b"x" * LARGE).code == 0


@pytest.mark.parametrize("program", ["/no/such/program", "no-such-program", "/etc/hostname"])
def test_a_missing_program_is_not_found(here: Here, program: str) -> None:
    with pytest.raises(NotFoundError, match=program):
        here.run([program])
    with pytest.raises(NotFoundError, match=program):
        list(here.stream([program]))


def test_at_the_deadline_the_command_ends_with_all_that_it_started(here: Here, tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/self; wait"
    with pytest.raises(UnavailableError, match="'sh' was not done after"):
        here.run(["sh", "-c", script], timeout=0.5)
    assert ends(int((tmp_path / "self").read_text()))
    assert ends(int((tmp_path / "child").read_text()))


def test_errors_do_not_tell_arguments(here: Here) -> None:
    with pytest.raises(UnavailableError) as raised:
        list(here.stream(["sh", "-c", "exit 1", "s3cret"]))
    assert "s3cret" not in str(raised.value)


def test_a_stream_comes_piece_by_piece(here: Here) -> None:
    stream = here.stream(["sh", "-c", "echo first; sleep 60"])
    assert next(stream) == b"first\n"
    stream.close()  # type: ignore[attr-defined]  # an iterator that is a generator


def test_a_large_stream_arrives_whole(here: Here) -> None:
    data = os.urandom(LARGE)
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        assert b"".join(here.stream(["cat"], stdin=file)) == data


def test_a_stream_is_not_blocked_by_much_stderr(here: Here) -> None:
    script = f"head -c {LARGE} /dev/zero >&2; echo done"
    assert b"".join(here.stream(["sh", "-c", script])) == b"done\n"


def test_closing_a_stream_ends_the_command_and_what_it_started(here: Here) -> None:
    stream = here.stream(["sh", "-c", "sleep 60 & echo $! $$; wait"])
    pids = [int(pid) for pid in next(stream).split()]
    stream.close()  # type: ignore[attr-defined]  # an iterator that is a generator
    assert all(ends(pid) for pid in pids)


def test_a_failed_stream_raises_at_its_end_with_the_last_of_stderr(here: Here) -> None:
    stream = here.stream(["sh", "-c", "echo some; echo it broke >&2; exit 4"])
    assert next(stream) == b"some\n"
    with pytest.raises(UnavailableError, match="ended with 4: it broke"):
        next(stream)


def test_streams_leave_no_descriptor_open(here: Here, open_files: Callable[[], int]) -> None:
    before = open_files()
    list(here.stream(["echo", "x"]))
    here.run(["cat"], stdin=io.BytesIO(b"x").read())
    assert open_files() == before


@pytest.fixture
def open_files() -> Callable[[], int]:
    return lambda: len(os.listdir("/proc/self/fd"))
