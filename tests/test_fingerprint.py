from pathlib import Path

import pytest

from consonance.fingerprint import fingerprint, local_modules

FILES = {
    "script.py": "import numpy\nfrom pack import direct\n\ndirect.f()\n",
    "other.py": "from pack.sub import leaf\n",
    "pack/__init__.py": '"""A package."""\n',
    "pack/direct.py": "from .sub.leaf import g\n\ndef f():\n    '''Doc.'''\n    return g()\n",
    "pack/late.py": "X = 1\n",
    "pack/unused.py": "X = 1\n",
    "pack/sub/__init__.py": "",
    "pack/sub/leaf.py": "def g():\n    from .. import late\n    return late.X  # one\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def edited(root: Path, tmp_path_factory: pytest.TempPathFactory, name: str, text: str) -> Path:
    copy = tmp_path_factory.mktemp("edited")
    for path in root.rglob("*.py"):
        target = copy / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text())
    (copy / name).write_text(text)
    return copy


def test_follows_imports_of_every_kind(root):
    names = [path.relative_to(root).as_posix() for path in local_modules(root / "script.py", root)]
    assert names == [
        "pack/__init__.py",
        "pack/direct.py",
        "pack/late.py",
        "pack/sub/__init__.py",
        "pack/sub/leaf.py",
        "script.py",
    ]


@pytest.mark.parametrize(
    ("name", "text", "changes"),
    [
        ("pack/sub/leaf.py", FILES["pack/sub/leaf.py"].replace("# one", "# two"), False),
        ("pack/direct.py", FILES["pack/direct.py"].replace("Doc.", "Another."), False),
        ("pack/direct.py", FILES["pack/direct.py"].replace("    return", "\n    return"), False),
        ("pack/unused.py", "X = 2\n", False),
        ("pack/late.py", "X = 2\n", True),
        ("pack/direct.py", FILES["pack/direct.py"].replace("g()\n", "g() + 1\n"), True),
        ("script.py", FILES["script.py"] + "direct.f()\n", True),
    ],
)
def test_changes_exactly_with_meaning(root, tmp_path_factory, name, text, changes):
    copy = edited(root, tmp_path_factory, name, text)
    before = fingerprint(root / "script.py", root)
    after = fingerprint(copy / "script.py", copy)
    assert (before != after) is changes


def test_scripts_that_share_a_module_differ(root):
    assert fingerprint(root / "script.py", root) != fingerprint(root / "other.py", root)


def test_does_not_depend_on_where_the_project_lies(root, tmp_path_factory):
    copy = edited(root, tmp_path_factory, "script.py", FILES["script.py"])
    assert fingerprint(root / "script.py", root) == fingerprint(copy / "script.py", copy)
