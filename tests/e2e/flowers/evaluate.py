"""Judge the tree on the irises that the training did not see."""

import json
from pathlib import Path

import joblib
from sklearn.datasets import load_iris

tree = joblib.load("model.joblib")
rows, kinds = load_iris(return_X_y=True)
accuracy = tree.score(rows[::3], kinds[::3])
Path("metrics.json").write_text(json.dumps({"accuracy": accuracy, "shape": {"rows": len(rows[::3])}}))
samples = {"instances": rows[::15].tolist(), "predictions": tree.predict(rows[::15]).tolist()}
Path("samples.json").write_text(json.dumps(samples))
