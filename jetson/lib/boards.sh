# shellcheck shell=bash
# What a release of Jetson Linux brings: JetPack, Python, and the packages its parts come from.

# Sets JETPACK, PYTHON and CUDA_PACKAGE (what nvcc comes in) for the release $1 of Jetson Linux, "" on other
# machines. Ends the script for releases this project cannot run on; $2 = yes goes on with the unknown.
set_jetpack() {
  local l4t=$1 force=$2
  case $l4t in
    35.1 | 35.1.*)
      die "JetPack 5.0 (L4T $l4t) has TensorRT 8.4; 8.5 is needed: upgrade the board to JetPack 5.1 (L4T 35.2) or newer"
      ;;
    35.*) JETPACK=5.1 PYTHON=python3.8 CUDA_PACKAGE=cuda-toolkit-11-4 ;;
    36.2 | 36.2.* | 36.3 | 36.3.*) JETPACK=6.0 PYTHON=python3.10 CUDA_PACKAGE=cuda-toolkit-12-2 ;;
    36.*) JETPACK=6 PYTHON=python3.10 CUDA_PACKAGE=cuda-toolkit-12-6 ;;
    38.*) JETPACK=7 PYTHON=python3.12 CUDA_PACKAGE=cuda-toolkit-13-0 ;;
    39.*) JETPACK=7.2 PYTHON=python3.12 CUDA_PACKAGE=cuda-toolkit-13-2 ;;
    "")
      [ "$force" = yes ] || die "this is no Jetson (no /etc/nv_tegra_release): install with pip here, or --force for the CPU only, or --dry-run to look"
      JETPACK='' PYTHON=python3 CUDA_PACKAGE=''
      ;;
    2* | 32.*)
      die "L4T $l4t is JetPack 4 or older: Python 3.6 and TensorRT 8.2 at most; flash JetPack 5.1 or newer"
      ;;
    *)
      [ "$force" = yes ] || die "L4T $l4t is not known here (35 to 39 are); --force goes on with its own python3"
      JETPACK="unknown (L4T $l4t)" PYTHON=python3 CUDA_PACKAGE=''
      ;;
  esac
}

# Prints the apt packages this board lacks, one a line. Looks at files and at the system's own Python, never at
# what pip has put elsewhere. $1: the system's Python; $2 = yes: without TensorRT and pycuda.
missing_packages() {
  local python=$1 cpu_only=$2
  [ -x "$python" ] || printf '%s\n' "$PYTHON"
  has_module "$python" ensurepip || printf '%s-venv\n' "$PYTHON"
  if [ -n "$JETPACK" ]; then
    has_module "$python" cv2 || printf 'nvidia-opencv\n'
  fi
  [ "$cpu_only" = no ] || return 0
  has_module "$python" tensorrt || printf 'python3-libnvinfer\n'
  has_headers "$python" || printf '%s-dev\n' "$PYTHON"
  command -v g++ >/dev/null || printf 'g++\n'
  [ -x "$ROOT/usr/local/cuda/bin/nvcc" ] || printf '%s\n' "${CUDA_PACKAGE:-nvidia-jetpack}"
}

# Whether the system's Python $1 finds the module $2 in the system's folders.
has_module() {
  [ -x "$1" ] && "$1" -I -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$2') is None)" \
    >/dev/null 2>&1
}

has_headers() {
  [ -x "$1" ] && "$1" -I -c "import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path('include') + '/Python.h'))" \
    >/dev/null 2>&1
}
