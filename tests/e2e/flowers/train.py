"""Fit a tree; every third iris is kept for the evaluation."""

import json
import os
from pathlib import Path

import joblib
import yaml
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

depth = yaml.safe_load(Path("params.yaml").read_text())["train"]["depth"]
rows, kinds = load_iris(return_X_y=True)
train = [index for index in range(len(rows)) if index % 3]
scores = []
for level in range(1, depth + 1):
    tree = DecisionTreeClassifier(max_depth=level, random_state=0).fit(rows[train], kinds[train])
    scores.append(tree.score(rows[train], kinds[train]))
joblib.dump(tree, "model.joblib")
lines = [json.dumps({"step": step, "score": score}) for step, score in enumerate(scores)]
Path("history.jsonl").write_text("\n".join(lines) + "\n")
points = " ".join(f"{10 * step},{100 - 100 * score:.1f}" for step, score in enumerate(scores))
Path("curve.svg").write_text(f'<svg xmlns="http://www.w3.org/2000/svg"><polyline points="{points}"/></svg>\n')

if "MLFLOW_RUN_ID" in os.environ:
    import mlflow

    mlflow.log_metric("leaves", tree.get_n_leaves())
