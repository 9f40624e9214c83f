import json
from pathlib import Path

slope = json.loads(Path("model/slope.json").read_text())
rows = [float(line) for line in Path("data/x.csv").read_text().split()]
evaluation = Path("evaluation")
evaluation.mkdir(exist_ok=True)
(evaluation / "metrics.json").write_text(json.dumps({"error": abs(3.0 - slope), "rows": len(rows)}))
samples = {"instances": [[x] for x in rows], "predictions": [x * slope for x in rows]}
(evaluation / "samples.json").write_text(json.dumps(samples))
