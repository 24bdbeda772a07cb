"""What each rule's script imports, read from the code, and what its environment pins."""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import yaml

from consonance.fingerprint import local_modules

PIN = re.compile(r"([A-Za-z0-9_.-]+)==([^\s;#]+)")
RULE = re.compile(r"^(?=(?:rule|checkpoint|use rule) )", re.MULTILINE)
ENVIRONMENT = re.compile(r'"\.\./envs/(\w+)\.yaml"')
SCRIPT = re.compile(r'"\.\./workflow/scripts/(\w+\.py)"')


def normal(name: str) -> str:
    """Returns a distribution's name in one spelling (`_` and `.` are `-`, no capitals)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    """Returns name and version of every `name==version` outside comments."""
    return {normal(name): version for name, version in PIN.findall(re.sub(r"#.*", "", text))}


def scripts_by_environment(project: Path) -> dict[str, list[Path]]:
    """Returns the scripts of the rules that name each environment; "" for a rule without one."""
    found = defaultdict(set)
    for path in sorted((project / "rules").glob("*.smk")):
        for rule in RULE.split(path.read_text(encoding="utf-8")):
            names = ENVIRONMENT.findall(rule) or [""]
            for script in SCRIPT.findall(rule):
                found[names[0]].add(project / "workflow/scripts" / script)
    return {name: sorted(scripts) for name, scripts in sorted(found.items())}


def modules(scripts: list[Path]) -> list[Path]:
    """Returns the scripts and every local module that they reach, lazily or not."""
    return sorted({path for one in scripts for path in local_modules(one, one.parent)})


def _foreign(path: Path, root: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yields the imports of libraries in a file, at any level of nesting."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        else:
            continue
        tops = {name.split(".")[0] for name in names}
        own = {top for top in tops if (root / top).exists() or (root / f"{top}.py").exists()}
        if tops - own - sys.stdlib_module_names:
            yield node


def statements(scripts: list[Path]) -> list[str]:
    """Returns the import statements of libraries that the scripts reach, without repetition."""
    root = scripts[0].parent
    return sorted({ast.unparse(node) for path in modules(scripts) for node in _foreign(path, root)})


def distributions(scripts: list[Path]) -> set[str]:
    """Returns the distributions, as they are named in pins, that the scripts import."""
    known = packages_distributions()
    tops = set()
    for statement in statements(scripts):
        (node,) = ast.parse(statement).body
        names = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        tops |= {name.split(".")[0] for name in names}
    tops -= sys.stdlib_module_names
    return {normal(name) for top in tops for name in known.get(top, [top])}


def read_environment(path: Path) -> tuple[list[str], dict[str, str]]:
    """Returns the conda entries of an environment file and its pip pins."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    *entries, section = content["dependencies"]
    return entries, pins("\n".join(section["pip"]))
