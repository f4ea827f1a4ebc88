"""A recording stand-in for the builder half of TensorRT, for what no machine here can build.

It knows nothing of networks: it only has the attributes that each release has (see test_trt_api.py), notes
how it is called, and answers as it was told. What real TensorRT makes of the calls is not shown by it.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from edge_runtime.engines.trt import TensorRT, parse_version


class FakeTrt:
    """One release; `calls` is what was done with it, in order. Change an answer before building."""

    def __init__(self, version: str, name: str = "tensorrt") -> None:
        self.numbers = parse_version(version)
        self.name = name
        self.calls: list[tuple[Any, ...]] = []
        self.plan: bytes | None = b"plan"
        self.parser_errors: list[Any] = []
        self.lines: list[tuple[str, str]] = []
        self.starts = True
        self.dla_cores = 0
        self.fast = {"fp16": True, "int8": True}
        self.timing_caches_that_fit: tuple[bytes, ...] = (b"",)
        self.layers = [
            SimpleNamespace(name=n, type=n.partition("/")[0]) for n in ("CONSTANT/c", "CONV/a", "SOFT/b")
        ]
        self.on_dla = {"CONV/a"}

    def tensorrt(self) -> TensorRT:
        return TensorRT(self._module(), self.numbers, self.name, "fake")

    def _module(self) -> Any:
        old, new = self.numbers < (10,), self.numbers >= (11,) or self.name == "tensorrt_rtx"
        flags = {"GPU_FALLBACK": "GPU_FALLBACK", "TF32": "TF32"}
        creation: dict[str, int] = {} if new else {"EXPLICIT_BATCH": 0}
        if not new:
            flags |= {"FP16": "FP16", "INT8": "INT8"}
        if not old:
            creation["STRONGLY_TYPED"] = 1
        parts: dict[str, Any] = {
            "ILogger": type("ILogger", (), {}),
            "Builder": lambda logger: self._builder(logger),
            "OnnxParser": lambda network, logger: _Parser(self, logger),
            "NetworkDefinitionCreationFlag": SimpleNamespace(**creation),
            "BuilderFlag": SimpleNamespace(**flags),
            "MemoryPoolType": SimpleNamespace(WORKSPACE="WORKSPACE"),
            "ProfilingVerbosity": SimpleNamespace(DETAILED="DETAILED"),
            "DeviceType": SimpleNamespace(DLA="DLA"),
            "LayerType": SimpleNamespace(CONSTANT="CONSTANT"),
        }
        if not old:
            parts |= {"IProgressMonitor": type("IProgressMonitor", (), {})}
            parts |= {
                "OnnxParserFlag": SimpleNamespace(**({"ADJUST_FOR_DLA": "ADJUST_FOR_DLA"} if new else {}))
            }
        return _Hashable(**parts)

    def _builder(self, logger: Any) -> Any:
        for severity, text in self.lines:
            logger.log(SimpleNamespace(name=severity), text)
        if not self.starts:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        more = {f"platform_has_fast_{k}": v for k, v in self.fast.items()} if self.numbers < (11,) else {}
        return SimpleNamespace(
            num_DLA_cores=self.dla_cores,
            create_network=lambda flags: self._network(flags),
            create_builder_config=lambda: _Config(self),
            build_serialized_network=self._build,
            **more,
        )

    def _network(self, flags: int) -> Any:
        self.calls.append(("create_network", flags))
        return SimpleNamespace(num_layers=len(self.layers), get_layer=lambda i: self.layers[i])

    def _build(self, network: Any, config: Any) -> bytes | None:
        self.calls.append(("build",))
        return self.plan


class _Hashable(SimpleNamespace):
    __hash__ = object.__hash__  # type: ignore[assignment]


class _Parser:
    def __init__(self, fake: FakeTrt, logger: Any) -> None:
        self._fake = fake
        self.num_errors = len(fake.parser_errors)
        self.get_error = lambda i: fake.parser_errors[i]

    def set_flag(self, flag: str) -> None:
        self._fake.calls.append(("parser.set_flag", flag))

    def parse(self, model: bytes) -> bool:
        return not self._fake.parser_errors


class _Config:
    """Notes every call and every attribute that is set."""

    def __init__(self, fake: FakeTrt) -> None:
        object.__setattr__(self, "_fake", fake)
        object.__setattr__(self, "builder_optimization_level", 3)
        if fake.numbers >= (10,):
            object.__setattr__(self, "progress_monitor", None)

    def __setattr__(self, name: str, value: Any) -> None:
        self._fake.calls.append((name, value))

    def set_flag(self, flag: str) -> None:
        self._fake.calls.append(("set_flag", flag))

    def clear_flag(self, flag: str) -> None:
        self._fake.calls.append(("clear_flag", flag))

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self._fake.calls.append((pool, size))

    def can_run_on_DLA(self, layer: Any) -> bool:
        return layer.name in self._fake.on_dla

    def create_timing_cache(self, data: bytes) -> Any:
        return SimpleNamespace(data=data)

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        self._fake.calls.append(("set_timing_cache", cache.data, ignore_mismatch))
        return cache.data in self._fake.timing_caches_that_fit

    def get_timing_cache(self) -> Any:
        return SimpleNamespace(serialize=lambda: b"timings")
