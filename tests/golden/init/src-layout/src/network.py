class Network:
    def state_dict(self) -> dict[str, float]:
        return {}
