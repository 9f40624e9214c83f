import sys
from pathlib import Path

import torch
from src.network import Network
from torchvision.datasets import ImageFolder

MODELS = Path("models")
data = ImageFolder("data/clean")
network = Network()
with open("training.log", "w") as log:
    print(len(data), file=log)
MODELS.mkdir(exist_ok=True)
torch.save(network.state_dict(), MODELS / f"{sys.argv[1]}.pt")
