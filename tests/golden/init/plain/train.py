from pathlib import Path

import joblib
import pandas as pd
import yaml
from features import split
from sklearn.linear_model import LogisticRegression

params = yaml.safe_load(Path("params.yaml").read_text())
x, y = split(pd.read_csv("data/train.csv"))
model = LogisticRegression(C=params["model"]["c"], max_iter=params["model"].get("steps", 100)).fit(x, y)
joblib.dump(model, "model.joblib")
