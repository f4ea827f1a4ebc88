#!/usr/bin/env bash
# The wheel as a board gets it, on each Python of JetPack: bare install, the demo, the tests of what flies.
# By hand: tests/aarch64/pythons.sh python3.8 python3.10 python3.12   (minutes; needs a package index)
# Prints one line per Python: versions, records of the demo, tests (but for two files: a browser, the exporter).
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || { echo "which Pythons? for example: $0 python3.8 python3.10 python3.12" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 OMP_NUM_THREADS=1

python3 -m venv "$work/builder"
"$work/builder/bin/pip" install --quiet build
"$work/builder/bin/python" -m build --wheel --outdir "$work" . >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
wheel=$(echo "$work"/dips_edge-*.whl)

failed=0
for python in "$@"; do
  at=$work/$(basename "$python")-$RANDOM
  "$python" -m venv "$at"
  "$at/bin/pip" install --quiet "${wheel}[guidance]" 2>"$at/pip.log" || { cat "$at/pip.log"; exit 1; }
  what=$("$at/bin/pip" list --format=freeze | grep -E '^(numpy|onnxruntime|click|opencv-python|pymavlink|websockets)=' | tr '\n' ' ')
  (cd "$work" && "$at/bin/dips-edge" run --quiet --source demo --sink "jsonl:$at/demo.jsonl")
  refusal=$("$at/bin/dips-edge" train nothing 2>&1 >/dev/null) && exit 1
  [ "$(wc -l <<<"$refusal")" = 1 ] || { echo "dips-edge train said: $refusal"; exit 1; }
  "$at/bin/pip" install --quiet pytest hypothesis jsonschema onnx 2>"$at/pip.log" || { cat "$at/pip.log"; exit 1; }
  # The installed wheel is what is tested: `tests` is copied beside it, our sources are not.
  mkdir "$at/outside" && cp -r tests jetson pyproject.toml README.md "$at/outside/"
  (cd "$at/outside" && "$at/bin/python" -m pytest -q -p no:cacheprovider tests/edge_runtime \
    --ignore tests/edge_runtime/web/test_browser.py \
    --ignore tests/edge_runtime/profiling/estimate/test_layers.py) >"$at/pytest.log" 2>&1 || failed=1
  grep -E '^(FAILED|ERROR)' "$at/pytest.log" || true
  echo "$("$at/bin/python" -V): $what| demo $(wc -l <"$at/demo.jsonl") lines | $(tail -1 "$at/pytest.log")"
done
exit "$failed"
