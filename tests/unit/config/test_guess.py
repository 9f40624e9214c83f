"""`shipway init`: what it guesses for small projects is pinned by golden files, always loads, and never overwrites."""

import shutil
import subprocess
from pathlib import Path

import pytest

from shipway.config.files import load_project
from shipway.config.guess import guess, init_project
from shipway.config.scripts import look_at
from shipway.errors import UsageError

GOLDEN = Path(__file__).parents[2] / "golden/init"
PROJECTS = ["plain", "src-layout", "one-script", "empty", "tangled"]


def copied(name: str, tmp_path: Path) -> Path:
    root = tmp_path / name
    shutil.copytree(GOLDEN / name, root)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return root


@pytest.mark.parametrize("name", PROJECTS)
def test_the_guess_is_the_golden_file(name: str, tmp_path: Path) -> None:
    assert guess(copied(name, tmp_path)) == (GOLDEN / f"{name}.yaml").read_text()


@pytest.mark.parametrize("name", PROJECTS)
def test_the_guess_loads_and_is_the_same_without_git(name: str, tmp_path: Path) -> None:
    root = copied(name, tmp_path)
    shutil.rmtree(root / ".git")
    init_project(root)
    assert load_project(root).name == name
    assert (root / "shipway.yaml").read_text() == (GOLDEN / f"{name}.yaml").read_text()


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "shipway.yaml").write_text("mine\n")
    with pytest.raises(UsageError, match="is there already"):
        init_project(tmp_path)
    assert (tmp_path / "shipway.yaml").read_text() == "mine\n"


@pytest.mark.parametrize("metrics", [True, False])
def test_only_a_script_that_judges_the_model_is_taken_to_write_samples(metrics: bool, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("open('data.csv')\nopen('model/w.pt', 'wb')\nopen('samples.json', 'w')\n")
    judging = "open('metrics.json', 'w')\n" if metrics else ""
    (tmp_path / "evaluate.py").write_text(f"open('model/w.pt', 'rb')\n{judging}open('out/samples.json', 'w')\n")
    (tmp_path / "data.csv").write_text("1\n")
    (tmp_path / "shipway.yaml").write_text(guess(tmp_path))
    train, evaluate = load_project(tmp_path).stages
    assert (train.samples, "samples.json" in train.outputs) == (None, True)
    assert evaluate.samples == ("out/samples.json" if metrics else None)
    assert ("out/samples.json" in evaluate.outputs) is not metrics


@pytest.mark.parametrize(
    ("directory", "name"),
    [
        ("2024", "project-2024"),
        ("my project!", "my-project"),
        ("--", "project"),
        ("no", "no"),
        ("true", "project-true"),
    ],
)
def test_any_directory_gives_a_project_with_a_name(directory: str, name: str, tmp_path: Path) -> None:
    root = tmp_path / directory
    root.mkdir()
    assert load_project(init_project(root)).name == name


@pytest.mark.parametrize(
    "source",
    [
        "open(",
        "x = " + "(" * 300,
        "\0",
        "Path()",
        "open()",
        "a = a / a\nopen(a)",
        "join()",
        "open(Path('a') / b, 'w')",
        "np.save(*x, **y)",
    ],
)
def test_a_script_that_says_little_is_no_harm(source: str) -> None:
    look_at(source)


@pytest.mark.parametrize(
    ("source", "path", "written"),
    [
        ("open('a/b.txt')", "a/b.txt", False),
        ("open('a/b.txt', 'w')", "a/b.txt", True),
        ("open(file='a/b.txt', mode='ab')", "a/b.txt", True),
        ("A = Path('a')\nB = A / 'b.txt'\nB.write_text('')", "a/b.txt", True),
        ("Path('a', 'b.txt').open('w')", "a/b.txt", True),
        ("os.makedirs(os.path.dirname(x)); np.savez(os.path.join('a', f'{x}.npz'), y)", "a", True),
        ("pd.read_csv(str(Path('a') / 'b.csv'))", "a/b.csv", False),
        ("df.to_parquet(path='a/b.parquet')", "a/b.parquet", True),
        ("(Path('a/b.txt').parent / 'c.txt').read_bytes()", "a/c.txt", False),
    ],
)  # fmt: skip
def test_paths_are_found_where_they_are_used(source: str, path: str, written: bool) -> None:
    assert (path, written) in {(mention.path, mention.written) for mention in look_at(source).mentions}


@pytest.mark.parametrize(
    "source",
    [
        "open('/etc/passwd')",
        "requests.get('https://example.org/a.csv')",
        "print('a/b.txt')",
        "read_csv('http://x/y.csv')",
        "open('../x')",
    ],
)
def test_what_is_no_path_of_the_project_is_left_out(source: str) -> None:
    assert look_at(source).mentions == ()
