import os

from PIL import Image

RAW = "data/raw"
CLEAN = os.path.join("data", "clean")

os.makedirs(CLEAN, exist_ok=True)
for name in os.listdir(RAW):
    Image.open(os.path.join(RAW, name)).resize((64, 64)).save(os.path.join(CLEAN, name))
