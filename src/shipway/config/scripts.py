"""
What a Python script reads and writes, as far as its text tells.

Modest on purpose: literal paths, names bound to them once, `Path(…) / …` and `os.path.join`, in calls whose name says which way the data goes.
"""

import ast
import posixpath
import re
from collections.abc import Iterator

import msgspec

_READS = re.compile(
    r"(read|load|imread|genfromtxt|fromfile|parse|listdir|scandir|glob|rglob|iterdir|walk|imagefolder)", re.IGNORECASE
)
_WRITES = re.compile(
    r"(write|save|dump|to_(csv|parquet|json|feather|pickle|hdf|excel|numpy)|imwrite|tofile|mkdir|makedirs)",
    re.IGNORECASE,
)
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)*/?")
_FILE = re.compile(
    r"\.(csv|tsv|json|jsonl|ya?ml|txt|npy|npz|parquet|feather|h5|hdf5|png|jpe?g|svg|pdf|pkl|pickle|joblib|onnx|pt|pth|keras|zip|gz|db|arrow|md|html)$"
)


class Mention(msgspec.Struct, frozen=True, kw_only=True):
    """A path that the script reads or writes, and the line where it does."""

    path: str
    line: int
    written: bool


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """`modules` are the names it imports; `words` every literal key that it looks up, which may be a parameter."""

    mentions: tuple[Mention, ...]
    modules: frozenset[str]
    words: frozenset[str]


def look_at(source: str) -> Script:
    """A script that does not parse tells nothing."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return Script(mentions=(), modules=frozenset(), words=frozenset())
    nodes = list(ast.walk(tree))
    names = _bound_paths(nodes)
    mentions = {
        (mention.path, mention.written): mention
        for node in reversed(nodes)
        if isinstance(node, ast.Call)
        for mention in _mentions(node, names)
    }
    return Script(
        mentions=tuple(sorted(mentions.values(), key=lambda mention: (mention.line, mention.path))),
        modules=frozenset(_modules(nodes)),
        words=frozenset(_words(nodes)),
    )


def _bound_paths(nodes: list[ast.AST]) -> dict[str, str]:
    """Names that are assigned one path, in the order of the text, so that one may be made from another."""
    names: dict[str, str] = {}
    assigned = [node for node in nodes if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    for node in sorted(assigned, key=lambda node: node.lineno):
        path = _path(node.value, names)
        if path is not None:
            names[node.targets[0].id] = path  # type: ignore[attr-defined]  # a Name, as just selected
    return names


def _path(node: ast.AST, names: dict[str, str]) -> str | None:
    """The path that an expression says, in plain text."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) and _PATH.fullmatch(node.value) else None
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and node.attr == "parent":
        inner = _path(node.value, names)
        return None if inner is None else posixpath.dirname(inner) or None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return _joined([node.left, node.right], names)
    if isinstance(node, ast.Call) and _called(node) in ("Path", "PurePath", "join", "str", "open"):
        return _joined(node.args[:1] if _called(node) in ("str", "open") else node.args, names)
    return None


def _joined(parts: list[ast.expr], names: dict[str, str]) -> str | None:
    """Up to the first part that is not plain, which leaves the directory."""
    found: list[str] = []
    for part in parts:
        path = _path(part, names)
        if path is None:
            break
        found.append(path)
    return posixpath.join(*found) if found else None


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _mentions(node: ast.Call, names: dict[str, str]) -> Iterator[Mention]:
    called = _called(node)
    candidates: list[ast.expr] = [*node.args, *(keyword.value for keyword in node.keywords)]
    if isinstance(node.func, ast.Attribute):
        candidates.append(node.func.value)
    if called == "open":
        written = any(mark in _mode(node) for mark in "wax+")
    elif called in ("Path", "join", "str") or not (_READS.search(called) or _WRITES.search(called)):
        return
    else:
        written = _WRITES.search(called) is not None
    for candidate in candidates:
        path = _path(candidate, names)
        # A bare word alone may be anything; one that is made into a path, or names a file by its suffix, is meant as one.
        if path is not None and (not isinstance(candidate, ast.Constant) or "/" in path or _FILE.search(path)):
            yield Mention(path=posixpath.normpath(path), line=node.lineno, written=written)


def _mode(node: ast.Call) -> str:
    arguments = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
    modes = [arg.value for arg in arguments if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    return next((mode for mode in modes if re.fullmatch(r"[rwaxbt+]{1,4}", mode)), "r")


def _modules(nodes: list[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _words(nodes: list[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.slice, ast.Constant)
            and isinstance(node.slice.value, str)
        ):
            yield node.slice.value
        elif isinstance(node, ast.Call) and _called(node) == "get" and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value
