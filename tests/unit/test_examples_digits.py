"""The digits example: its scripts run by hand, give a good model, and give the same bytes again."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
STAGES = ("pictures", "prepare", "train", "evaluate")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example in which every stage ran once."""
    for module in ("sklearn", "matplotlib", "PIL"):
        pytest.importorskip(module)
    copy = tmp_path_factory.mktemp("digits") / "project"
    shutil.copytree(DIGITS, copy, ignore=shutil.ignore_patterns("data", "model", "training", "evaluation", ".shipway"))
    run_stages(copy, STAGES)
    return copy


def run_stages(project: Path, names: tuple[str, ...]) -> None:
    """Run the scripts one after another in one interpreter, which saves importing scikit-learn four times."""
    code = "import runpy, sys\nfor name in sys.argv[1:]: runpy.run_path(name + '.py', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *names], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_shipway_yaml_names_the_scripts_as_inputs() -> None:
    stages = yaml.safe_load((DIGITS / "shipway.yaml").read_text())["stages"]
    assert tuple(stages) == STAGES
    for name, stage in stages.items():
        assert stage["run"] == f"python {name}.py"
        assert f"{name}.py" in stage["inputs"]
        assert (DIGITS / f"{name}.py").is_file()


def test_requirements_are_pinned_to_the_last_package() -> None:
    lines = [line for line in (DIGITS / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert [line for line in lines if "==" not in line] == []


@pytest.mark.slow
def test_every_declared_output_is_made(project: Path) -> None:
    stages = yaml.safe_load((project / "shipway.yaml").read_text())["stages"]
    for stage in stages.values():
        for path in (*stage.get("outputs", ()), *stage.get("metrics", ()), *stage.get("plots", ())):
            assert (project / path).exists()
    assert (project / stages["evaluate"]["samples"]).is_file()


@pytest.mark.slow
def test_the_pictures_are_the_digits_of_scikit_learn(project: Path) -> None:
    from PIL import Image
    from sklearn.datasets import load_digits

    pictures = sorted(project.glob("data/raw/*/*.png"))
    assert len(pictures) == 1797
    digits = load_digits()
    for index in (0, 7, 1796):
        with Image.open(project / f"data/raw/{digits.target[index]}/{index:04}.png") as picture:
            assert (picture.size, picture.mode) == ((8, 8), "L")
            assert list(picture.tobytes()) == [round(float(value) * 255 / 16) for value in digits.data[index]]


@pytest.mark.slow
def test_the_model_passes_its_own_gate(project: Path) -> None:
    metrics = json.loads((project / "evaluation/metrics.json").read_text())
    assert metrics["accuracy"] >= 0.95
    assert metrics["macro_f1"] >= 0.95
    assert set(metrics["per_class"]) == {str(digit) for digit in range(10)}


@pytest.mark.slow
def test_the_three_parts_of_the_data_share_no_picture(project: Path) -> None:
    import numpy as np

    parts = [np.load(project / f"data/prepared/{name}.npz")["pixels"] for name in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [1079, 359, 359]
    assert len(np.unique(np.concatenate(parts), axis=0)) == 1797


@pytest.mark.slow
def test_the_samples_are_raw_pixels_and_the_models_own_answers(project: Path) -> None:
    import joblib

    samples = json.loads((project / "evaluation/samples.json").read_text())
    assert len(samples["instances"]) == len(samples["predictions"]) == 32
    assert all(len(row) == 64 and min(row) >= 0 and max(row) <= 255 for row in samples["instances"])
    model = joblib.load(project / "model/model.joblib")
    assert model.predict(samples["instances"]).tolist() == samples["predictions"]


@pytest.mark.slow
def test_running_again_gives_the_same_bytes(project: Path) -> None:
    def content() -> dict[str, str]:
        files = [
            path
            for part in ("data/prepared", "model", "training", "evaluation")
            for path in (project / part).rglob("*")
        ]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()}

    before = content()
    run_stages(project, ("prepare", "train", "evaluate"))
    assert len(before) == 9
    assert content() == before
