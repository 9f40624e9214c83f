"""The graph of a run as an SVG picture: stages from left to right, coloured by their state."""

from collections.abc import Mapping, Sequence
from html import escape

from shipway.pipeline.graph import Graph
from shipway.specs.runs import StageRow, StageState

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _EDGE, _BOW = 170, 54, 60, 44, 20, 34

_FILLS = {
    StageState.SUCCEEDED: "#d5efdc",
    StageState.CACHED: "#e3ecf7",
    StageState.RUNNING: "#fdf1cf",
    StageState.FAILED: "#f8d7d3",
    StageState.CANCELLED: "#f3e0c8",
    StageState.SKIPPED: "#eeeeee",
    StageState.WAITING: "#ffffff",
}


def draw(graph: Graph, rows: Sequence[StageRow]) -> str:
    """Return the SVG; stages of the graph that the run did not touch are drawn as waiting."""
    by_name = {row.name: row for row in rows}
    places = _places(graph)
    right = max((x for x, _ in places.values()), default=0) + _WIDTH + _EDGE
    bottom = max((y for _, y in places.values()), default=0) + _HEIGHT + _EDGE + _BOW // 2
    edges = [_edge(places[need], places[name]) for name in graph.order for need in sorted(graph.needs[name])]
    boxes = [_box(name, by_name.get(name), *places[name]) for name in graph.order]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{right}" height="{bottom}" viewBox="0 0 {right} {bottom}"'
            ' font-family="system-ui, sans-serif">',
            f'<rect width="{right}" height="{bottom}" fill="white"/>',
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0 8 4 0 8z" fill="#777"/></marker></defs>',
            *edges,
            *boxes,
            "</svg>\n",
        ]
    )


def _places(graph: Graph) -> Mapping[str, tuple[int, int]]:
    """Each stage's upper left corner: its column is the longest way to it, its row the order in that column."""
    column: dict[str, int] = {}
    for name in graph.order:
        column[name] = 1 + max((column[need] for need in graph.needs[name]), default=-1)
    filled: dict[int, int] = {}
    places: dict[str, tuple[int, int]] = {}
    for name in graph.order:
        row = filled.get(column[name], 0)
        filled[column[name]] = row + 1
        places[name] = (_EDGE + column[name] * (_WIDTH + _GAP_X), _EDGE + row * (_HEIGHT + _GAP_Y))
    return places


def _edge(start: tuple[int, int], end: tuple[int, int]) -> str:
    """A line to the next column, or a bow below the boxes to one further away, so that it isn't hidden behind what lies between."""
    if end[0] - start[0] > _WIDTH + _GAP_X:
        x1, y1 = start[0] + _WIDTH * 2 // 3, start[1] + _HEIGHT
        x2, y2 = end[0] + _WIDTH // 3, end[1] + _HEIGHT + 2
        low = max(y1, y2) + _BOW
        path = f"M{x1} {y1}C{x1} {low} {x2} {low} {x2} {y2}"
    else:
        x1, y1 = start[0] + _WIDTH, start[1] + _HEIGHT // 2
        x2, y2 = end[0] - 2, end[1] + _HEIGHT // 2
        middle = (x1 + x2) // 2
        path = f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"
    return f'<path d="{path}" fill="none" stroke="#777" marker-end="url(#tip)"/>'


def _box(name: str, row: StageRow | None, x: int, y: int) -> str:
    state = StageState.WAITING if row is None else row.state
    took = f" · {row.ended - row.started:.1f} s" if row is not None and row.started and row.ended else ""
    shown = name if len(name) <= 20 else name[:19] + "…"
    return (
        f'<g transform="translate({x} {y})"><title>{escape(name)}</title>'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="8" fill="{_FILLS[state]}" stroke="#555"/>'
        f'<text x="12" y="23" font-size="14" font-weight="600">{escape(shown)}</text>'
        f'<text x="12" y="42" font-size="12" fill="#444">{state}{took}</text></g>'
    )
