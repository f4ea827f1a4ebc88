#!/usr/bin/env bash
# 64-bit Arm without a board: Debian for arm64 under qemu, the wheel installed there as on a board without GPU,
# the demo flown, its records compared with this machine's, some tests run.
# By hand, as root: tests/aarch64/emulated_run.sh [ROOT]   (an hour on two cores; needs a Debian mirror and PyPI)
#   ROOT    where the Arm system is made, and found again the next time   [a folder that is removed at the end]
#   SUITE   Debian's: bullseye has glibc 2.31 as JetPack 5.1 has, and Python 3.9; bookworm 2.36 and 3.11   [bookworm]
#   FRAMES  of the demo clip; one takes about 20 s   [12]
# Times under emulation mean nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
repository=$PWD
suite=${SUITE:-bookworm} frames=${FRAMES:-12}
mirror=${MIRROR:-http://deb.debian.org/debian}
step() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }

[ "$(id -u)" = 0 ] || { echo "root is needed: debootstrap and chroot" >&2; exit 2; }
for tool in debootstrap qemu-aarch64-static; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install debootstrap qemu-user-static" >&2; exit 2; }
done
work=$(mktemp -d)
root=${1:-$work/root}
# shellcheck disable=SC2317 # called by the trap
cleanup() {
  for kernel in proc sys; do mountpoint -q "$root/$kernel" && umount "$root/$kernel"; done
  rm -rf --one-file-system "$work"
}
trap cleanup EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 OMP_NUM_THREADS=1

step "qemu runs Arm programs"
binfmt=/proc/sys/fs/binfmt_misc
[ -e "$binfmt/register" ] || mount -t binfmt_misc none "$binfmt"
[ -e "$binfmt/qemu-aarch64" ] || printf '%s' "$(cat /usr/lib/binfmt.d/qemu-aarch64.conf)" >"$binfmt/register"

if [ ! -x "$root/usr/bin/python3" ]; then
  step "Debian $suite for arm64 in $root"
  mkdir -p "$root"
  debootstrap --arch=arm64 --variant=minbase \
    --include=python3,python3-venv,libgl1,libglib2.0-0,ca-certificates "$suite" "$root" "$mirror" >"$work/debootstrap.log" ||
    { tail "$work/debootstrap.log"; exit 1; }
fi
cp /etc/resolv.conf "$root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" # of this machine: its network may have its own
mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
mountpoint -q "$root/sys" || mount -t sysfs -o ro sys "$root/sys" # onnxruntime 1.19 aborts without, as boards never are
# Orin's cores are Cortex-A78; the nearest that qemu knows. The default has SVE and SME, which no Jetson has.
on_arm() { QEMU_CPU=cortex-a76 nice chroot "$root" env -i PATH=/usr/bin:/bin HOME=/root LANG=C.UTF-8 QEMU_CPU=cortex-a76 OMP_NUM_THREADS=1 \
  PIP_CERT=/etc/ssl/certs/ca-certificates.crt "$@"; }

step "the wheel, here and there"
python3 -m venv "$work/here"
"$work/here/bin/pip" install --quiet build
"$work/here/bin/python" -m build --wheel --outdir "$work" . >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
wheel=$(basename "$work"/dips_edge-*.whl)
"$work/here/bin/pip" install --quiet "$work/$wheel"
cp "$work/$wheel" "$root/tmp/"
on_arm python3 -m venv /opt/edge
on_arm /opt/edge/bin/pip install --quiet --no-cache-dir 'pip>=21.3'
on_arm /opt/edge/bin/pip install --quiet --no-cache-dir --only-binary=:all: "/tmp/$wheel"
on_arm /opt/edge/bin/pip install --quiet --force-reinstall --no-deps "/tmp/$wheel" # the one of before may be there
system='import platform as p; print(p.machine(), "CPython", p.python_version(), *p.libc_ver())'
packages='^(numpy|onnxruntime|opencv-python|click|dips)'
"$work/here/bin/python" -c "$system"
"$work/here/bin/pip" list --format=freeze | grep -E "$packages" | tr '\n' ' '
echo
on_arm /opt/edge/bin/python -c "$system"
on_arm /opt/edge/bin/pip list --format=freeze | grep -E "$packages" | tr '\n' ' '
echo

step "pictures of the demo clip, as PNG: the same pixels for both, but resizing rounds 1 of 2000 otherwise"
mkdir -p "$root/tmp/pictures"
"$work/here/bin/python" - "$root/tmp/pictures" <<'PYTHON'
import sys
import cv2
from edge_runtime.modelfile import ASSETS
clip = cv2.VideoCapture(str(ASSETS / "demo.mp4"))
for i in range(151):
    picture = clip.read()[1]
    if i % 30 == 0:
        cv2.imwrite(f"{sys.argv[1]}/{i:03}.png", picture)
PYTHON
fly=(run --quiet --force --threads 1 --model demo)
"$work/here/bin/dips-edge" "${fly[@]}" --source "$root/tmp/pictures" --sink "jsonl:$work/pictures.jsonl"
on_arm /opt/edge/bin/dips-edge "${fly[@]}" --source /tmp/pictures --sink jsonl:/tmp/pictures.jsonl 2>"$work/arm.log" ||
  { cat "$work/arm.log"; exit 1; }
failed=0
compare=("$work/here/bin/python" tests/aarch64/compare_records.py)
"${compare[@]}" "$root/tmp/pictures.jsonl" "$work/pictures.jsonl" --box 0.0005 --score 0.001 || failed=1

step "the demo clip, $frames frames: FFmpeg's colours differ by up to 3 of 255 between the two"
"$work/here/bin/dips-edge" "${fly[@]}" --source demo --max-frames "$frames" --sink "jsonl:$work/demo.jsonl"
on_arm /opt/edge/bin/dips-edge "${fly[@]}" --source demo --max-frames "$frames" --sink jsonl:/tmp/demo.jsonl 2>"$work/arm.log" ||
  { cat "$work/arm.log"; exit 1; }
"${compare[@]}" "$root/tmp/demo.jsonl" "$work/demo.jsonl" --box 0.005 --score 0.05 || failed=1

step "tests, there"
on_arm /opt/edge/bin/pip install --quiet --no-cache-dir --only-binary=:all: pytest hypothesis jsonschema onnx
rm -rf "$root/tmp/outside" && mkdir "$root/tmp/outside"
cp -r "$repository/tests" "$repository/pyproject.toml" "$root/tmp/outside/"
on_arm sh -c 'cd /tmp/outside && exec /opt/edge/bin/python -m pytest -q -p no:cacheprovider \
  tests/edge_runtime/test_boxes.py tests/edge_runtime/test_records.py tests/edge_runtime/test_mailbox.py \
  tests/edge_runtime/test_onnxfile.py tests/edge_runtime/tracking' | tail -5 || failed=1

step "$([ "$failed" = 0 ] && echo "done" || echo "not the same")"
exit "$failed"
