import pickle
from pathlib import Path

table = pickle.loads(Path("model.pkl").read_bytes())
Path("model.pkl").write_bytes(pickle.dumps(table))
