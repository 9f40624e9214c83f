"""Starting, failing to start, and what goes on while the model is slow or broken."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PREDICT = "/v1/models/m:predict"

MOODY = """
import time
class Model:
    inputs = [{"name": "x", "datatype": "FP64", "shape": [-1]}]
    outputs = [{"name": "y", "datatype": "FP64", "shape": [-1]}]
    batchable = True
    def __init__(self, directory): ...
    def predict(self, inputs):
        if (inputs["x"] == 13).any(): raise RuntimeError("secret words")
        if (inputs["x"] == 14).any(): return {"z": inputs["x"]}
        if (inputs["x"] == 15).any(): return inputs["x"] * 1j
        time.sleep(min(inputs["x"].max(), 1))
        return inputs["x"]
"""


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "shipway.serving", *args], capture_output=True, text=True, timeout=60)


def test_a_bundle_that_says_nothing_usable_is_wrong_use(tmp_path: Path) -> None:
    for text, words in (
        (None, "No such file"),
        ("{", "truncated"),
        ('{"name": "m", "version": 3, "model": "model"}', "Expected `str`, got `int` - at `$.version`"),
        ('{"name": "m", "version": "3", "model": "model"}', "there is no 'model'"),
        ('{"name": "m", "version": "3", "model": ".", "colour": 1}', "colour"),
        ('{"name": "a/b", "version": "3", "model": ".", "threads": 0}', "threads: 0 is below 1"),
    ):
        if text is not None:
            (tmp_path / "serving.json").write_text(text)
        done = run(str(tmp_path), "--port", "0")
        assert done.returncode == 2
        assert "serving.json" in done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_a_descriptor_that_is_no_listening_socket_is_wrong_use(classifier_bundle: Path) -> None:
    for number in ("0", "77"):
        done = run(str(classifier_bundle), "--fd", number)
        assert done.returncode == 2
        assert f"file descriptor {number}" in done.stderr


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = 1", "predict.py has no class Model"),
        ("import nothing_like_it", "No module named 'nothing_like_it'"),
        ("class Model: ...", "takes no arguments"),
    ],
)
def test_a_model_that_does_not_load_ends_the_process(serve: Any, script_bundle: Any, source: str, words: str) -> None:
    served = serve(script_bundle(source))
    assert served.end() == 1
    assert words in "".join(served.lines)


def test_an_unknown_kind_of_model_is_told_the_known_ones(serve: Any, tmp_path: Path) -> None:
    (tmp_path / "serving.json").write_text(json.dumps({"name": "m", "version": "3", "model": "model.h5"}))
    (tmp_path / "model.h5").write_bytes(b"?")
    served = serve(tmp_path)
    assert served.end() == 1
    assert "model.h5: not a kind of model that can be served" in "".join(served.lines)


@pytest.mark.parametrize("probe", [{"instances": [13]}, {"instances": [["a"]]}, {"inputs": []}, 5])
def test_a_model_that_fails_its_probe_is_never_ready(serve: Any, script_bundle: Any, probe: Any) -> None:
    bundle = script_bundle(MOODY)
    (bundle / "probe.json").write_text(json.dumps(probe))
    served = serve(bundle)
    assert served.end() == 1
    assert "probe.json" in "".join(served.lines)
    assert "ready:" not in "".join(served.lines)


def test_a_failing_model_is_a_500_without_its_secrets_and_the_server_goes_on(serve: Any, script_bundle: Any) -> None:
    served = serve(script_bundle(MOODY)).ready()
    for bad in (13, 14, 15):
        answer = served.ask("POST", PREDICT, {"instances": [bad]})
        assert answer.status == 500
        assert b"secret" not in answer.body
        assert served.ask("POST", PREDICT, {"instances": [0, 0.01]}).json == {"predictions": [0, 0.01]}
    served.wait_for("RuntimeError: secret words")


def test_a_slow_model_does_not_keep_health_from_answering(serve: Any, script_bundle: Any) -> None:
    served = serve(script_bundle(MOODY)).ready()
    for _ in range(2):  # the second time the server knows that it is slow
        slow = served.connect()
        slow.request("POST", PREDICT, json.dumps({"instances": [0.5]}), {"content-type": "application/json"})
        assert served.ask("GET", "/v2/health/live").status == 200
        assert b"in_flight 2" in served.ask("GET", "/metrics").body  # so the slow one was not over yet
        assert slow.getresponse().read() == b'{"predictions":[0.5]}'
        slow.close()


def test_one_bad_request_in_a_crowd_fails_alone(serve: Any, script_bundle: Any) -> None:
    served = serve(script_bundle(MOODY)).ready()
    values = [0.2, 0.01, 13, 0.02, "x", 0.03]
    clients = [served.connect() for _ in values]
    for client, value in zip(clients, values, strict=True):
        client.request("POST", PREDICT, json.dumps({"instances": [value]}), {"content-type": "application/json"})
    answers = [client.getresponse() for client in clients]
    assert [answer.status for answer in answers] == [200, 200, 500, 200, 400, 200]
    assert [json.loads(answer.read()).get("predictions") for answer in answers] == [
        [0.2],
        [0.01],
        None,
        [0.02],
        None,
        [0.03],
    ]
    for client in clients:
        client.close()
