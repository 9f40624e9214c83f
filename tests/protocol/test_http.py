"""What every HTTP client may rely on, and what none may do to the server."""

import json
import re
import socket
from typing import Any

import pytest

PREDICT = "/v1/models/m:predict"
BODY = json.dumps({"instances": [[1, 2, 3, 4]]}).encode()


def post(body: bytes, *lines: str, path: str = PREDICT) -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *lines]
    if not any(line.lower().startswith("transfer-encoding") for line in lines):
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


def statuses(answer: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d+) ", answer)]


def test_every_answer_names_the_revision_and_its_date(classifier: Any) -> None:
    for path in ("/v2/health/live", "/nothing"):
        headers = classifier.ask("GET", path).headers
        assert headers["x-shipway-revision"] == "v3-abc"
        assert "GMT" in headers["date"]


def test_a_wrong_method_is_told_the_right_ones(classifier: Any) -> None:
    for method, path, allowed in (
        ("GET", PREDICT, "POST"),
        ("POST", "/v2/health/live", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
    ):
        answer = classifier.ask(method, path)
        assert (answer.status, answer.headers["allow"]) == (405, allowed)


def test_an_unknown_path_is_not_found(classifier: Any) -> None:
    for path in ("/nothing", "/v1/models/m:explain", "/v2/models", "/%00", "/v2/health/live/", "//"):
        assert classifier.ask("GET", path).status == 404


def test_a_query_and_escapes_in_the_path_do_not_matter(classifier: Any) -> None:
    assert classifier.ask("GET", "/v2/health/live?a=b").status == 200
    assert classifier.ask("POST", "/v1/models/m%3Apredict", BODY).status == 200


def test_head_gives_the_headers_alone(classifier: Any) -> None:
    answer = classifier.ask("HEAD", "/v2/models/m")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) == len(classifier.ask("GET", "/v2/models/m").body)


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "text/plain"},
        {"content_type": "application/x-www-form-urlencoded"},
        {"content_encoding": "gzip"},
        {"Inference_Header_Content_Length": "10"},
    ],
)
def test_a_body_that_is_not_plain_json_is_refused_as_such(classifier: Any, headers: dict[str, str]) -> None:
    assert classifier.ask("POST", PREDICT, BODY, **headers).status == 415


def test_json_may_name_its_charset(classifier: Any) -> None:
    assert classifier.ask("POST", PREDICT, BODY, content_type="Application/JSON; charset=utf-8").status == 200


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(classifier: Any) -> None:
    declared = post(b"", "Expect: 100-continue").replace(b"Content-Length: 0", b"Content-Length: 99999999999")
    assert statuses(classifier.raw(declared)) == [413]
    assert statuses(classifier.raw(post(b" " * (2**20 + 1)))) == [413]
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
    assert statuses(classifier.raw(post(piece * 20 + b"0\r\n\r\n", "Transfer-Encoding: chunked"))) == [413]


def test_a_refused_upload_still_sees_the_answer(classifier: Any) -> None:
    """The client goes on sending megabytes that nobody wants; closing on it would be a reset that eats the answer."""
    with socket.create_connection(("127.0.0.1", classifier.port), timeout=30) as client:
        client.sendall(post(b"").replace(b"Content-Length: 0", b"Content-Length: 8000000"))
        for _ in range(80):
            client.sendall(b" " * 100_000)
        assert statuses(client.recv(65536)) == [413]


def test_a_body_may_come_in_chunks_and_after_a_go_ahead(classifier: Any) -> None:
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:7], BODY[7:])) + b"0\r\n\r\n"
    assert statuses(classifier.raw(post(chunked, "Transfer-Encoding: chunked"))) == [200]
    assert statuses(classifier.raw(post(BODY, "Expect: 100-continue"))) == [100, 200]


def test_a_request_may_come_byte_by_byte(classifier: Any) -> None:
    with socket.create_connection(("127.0.0.1", classifier.port), timeout=30) as client:
        for byte in post(BODY):
            client.sendall(bytes([byte]))
        assert b"predictions" in client.recv(65536)


def test_pipelined_requests_are_answered_in_their_order(classifier: Any) -> None:
    asked = [post(BODY), b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", post(b"{}"), post(BODY)] * 25
    assert statuses(classifier.raw(b"".join(asked))) == [200, 404, 400, 200] * 25


def test_a_client_that_asks_to_close_is_closed(classifier: Any) -> None:
    answer = classifier.raw(post(BODY, "Connection: close") + post(BODY))
    assert statuses(answer) == [200]
    assert b"connection: close" in answer


def test_http_1_0_is_answered_and_closed(classifier: Any) -> None:
    answer = classifier.raw(b"GET /v2/health/live HTTP/1.0\r\n\r\n")
    assert statuses(answer) == [200]
    assert b"connection: close" in answer


def test_an_offer_to_upgrade_is_answered_over_http_1_1(classifier: Any) -> None:
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA")
    assert statuses(classifier.raw(post(BODY, *offer))) == [200]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400),
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 400),
        (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na", 405),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET /" + b"a" * 300_000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 300_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 50_000, 431),
    ],
)
def test_malformed_http_is_refused_and_the_connection_closed(classifier: Any, data: bytes, status: int) -> None:
    assert statuses(classifier.raw(data)) == [status]


def test_metrics_count_requests_by_route_and_code(classifier: Any) -> None:
    classifier.ask("POST", PREDICT, b"{")
    answer = classifier.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = answer.body.decode()
    assert 'shipway_requests_total{route="predict",code="400"}' in text
    assert 'shipway_request_seconds_bucket{route="predict",le="+Inf"}' in text
    assert "shipway_batch_rows_count" in text
    assert "shipway_requests_in_flight 1" in text  # this one


def test_the_page_is_whole_and_its_data_cannot_break_out(classifier: Any) -> None:
    answer = classifier.ask("GET", "/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    data = answer.body.decode().partition('type="application/json">')[2].partition("</script>")[0]
    page = json.loads(data)
    assert (page["name"], page["version"], page["known"]) == ("m", "3", True)
    assert classifier.infer(page["example"]).status == 200
