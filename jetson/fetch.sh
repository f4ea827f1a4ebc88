#!/usr/bin/env bash
# For boards without network: on a machine that has it, fills a folder with everything `install.sh --find-links`
# needs. Copy the folder and this checkout to the board.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"

# Python and the newest glibc 2.N of each JetPack.
case ${1:-} in
  5 | 5.*) python=3.8 glibc=31 ;;
  6 | 6.*) python=3.10 glibc=35 ;;
  7 | 7.*) python=3.12 glibc=39 ;;
  -h | --help)
    printf 'usage: jetson/fetch.sh JETPACK DIR     JETPACK: 5.1, 6 or 7, as install.sh --dry-run names it on the board\n'
    exit 0
    ;;
  *) usage_error "which JetPack? 5.1, 6 or 7" ;;
esac
into=${2:-}
[ -n "$into" ] || usage_error "which folder to fill?"
[ $# = 2 ] || usage_error "two arguments are expected"
mkdir -p "$into"

platforms=(--platform manylinux2014_aarch64)
for ((n = 17; n <= glibc; n++)); do platforms+=(--platform "manylinux_2_${n}_aarch64"); done

say "dips-edge"
rm -f "$into"/dips_edge-*.whl
python3 -m pip wheel --quiet --no-deps -w "$into" "${HERE%/*}"

# pip would ask this machine, not the board, which dependencies apply: so they are read for the board.
mapfile -t needed < <(python3 - "$into"/dips_edge-*.whl "$python" <<'PYTHON'
import email, sys, zipfile
from pip._vendor.packaging.requirements import Requirement

wheel = zipfile.ZipFile(sys.argv[1])
name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
board = {"python_version": sys.argv[2], "python_full_version": sys.argv[2] + ".0", "platform_release": "5.15-tegra",
         "platform_machine": "aarch64", "platform_system": "Linux", "sys_platform": "linux",
         "implementation_name": "cpython", "platform_python_implementation": "CPython"}
for text in email.message_from_bytes(wheel.read(name)).get_all("Requires-Dist") or []:
    need = Requirement(text)
    if need.marker is None or any(need.marker.evaluate({**board, "extra": extra}) for extra in ("", "guidance")):
        print(need.name + str(need.specifier))
PYTHON
)

say "packages for JetPack $1 (Python $python): ${needed[*]}"
# setuptools, wheel and numpy also build pycuda, whose own dependencies come last.
python3 -m pip download --quiet --only-binary=:all: --implementation cp --python-version "$python" "${platforms[@]}" \
  -d "$into" "${needed[@]}" 'numpy>=1.24,<2' 'pip>=21.3' setuptools wheel pytools platformdirs mako
say "pycuda, as source: the board's nvcc builds it"
python3 -m pip download --quiet --no-deps --no-binary pycuda -d "$into" 'pycuda>=2022.1'
say "$(find "$into" -type f | wc -l) files, $(du -sm "$into" | cut -f1) MB in $into; on the board: sudo jetson/install.sh --find-links $into"
