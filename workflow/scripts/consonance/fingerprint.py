"""What a script computes, as a short text that changes when, and only when, its meaning may.

Snakemake sees that a script's file changed, not that a module it imports did, and it takes a fresh
checkout for a change. So every rule carries `fingerprint(script)` as a parameter instead.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_LENGTH = 16


class _WithoutDocstrings(ast.NodeTransformer):
    """Drops docstrings; comments and layout are not in a syntax tree to begin with."""

    def _strip(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        first = node.body[0] if node.body else None
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            node.body = node.body[1:]
        return node

    visit_Module = visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _strip


def _imported_names(tree: ast.AST, module: tuple[str, ...], is_package: bool) -> Iterator[str]:
    """Yields every dotted name that the tree imports, at any level of nesting."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module.split(".") if node.module else []
            if node.level:
                up = node.level - 1 if is_package else node.level
                origin = [*module[: len(module) - up], *origin]
            yield ".".join(origin)
            yield from (".".join([*origin, alias.name]) for alias in node.names)


@cache
def _read(path: Path, root: Path) -> tuple[str, tuple[Path, ...]]:
    """Returns the digest of one file's syntax tree and the local files that it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    is_package = path.name == "__init__.py"
    parts = path.relative_to(root).with_suffix("").parts
    module = parts[:-1] if is_package else parts
    files: set[Path] = set()
    for name in _imported_names(tree, module, is_package):
        steps = name.split(".")
        for length in range(1, len(steps) + 1):
            place = root.joinpath(*steps[:length])
            candidates = (place.with_suffix(".py"), place / "__init__.py")
            files.update(file for file in candidates if file.is_file())
    text = ast.dump(_WithoutDocstrings().visit(tree))
    return hashlib.sha256(text.encode()).hexdigest(), tuple(sorted(files))


def local_modules(script: Path, root: Path) -> list[Path]:
    """Returns `script` and every file below `root` that it imports, directly or through others.

    Args:
        script: a Python file below `root`.
        root: the folder that is on the import path of the script.

    Returns:
        Sorted paths. Imports of installed libraries are not followed.
    """
    seen: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting.extend(_read(path, root)[1])
    return sorted(seen)


def fingerprint(script: Path, root: Path) -> str:
    """Returns 16 hexadecimal digits over the syntax trees of a script and its local imports.

    Comments, docstrings and layout do not count; names of files, relative to `root`, do.

    Args:
        script: a Python file below `root`.
        root: the folder that is on the import path of the script.
    """
    digest = hashlib.sha256()
    for path in local_modules(script, root):
        digest.update(f"{path.relative_to(root).as_posix()}\0{_read(path, root)[0]}\n".encode())
    return digest.hexdigest()[:_LENGTH]
