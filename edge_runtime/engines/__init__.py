"""TensorRT engines on this machine: finding TensorRT, building once, keeping, checking before use."""
