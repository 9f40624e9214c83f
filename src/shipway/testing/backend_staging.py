"""What every backend must do with inputs and outputs, as tests."""

from pathlib import Path

import pytest

from shipway.backends.base import Backend
from shipway.errors import InputChangedError, OutputMissingError, StageError
from shipway.specs.jobs import JobSpec, JobState
from shipway.specs.trees import ROOT
from shipway.store.base import Store
from shipway.testing.backend_suite import BackendSuite, held, mounts


class Staging(BackendSuite):
    """Trees go in, trees come out, and nothing that the store holds is ever changed."""

    def test_directories_and_files_stand_at_their_paths(self, backend: Backend, store: Store, tmp_path: Path) -> None:
        inputs = mounts(store, tmp_path / "in", data={"a/b.txt": "deep", "c.txt": "flat"}, conf__one__txt="file")
        job = self.sh("cat data/a/b.txt data/c.txt conf/one/txt", inputs=inputs)
        assert self.printed(backend, job) == b"deepflatfile"

    def test_executable_bits_links_and_empty_directories_arrive(
        self, backend: Backend, store: Store, tmp_path: Path
    ) -> None:
        files = {"bin/go*": "#!/bin/sh\necho went\n", "to/link": "-> ../bin/go", "empty": None}
        inputs = mounts(store, tmp_path / "in", tools=files)
        job = self.sh("tools/to/link; test -d tools/empty && test -L tools/to/link && echo kept", inputs=inputs)
        assert self.printed(backend, job) == b"went\nkept\n"

    def test_a_script_finds_its_neighbours(self, backend: Backend, store: Store, tmp_path: Path) -> None:
        files = {"main.sh*": '#!/bin/sh\ncat "$(dirname "$(readlink -f "$0")")/../beside"\n'}
        inputs = mounts(store, tmp_path / "in", src=files, beside="found")
        assert self.printed(backend, self.job("src/main.sh", inputs=inputs)) == b"found"

    def test_the_deeper_mount_wins(self, backend: Backend, store: Store, tmp_path: Path) -> None:
        files = {"data/raw/old": "shallow", "data/kept": "kept ", "data/one": "shallow"}
        inputs = mounts(store, tmp_path / "in", here=files, data__raw={"new": "deep "}, data__one="one")
        job = self.sh("cat data/kept data/raw/new data/one; ls data data/raw", inputs=inputs)
        assert self.printed(backend, job) == b"kept deep onedata:\nkept\none\nraw\n\ndata/raw:\nnew\n"

    def test_outputs_come_back_as_trees(self, backend: Backend, store: Store) -> None:
        script = "mkdir -p out/deep; echo a > out/deep/a; echo b > out/b; chmod +x out/b; ln -s deep/a out/l; echo m > metrics.json"
        job = self.sh(script, outputs=("out", "metrics.json"))
        handle = backend.submit(job)
        self.wait(backend, handle)
        found = backend.collect(handle, store)
        assert {path: held(store, digest) for path, digest in found.items()} == {
            "out": {"deep/a": "a\n", "b*": "b\n", "l": "-> deep/a"},
            "metrics.json": {ROOT: "m\n"},
        }

    def test_collecting_again_gives_the_same(self, backend: Backend, store: Store) -> None:
        handle = backend.submit(self.sh("echo x > x", outputs=("x",)))
        self.wait(backend, handle)
        assert backend.collect(handle, store) == backend.collect(handle, store)

    def test_parents_of_outputs_are_made(self, backend: Backend, store: Store) -> None:
        handle = backend.submit(self.sh("echo x > evaluation/plots/x", outputs=("evaluation/plots/x",)))
        self.wait(backend, handle)
        assert [held(store, digest) for digest in backend.collect(handle, store).values()] == [{ROOT: "x\n"}]

    def test_an_empty_directory_is_an_output(self, backend: Backend, store: Store) -> None:
        handle = backend.submit(self.sh("mkdir out", outputs=("out",)))
        self.wait(backend, handle)
        assert held(store, backend.collect(handle, store)["out"]) == {}

    def test_a_missing_output_is_named_and_what_is_there_is_listed(self, backend: Backend, store: Store) -> None:
        handle = backend.submit(self.sh("mkdir -p out; touch out/modle.bin out/notes", outputs=("out/model.bin",)))
        self.wait(backend, handle)
        with pytest.raises(OutputMissingError, match=r"out/model\.bin.*out/modle\.bin.*out/notes"):
            backend.collect(handle, store)

    @pytest.mark.parametrize(
        "script", ["ln -s data/a out", "ln -s /etc/hostname out", "ln -s ../../.. out", "ln -s nowhere out"]
    )
    def test_an_output_that_is_only_a_link_elsewhere_is_refused(
        self, backend: Backend, store: Store, tmp_path: Path, script: str
    ) -> None:
        inputs = mounts(store, tmp_path / "in", data={"a": "a"})
        handle = backend.submit(self.sh(script, inputs=inputs, outputs=("out",)))
        self.wait(backend, handle)
        with pytest.raises(StageError, match="'out'"):
            backend.collect(handle, store)

    def test_an_output_with_a_link_that_leaves_it_is_refused(self, backend: Backend, store: Store) -> None:
        handle = backend.submit(self.sh("mkdir out; ln -s /etc/hostname out/l", outputs=("out",)))
        self.wait(backend, handle)
        with pytest.raises(StageError, match="'out'"):
            backend.collect(handle, store)

    def test_an_output_may_lie_inside_an_input(self, backend: Backend, store: Store, tmp_path: Path) -> None:
        inputs = mounts(store, tmp_path / "in", data={"raw/a": "a", "b": "b"})
        job = self.sh("cat data/raw/a data/b > data/made", inputs=inputs, outputs=("data/made",))
        handle = backend.submit(job)
        self.wait(backend, handle)
        assert held(store, backend.collect(handle, store)["data/made"]) == {ROOT: "ab"}

    def test_an_input_that_is_an_output_as_well_may_be_changed(
        self, backend: Backend, store: Store, tmp_path: Path
    ) -> None:
        inputs = mounts(store, tmp_path / "in", state={"count": "1"})
        handle = backend.submit(self.sh("echo 2 > state/count", inputs=inputs, outputs=("state",)))
        self.wait(backend, handle)
        assert held(store, backend.collect(handle, store)["state"]) == {"count": "2\n"}
        assert held(store, inputs[0].tree) == {"count": "1"}

    @pytest.mark.parametrize(
        "script",
        [
            "chmod -R u+w data/; echo evil > data/a",
            "chmod -R u+w data/; rm data/a",
            "chmod -R u+w data/; echo evil > data/new",
            "chmod -R u+w data/; echo x >> data/a; touch -d '2001-01-01' data/a",
            "echo evil > one",
            "rm one; echo evil > one",
            "rm src/run.sh",
            "echo evil >> src/run.sh",
        ],
    )
    def test_a_job_that_writes_into_an_input_is_found_out_and_harms_nobody(
        self, backend: Backend, store: Store, tmp_path: Path, script: str
    ) -> None:
        inputs = mounts(store, tmp_path / "in", data={"a": "good"}, one="good", src={"run.sh*": "true\n"})
        named = "data" if "data" in script else "src" if "src" in script else "one"
        handle = backend.submit(self.sh(f"{script}; echo done > out", inputs=inputs, outputs=("out",)))
        self.wait(backend, handle)
        for _ in range(2):
            with pytest.raises(InputChangedError, match=named):
                backend.collect(handle, store)
        self._finds_good_inputs(backend, self.sh("cat data/a one src/run.sh; ls data", inputs=inputs))

    def test_a_failed_job_that_wrote_into_an_input_harms_nobody(
        self, backend: Backend, store: Store, tmp_path: Path
    ) -> None:
        inputs = mounts(store, tmp_path / "in", data={"a": "good"}, one="good", src={"run.sh*": "true\n"})
        handle = backend.submit(self.sh("chmod -R u+w data/; echo evil > data/a; exit 1", inputs=inputs))
        assert self.wait(backend, handle).state is JobState.FAILED
        self._finds_good_inputs(backend, self.sh("cat data/a one src/run.sh; ls data", inputs=inputs))

    def test_touching_a_copied_input_without_changing_it_is_no_fault(
        self, backend: Backend, store: Store, tmp_path: Path
    ) -> None:
        inputs = mounts(store, tmp_path / "in", one="good", src={"run.sh*": "true\n"})
        script = "cp one two; mv two one; touch src/run.sh; mkdir src/cache; echo x > src/cache/x; echo done > out"
        handle = backend.submit(self.sh(script, inputs=inputs, outputs=("out",)))
        self.wait(backend, handle)
        assert held(store, backend.collect(handle, store)["out"]) == {ROOT: "done\n"}

    def _finds_good_inputs(self, backend: Backend, job: JobSpec) -> None:
        assert self.printed(backend, job) == b"goodgoodtrue\na\n"
