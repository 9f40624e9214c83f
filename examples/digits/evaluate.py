"""Judge model/ on the test pictures: evaluation/metrics.json, plots/confusion.png, and samples.json for the rollout."""

import json
from pathlib import Path

import joblib
import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, precision_recall_fscore_support

TEST = Path("data/prepared/test.npz")
MODEL = Path("model/model.joblib")
EVALUATION = Path("evaluation")
SAMPLES = 32


def main() -> None:
    model = joblib.load(MODEL)
    with np.load(TEST) as test:
        pixels, labels = test["pixels"], test["labels"]
    predictions = model.predict(pixels)

    (EVALUATION / "plots").mkdir(parents=True, exist_ok=True)
    metrics = measure(labels, predictions, model.predict_proba(pixels))
    write_json(EVALUATION / "metrics.json", metrics)
    draw_confusion(confusion_matrix(labels, predictions), metrics["accuracy"])

    # A rollout sends these to the new revision and expects the same answers.
    samples = {"instances": pixels[:SAMPLES].tolist(), "predictions": predictions[:SAMPLES].tolist()}
    write_json(EVALUATION / "samples.json", samples, indent=None)
    print(f"accuracy {metrics['accuracy']:.4f} on {len(labels)} pictures that training never saw")


def measure(labels: np.ndarray, predictions: np.ndarray, chances: np.ndarray) -> dict:
    precision, recall, f1, count = precision_recall_fscore_support(labels, predictions, zero_division=0)
    return {
        "accuracy": accuracy_score(labels, predictions),
        "macro_f1": float(f1.mean()),
        "log_loss": log_loss(labels, chances),
        "pictures": len(labels),
        "per_class": {
            str(digit): {
                "precision": float(precision[digit]),
                "recall": float(recall[digit]),
                "f1": float(f1[digit]),
                "pictures": int(count[digit]),
            }
            for digit in range(len(f1))
        },
    }


def write_json(path: Path, value: dict, indent: int | None = 2) -> None:
    path.write_text(json.dumps(value, indent=indent) + "\n")


def draw_confusion(matrix: np.ndarray, accuracy: float) -> None:
    figure = Figure(figsize=(5.6, 5), layout="constrained")
    axes = figure.subplots()
    # Square roots, because linear shades would hide a single mistake beside thirty right answers.
    image = axes.imshow(np.sqrt(matrix), cmap="Blues")
    digits = range(len(matrix))
    for row in digits:
        for column in digits:
            if matrix[row, column]:
                colour = "white" if image.norm(np.sqrt(matrix[row, column])) > 0.5 else "black"
                axes.text(column, row, matrix[row, column], ha="center", va="center", color=colour)
    mistakes = matrix.sum() - np.trace(matrix)
    axes.set(
        title=f"{matrix.sum()} test pictures, {mistakes} mistakes, accuracy {accuracy:.3f}",
        xlabel="what the model says",
        ylabel="what it is",
        xticks=digits,
        yticks=digits,
    )
    axes.set_xticks(np.arange(0.5, len(matrix) - 1), minor=True)
    axes.set_yticks(np.arange(0.5, len(matrix) - 1), minor=True)
    axes.grid(which="minor", color="#cccccc", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    # Without the program's name and version the same matrix gives the same bytes.
    figure.savefig(EVALUATION / "plots" / "confusion.png", dpi=120, metadata={"Software": None})


if __name__ == "__main__":
    main()
