"""What a network would take on a board that is not at hand: `dips-edge profile --estimate`, `--all-boards`.

model file ──graph──▶ nodes and shapes ──layers──▶ Layer(FLOPs, weights, values moved), ...
    ──roofline──▶ Prediction(low..high ms, bound by) per board and precision ──result──▶ text, dict
"""
