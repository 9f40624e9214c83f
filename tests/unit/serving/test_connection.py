"""A connection's time limits and what it does when a client doesn't read, without a socket."""

import asyncio
from typing import Any

import pytest

from shipway.serving.connection import HEAD_SECONDS, STALL_SECONDS, Connection, Link
from shipway.serving.messages import Reply, Request, Response
from shipway.serving.metrics import Metrics

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reading = True
        self.ended = False

    def write(self, data: Any) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Scene:
    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.link = Link(handle=self.handle, metrics=Metrics(), most_body=1000)
        self.connection = Connection(self.link)
        self.wire = Wire()
        self.connection.connection_made(self.wire)

    def handle(self, request: Request, reply: Reply) -> None:
        self.replies.append(reply)

    def answer(self) -> None:
        self.replies.pop(0)(Response(200, b"{}"))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_head_that_trickles_in_is_late_whatever_its_bytes(scene: Scene) -> None:
    scene.connection.data_received(GET[:10])
    began = scene.connection.touched
    scene.connection.data_received(GET[10:20])
    assert not scene.connection.late(began + HEAD_SECONDS - 1)
    assert scene.connection.late(began + HEAD_SECONDS + 1)


def test_a_body_is_late_only_where_it_stalls(scene: Scene) -> None:
    scene.connection.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
    assert not scene.connection.late(scene.connection.touched + STALL_SECONDS - 1)
    assert scene.connection.late(scene.connection.touched + STALL_SECONDS + 1)


def test_a_late_request_is_told_and_closed_after_the_answers_before_it(scene: Scene) -> None:
    scene.connection.data_received(GET + GET[:10])
    scene.connection.refuse(408, "too late")
    assert scene.wire.written == b""
    scene.answer()
    assert [part[:3] for part in scene.wire.written.split(b"HTTP/1.1 ")[1:]] == [b"200", b"408"]
    assert scene.wire.ended


def test_requests_are_given_to_the_app_one_at_a_time_and_reading_stops_behind_many(scene: Scene) -> None:
    scene.connection.data_received(GET * 20)
    assert len(scene.replies) == 1
    assert not scene.wire.reading
    for _ in range(20):
        scene.answer()
        assert len(scene.replies) <= 1
    assert scene.wire.reading
    assert scene.wire.written.count(b"HTTP/1.1 200") == 20


def test_a_client_that_does_not_read_gets_nothing_more_and_is_stuck(scene: Scene) -> None:
    scene.connection.data_received(GET * 2)
    scene.connection.pause_writing()
    scene.answer()
    assert scene.replies == []
    assert scene.connection.stuck(scene.connection.touched + STALL_SECONDS + 1)
    scene.connection.resume_writing()
    assert len(scene.replies) == 1


def test_an_answer_to_a_client_that_has_gone_is_dropped(scene: Scene) -> None:
    scene.connection.data_received(GET)
    scene.connection.connection_lost(None)
    assert scene.link.connections == set()
    scene.answer()
    assert scene.link.metrics.in_flight == 0


def test_the_answer_during_draining_says_close(scene: Scene) -> None:
    scene.connection.data_received(GET)
    scene.link.draining = True
    scene.answer()
    assert b"connection: close" in scene.wire.written
    assert scene.wire.ended
