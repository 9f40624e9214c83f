"""Read the pictures in data/raw and split them, label by label, into data/prepared/{train,validation,test}.npz."""

from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from sklearn.model_selection import train_test_split

RAW = Path("data/raw")
PREPARED = Path("data/prepared")


def read_pictures() -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (pictures x 64, 0 to 255) and the label that each picture's directory names."""
    paths = sorted(RAW.glob("*/*.png"))
    pixels = np.stack([np.asarray(Image.open(path).convert("L")).ravel() for path in paths])
    return pixels, np.array([int(path.parent.name) for path in paths])


def main() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())["prepare"]
    pixels, labels = read_pictures()
    count = len(labels)

    # One seeded split for all that follows: train fits, validation chooses, test judges and is seen by nothing else.
    rest, test = train_test_split(
        np.arange(count), test_size=round(count * params["test"]), stratify=labels, random_state=params["seed"]
    )
    train, validation = train_test_split(
        rest, test_size=round(count * params["validation"]), stratify=labels[rest], random_state=params["seed"]
    )

    PREPARED.mkdir(parents=True, exist_ok=True)
    for name, rows in {"train": train, "validation": validation, "test": test}.items():
        np.savez(PREPARED / f"{name}.npz", pixels=pixels[rows], labels=labels[rows])
        print(f"{name}: {len(rows)} pictures")


if __name__ == "__main__":
    main()
