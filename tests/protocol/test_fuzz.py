"""Nothing that a client sends is a 5xx, and the server lives on."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FIXTURE = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
NUMBERS = st.lists(st.floats() | st.integers() | JSON, min_size=3, max_size=5)


def near(**good: Any) -> st.SearchStrategy[dict[str, Any]]:
    """An object in which any value may be something else, and any may be missing."""
    return st.fixed_dictionaries(
        {}, optional={key: st.one_of(value, value, value, JSON) for key, value in good.items()}
    )


TENSOR = near(
    name=st.just("input-0"),
    shape=st.sampled_from([[1, 4], [1, 3], [4], [2, 2], [-1, 4], [0, 4], [2**62, 2**62]]),
    datatype=st.sampled_from(["FP64", "FP32", "FP16", "INT8", "UINT64", "BOOL", "BYTES", "BF16"]),
    data=NUMBERS | st.lists(NUMBERS, max_size=2),
    parameters=JSON,
)
V2 = near(
    inputs=st.lists(TENSOR, min_size=1, max_size=2),
    outputs=st.lists(near(name=st.sampled_from(["label", "probability"]))),
    id=st.text(),
)
V1 = near(instances=st.lists(NUMBERS | near(**{"input-0": NUMBERS}), max_size=3))
TARGETS = st.sampled_from([(V1, "/v1/models/m:predict"), (V2, "/v2/models/m/infer")])


@FIXTURE
@given(TARGETS.flatmap(lambda target: st.tuples(target[0] | JSON, st.just(target[1]))))
def test_json_that_is_nearly_right_is_answered_or_refused(classifier: Any, sent: tuple[Any, str]) -> None:
    body, path = sent
    answer = classifier.ask("POST", path, json.dumps(body).encode())
    assert answer.status in (200, 400)
    assert isinstance(answer.json, dict)


@FIXTURE
@given(st.binary(max_size=300), st.sampled_from(["/v1/models/m:predict", "/v2/models/m/infer"]))
def test_bodies_of_any_bytes_are_refused(classifier: Any, body: bytes, path: str) -> None:
    assert classifier.ask("POST", path, body).status == 400


GOOD = b'{"instances": [[1, 2, 3, 4]]}'
REQUEST = (
    b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    % (len(GOOD), GOOD)
)


@FIXTURE
@given(st.data())
def test_connections_of_any_bytes_leave_the_server_alive(classifier: Any, data: st.DataObject) -> None:
    broken = bytearray(REQUEST * 2)
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(broken) - 1))
        broken[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    sent = data.draw(st.just(bytes(broken)) | st.binary(max_size=200))
    with socket.create_connection(("127.0.0.1", classifier.port), timeout=30) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert b"HTTP/1.1 5" not in answer
    assert classifier.ask("POST", "/v1/models/m:predict", GOOD).status == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["--exclude-path-regex", "infer$"],
        # JSON Schema cannot say that V2's data must have as many values as its shape, so what fits the schema may still be refused
        ["--include-path-regex", "infer$", "--exclude-checks", "positive_data_acceptance"],
    ],
)
def test_the_openapi_document_is_true(classifier: Any, tmp_path: Path, options: list[str]) -> None:
    """Schemathesis makes requests from the document, good and bad, and checks each answer against it."""
    command = [
        Path(sys.executable).with_name("schemathesis"),
        "run",
        f"http://127.0.0.1:{classifier.port}/openapi.json",
        *options,
    ]
    common = ["--max-examples", "25", "--checks", "all", "--seed", "1", "--no-color", "--generation-database", "none"]
    done = subprocess.run([*command, *common], capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
