"""Size and building time of engines by TensorRT-RTX, which needs no GPU to build.

python -m tests.bench.bench_engine [MODEL-fp32.onnx]
"""

from __future__ import annotations

import dataclasses
import sys
import time

import onnx

from edge_runtime.engines.plan import EngineOptions
from edge_runtime.engines.trt import find_tensorrt
from edge_runtime.modelfile import find_model
from edge_runtime.onnxfile import read_contract
from export.engine import build
from tests.export.variants import variants


def main(model: str = "demo") -> None:
    path = find_model(model)
    contract = read_contract(path)
    trt = find_tensorrt(["tensorrt_rtx"])
    print(f"{path.name} at {contract.input_height} x {contract.input_width}, {trt.label}")
    for name, (made, precision, target) in variants(onnx.load(path)).items():
        data = made.SerializeToString()
        described = dataclasses.replace(contract, precision=precision, target=target)
        start = time.process_time()
        built = build(data, described, trt, EngineOptions())
        spent = time.process_time() - start
        sizes = f"file {len(data) / 1e6:5.1f} MB  plan {len(built.plan) / 1e6:5.1f} MB"
        print(f"{name:10} {sizes}  CPU {spent:.1f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
