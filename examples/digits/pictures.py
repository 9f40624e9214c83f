"""Write scikit-learn's handwritten digits as picture files: data/raw/<label>/<index>.png, 8x8 pixels, grey, 0 to 255."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

RAW = Path("data/raw")
LEVELS = 16  # load_digits counts the ink of each pixel from 0 to 16


def main() -> None:
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / LEVELS)).astype(np.uint8)
    for index, (picture, label) in enumerate(zip(pixels, digits.target, strict=True)):
        target = RAW / str(label) / f"{index:04}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(target)
    print(f"wrote {len(pixels)} pictures to {RAW}")


if __name__ == "__main__":
    main()
