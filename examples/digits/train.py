"""Train a small neural network, keep its best epoch as model/model.joblib, and its history in training/."""

import copy
import csv
from pathlib import Path

import joblib
import numpy as np
import yaml
from matplotlib.figure import Figure
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

PREPARED = Path("data/prepared")
MODEL = Path("model/model.joblib")
HISTORY = Path("training/history.csv")
CURVE = Path("training/learning_curve.png")


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    with np.load(PREPARED / f"{name}.npz") as part:
        return part["pixels"].astype(float), part["labels"]


def main() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())["train"]
    pixels, labels = load("train")
    unseen, truth = load("validation")
    scaler = MinMaxScaler().fit(pixels)
    pixels, unseen = scaler.transform(pixels), scaler.transform(unseen)

    network = MLPClassifier(
        hidden_layer_sizes=(params["hidden"],),
        learning_rate_init=params["learning_rate"],
        alpha=params["l2"],
        batch_size=params["batch"],
        random_state=params["seed"],
    )
    best, history = network, []
    for epoch in range(1, params["epochs"] + 1):
        network.partial_fit(pixels, labels, classes=np.arange(10))
        history.append(
            {
                "epoch": epoch,
                "train_loss": log_loss(labels, network.predict_proba(pixels)),
                "validation_loss": log_loss(truth, network.predict_proba(unseen)),
                "validation_accuracy": network.score(unseen, truth),
            }
        )
        if history[-1]["validation_loss"] == min(row["validation_loss"] for row in history):
            best = copy.deepcopy(network)

    # Raw pixels go in, so whoever asks the served model need not know how it was trained.
    MODEL.parent.mkdir(parents=True, exist_ok=True)
    joblib.dump(make_pipeline(scaler, best), MODEL)
    write_history(history)
    draw_history(history)
    print(f"kept epoch {best.t_ // len(labels)} of {len(history)}: validation accuracy {best.score(unseen, truth):.4f}")


def write_history(history: list[dict[str, float]]) -> None:
    HISTORY.parent.mkdir(parents=True, exist_ok=True)
    with HISTORY.open("w", newline="") as file:
        writer = csv.DictWriter(file, history[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)


def draw_history(history: list[dict[str, float]]) -> None:
    epochs = [row["epoch"] for row in history]
    best = min(history, key=lambda row: row["validation_loss"])
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)

    left.plot(epochs, [row["train_loss"] for row in history], color="#0072b2", label="train")
    left.plot(epochs, [row["validation_loss"] for row in history], color="#d55e00", linestyle="--", label="validation")
    left.set(title="Loss", xlabel="epoch", ylabel="log loss", yscale="log")
    left.legend(frameon=False)

    right.plot(epochs, [row["validation_accuracy"] for row in history], color="#d55e00", linestyle="--")
    right.set(title="Accuracy on validation", xlabel="epoch", ylabel="share right")
    for axes in (left, right):
        axes.axvline(best["epoch"], color="#777777", linewidth=1, linestyle=":")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    floor = (best["epoch"], right.get_ylim()[0])
    right.annotate(f"kept: epoch {best['epoch']}", floor, (-4, 8), textcoords="offset points", ha="right")

    # Without the program's name and version the same history gives the same bytes.
    figure.savefig(CURVE, dpi=120, metadata={"Software": None})


if __name__ == "__main__":
    main()
