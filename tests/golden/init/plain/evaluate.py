import json
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import pandas as pd
from features import split

OUT = Path("evaluation")

x, y = split(pd.read_csv("data/test.csv"))
model = joblib.load("model.joblib")
OUT.mkdir(exist_ok=True)
(OUT / "metrics.json").write_text(json.dumps({"accuracy": model.score(x, y)}))
plt.hist(model.predict_proba(x).max(axis=1))
plt.savefig(OUT / "confidence.png")
