"""A run's graph as SVG."""

from xml.etree import ElementTree

from shipway.app.drawing import draw
from shipway.pipeline.graph import Graph
from shipway.specs.runs import StageRow, StageState
from shipway.specs.stages import Project, Stage

SVG = "{http://www.w3.org/2000/svg}"


def a_graph() -> Graph:
    first = Stage(name="a<b", command="true", inputs=(), outputs=("one",))
    second = Stage(name="second", command="true", inputs=("one",), outputs=("two",))
    third = Stage(name="third", command="true", inputs=("one", "two"), outputs=("three",))
    return Graph(Project(name="p", root="/", stages=(first, second, third)))


def test_every_stage_is_a_box_and_every_need_a_line() -> None:
    drawn = ElementTree.fromstring(draw(a_graph(), []))
    assert [group.find(f"{SVG}title").text for group in drawn.iter(f"{SVG}g")] == ["a<b", "second", "third"]  # type: ignore[union-attr]
    assert len([path for path in drawn.iter(f"{SVG}path") if path.get("marker-end")]) == 3


def test_a_box_shows_state_and_time() -> None:
    row = StageRow(run="r", name="second", state=StageState.FAILED, started=10.0, ended=12.5)
    texts = [text.text for text in ElementTree.fromstring(draw(a_graph(), [row])).iter(f"{SVG}text")]
    assert "failed · 2.5 s" in texts
    assert texts.count("waiting") == 2
