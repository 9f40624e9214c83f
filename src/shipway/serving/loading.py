"""Finds out what kind of model a path is, by its name alone, and loads it."""

from pathlib import Path

from shipway.errors import ConfigError
from shipway.serving.model import Model

PICKLES = (".joblib", ".pkl", ".pickle", ".skops")
ONNX = (".onnx",)
TORCH = (".pt", ".pth", ".ts", ".torchscript")


def load(path: Path) -> Model:
    """Raises ConfigError where there is no model that we know, and whatever the model's own code raises."""
    if path.is_dir():
        return _directory(path)
    if path.name == "predict.py":
        from shipway.serving.kinds import script

        return script.load(path)
    if path.suffix in PICKLES:
        from shipway.serving.kinds import estimator

        return estimator.load(path)
    if path.suffix in ONNX:
        from shipway.serving.kinds import onnx

        return onnx.load(path)
    if path.suffix in TORCH:
        from shipway.serving.kinds import torchscript

        return torchscript.load(path)
    raise ConfigError([f"{path.name}: not a kind of model that can be served"], hint=_KINDS)


def _directory(path: Path) -> Model:
    if (path / "MLmodel").is_file():
        from shipway.serving.kinds import mlmodel

        return mlmodel.load(path)
    if (path / "predict.py").is_file():
        return load(path / "predict.py")
    known = [file for file in sorted(path.iterdir()) if file.suffix in (*PICKLES, *ONNX, *TORCH)]
    if len(known) == 1:
        return load(known[0])
    if known:
        names = ", ".join(file.name for file in known)
        raise ConfigError(
            [f"{path.name}/ holds {len(known)} models: {names}"],
            hint="name the file in model.path, or add a predict.py",
        )
    raise ConfigError([f"{path.name}/ holds no model that can be served"], hint=_KINDS)


_KINDS = f"an MLflow model directory, predict.py, or a file ending in {', '.join((*PICKLES, *ONNX, *TORCH))}"
