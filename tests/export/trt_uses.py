"""Every attribute of TensorRT that our sources use, found by reading them; nothing is imported.

source files ──ast──▶ Use(class of TensorRT, attribute, guarded by hasattr or getattr)
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.engines.trt import TensorRT

ROOT = Path(__file__).parent.parent.parent
MODULE = ""  # stands for the module itself
OURS = set(dir(TensorRT)) | set(TensorRT.__dataclass_fields__)  # some of our variables called `trt` hold this

# What the expressions of a file are; everything else in `OTHERS` is none of TensorRT's.
HOLDERS = {
    "edge_runtime/engines/trt.py": {"module": MODULE},
    "edge_runtime/backends/trtengine.py": {
        "self._trt": MODULE,
        "trt": MODULE,
        "self._runtime": "Runtime",
        "self._engine": "ICudaEngine",
        "self._context": "IExecutionContext",
    },
    "export/engine.py": {
        "m": MODULE,
        "self._trt.module": MODULE,
        "builder": "Builder",
        "network": "INetworkDefinition",
        "parser": "OnnxParser",
        "error": "ParserError",
        "config": "IBuilderConfig",
        "config.get_timing_cache()": "ITimingCache",
        "layer": "ILayer",
        "getattr(self._trt.module, 'OnnxParserFlag', None)": "OnnxParserFlag",
    },
    "export/engine_offer.py": {"trt.module": MODULE, "creation": "NetworkDefinitionCreationFlag"},
    "export/engine_progress.py": {"module": MODULE},
}
OTHERS = {
    "edge_runtime/engines/trt.py": {
        "error",
        "found",
        "lines",
        "log",
        "logging",
        "refused",
        "self",
        "severity",
        "type(error)",
    },
    "edge_runtime/backends/trtengine.py": {
        "buffer.host",
        "buffer.host.dtype",
        "lines",
        "self",
        "watch.total_ms",
    },
    "export/engine.py": {"self._trt"},
    "export/engine_offer.py": {"trt"},
    "export/engine_progress.py": {"errors", "results", "self._phases", "thread", "watch"},
}
PASS_ON = {"edge_runtime/backends/tensorrt.py"}  # hold the module and give it to one of HOLDERS


@dataclass(frozen=True, order=True)
class Use:
    """`owner` is a class or enum of TensorRT, `MODULE` for the module; `guarded`: it may be missing."""

    owner: str
    attribute: str
    guarded: bool

    def __str__(self) -> str:
        return f"{self.owner}.{self.attribute}" if self.owner else self.attribute


def uses_in(path: str) -> set[Use]:
    """What one source file uses; an attribute that is asked for by `hasattr` anywhere in it is guarded."""
    holders = HOLDERS[path]
    plain: set[tuple[str, str]] = set()
    asked: set[tuple[str, str]] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            owner = _owner(node.value, holders)
            if owner is not None:
                plain.add((owner, node.attr))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("hasattr", "getattr"):
            owner = _owner(node.args[0], holders)
            if owner is not None and isinstance(node.args[1], ast.Constant):
                asked.add((owner, str(node.args[1].value)))
    found = {use for use in plain | asked if not use[1].startswith("__")}
    return {Use(*use, guarded=use in asked) for use in found if use[0] != MODULE or use[1] not in OURS}


def all_uses() -> set[Use]:
    """What all files use; guarded only where it is guarded in every file."""
    found = [use for path in HOLDERS for use in uses_in(path)]
    bare = {(use.owner, use.attribute) for use in found if not use.guarded}
    return {Use(use.owner, use.attribute, (use.owner, use.attribute) not in bare) for use in found}


def files_with_the_module() -> set[str]:
    """Sources that take the module out of our `TensorRT`."""
    paths = [path for room in ("edge_runtime", "export") for path in (ROOT / room).rglob("*.py")]
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}
    return {path for path, text in texts.items() if "trt.module" in text}


def unknown_bases(path: str, names: set[str]) -> set[str]:
    """Expressions of a file with an attribute called as one of TensorRT's that are in neither table."""
    known = HOLDERS[path]
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in names and _owner(node.value, known) is None:
            found.add(ast.unparse(node.value))
    return found - OTHERS[path]


def _owner(node: ast.expr, holders: dict[str, str]) -> str | None:
    text = ast.unparse(node)
    if text in holders:
        return holders[text]
    if isinstance(node, ast.Attribute) and _owner(node.value, holders) == MODULE and node.attr not in OURS:
        return node.attr  # an enum or class of the module
    return None
