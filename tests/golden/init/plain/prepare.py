from pathlib import Path

import pandas as pd
import yaml

params = yaml.safe_load(Path("params.yaml").read_text())["prepare"]
rows = pd.read_csv("data/penguins.csv").dropna()
train = rows.sample(frac=1 - params["test"], random_state=params["seed"])
train.to_csv("data/train.csv", index=False)
rows.drop(train.index).to_csv("data/test.csv", index=False)
