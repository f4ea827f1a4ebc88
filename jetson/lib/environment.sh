# shellcheck shell=bash
# The Python environment: made beside the one in use, checked, and only then put in its place.
#
# VENV is a link to VENV.a or VENV.b. The new environment is built in the other one and the link is renamed over
# the old at the end: whatever happens before that, a power cut too, leaves the old one in use.

# Reads VENV; sets CURRENT (the environment in use, or nothing) and NEW.
choose_target() {
  CURRENT=''
  if [ -L "$VENV" ]; then
    CURRENT=$(dirname "$VENV")/$(readlink "$VENV")
  elif [ -e "$VENV" ]; then
    die "$VENV is there and not made by this script: move it away, or choose another place with --venv"
  fi
  NEW=$VENV.a
  [ "$CURRENT" != "$VENV.a" ] || NEW=$VENV.b
}

# What an environment was made from, as text; equal text means that there is nothing to do.
describe_package() {
  local digest
  if [ -f "$PACKAGE" ]; then
    digest=$(sha256sum <"$PACKAGE")
  else
    digest=$(cd "$PACKAGE" && find pyproject.toml edge_runtime calibration train export -type f \
      ! -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
  fi
  printf 'package %s\nl4t %s\npython %s\ncpu only %s\n' "${digest%% *}" "${L4T:-none}" "$PYTHON" "$CPU_ONLY"
}

is_up_to_date() {
  [ -n "$CURRENT" ] && [ "$(cat "$CURRENT/install.txt" 2>/dev/null)" = "$(describe_package)" ] &&
    "$VENV/bin/dips-edge" --version >/dev/null 2>&1
}

in_new() { "$NEW/bin/python" "$@"; }

pip_new() {
  local verb=$1 from=()
  shift
  [ -z "$FIND_LINKS" ] || [ "$verb" = uninstall ] || from=(--no-index --find-links "$FIND_LINKS")
  step "$NEW/bin/python" -m pip "$verb" ${from[@]+"${from[@]}"} "$@"
}

make_environment() {
  say "environment: $NEW, with the system's packages"
  run rm -rf "$NEW"
  step "$SYSTEM_PYTHON" -m venv --system-site-packages "$NEW" || explain "no environment could be made"
  check_index
  # Ubuntu 20.04's pip 20.0 does not know today's wheels for Arm. From 21.3 on nothing is done.
  pip_new install 'pip>=21.3' || explain "pip could not be brought up to date"
  # numpy 2 breaks modules built for numpy 1: JetPack's OpenCV and TensorRT are.
  pip_new install "${PACKAGE}[guidance]" 'numpy<2' || explain "dips-edge could not be installed"
}

# No network is the usual state of a board in the field: said before anything large begins.
check_index() {
  [ "$DRY_RUN" = no ] && [ -z "$FIND_LINKS" ] || return 0
  in_new -m pip download --quiet --no-deps --timeout 10 --retries 0 -d "$WORK/probe" click >>"$LOG" 2>&1 ||
    die "no Python package index answers. Without network: on a machine that has it run
  jetson/fetch.sh ${JETPACK:-6} wheels
copy the folder 'wheels' here, and run install.sh again with --find-links wheels (the log has pip's own words)"
}

# pycuda comes as source only. Its wheel is kept, so that the next installation need not build it again.
install_pycuda() {
  [ "$CPU_ONLY" = no ] || return 0
  if [ "$DRY_RUN" = no ] && in_new -c 'import pycuda' 2>/dev/null; then
    say "pycuda: there"
    return 0
  fi
  local kept=$ROOT/var/cache/dips-edge/pycuda-l4t$L4T-$PYTHON cuda=$ROOT/usr/local/cuda wheel
  wheel=$(wheel_in "$kept")
  if [ -n "$wheel" ]; then
    say "pycuda: built before, taken from $kept"
  else
    say "pycuda: built with $cuda/bin/nvcc, which takes minutes"
    warn_about_memory
    (
      export PATH=$cuda/bin:$PATH CUDA_HOME=$cuda CUDA_ROOT=$cuda
      pip_new wheel --no-binary pycuda --no-deps -w "$WORK/pycuda" 'pycuda>=2022.1'
    ) || explain "pycuda could not be built (a killed compiler means too little memory: add swap)"
    run mkdir -p "${kept%/*}"
    run rm -rf "$kept"
    run mv "$WORK/pycuda" "$kept"
    wheel=$(wheel_in "$kept")
  fi
  pip_new install "${wheel:-$kept/pycuda-*.whl}" || explain "pycuda could not be installed"
}

wheel_in() {
  [ ! -d "$1" ] || find "$1" -name 'pycuda-*.whl' -print -quit
}

# The compiler takes 1.5 GB for the largest file of pycuda (README.md tells how that was measured).
warn_about_memory() {
  local free_kb
  free_kb=$(awk '/^(MemAvailable|SwapFree):/ { sum += $2 } END { print sum + 0 }' "$ROOT/proc/meminfo" 2>/dev/null || true)
  [ "${free_kb:-0}" -ge 2097152 ] || warn "$((${free_kb:-0} / 1024)) MB of memory and swap are free, the compiler needs 1.5 GB and may be killed; add swap:
  sudo fallocate -l 4G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon /swapfile"
}

# JetPack's own OpenCV (GStreamer, CUDA) and TensorRT must be the ones that are imported. A wheel in our environment
# that hides them is removed; one that pip put into /usr/local is not ours to remove.
check_not_shadowed() {
  local module=$1 file wheels
  shift
  wheels=("$@")
  [ "$DRY_RUN" = no ] || { say "would check: import $module gives JetPack's own"; return 0; }
  file=$(origin_of "$module")
  case $file in
    "$NEW"/*)
      warn "$module comes from $file and would hide JetPack's own: removed from the environment"
      pip_new uninstall --yes "${wheels[@]}" || explain "it could not be removed"
      file=$(origin_of "$module")
      ;;
  esac
  case $file in
    "$ROOT"/usr/lib/python3*) say "$module: JetPack's own, $file" ;;
    "") die "$SYSTEM_PYTHON does not import $module: $(tail -n 1 "$WORK/last"); sudo apt-get install nvidia-jetpack" ;;
    *)
      if [ "$module" = cv2 ] && has_gstreamer; then
        say "cv2: your own build with GStreamer, $file"
      else
        die "$module comes from $file and hides JetPack's own: sudo $SYSTEM_PYTHON -m pip uninstall ${wheels[*]}"
      fi
      ;;
  esac
}

origin_of() {
  in_new -c "import $1; print($1.__file__)" 2>"$WORK/last" | tail -n 1 || true
}

has_gstreamer() {
  in_new -c 'import cv2, re, sys; sys.exit(not re.search(r"GStreamer: +YES", cv2.getBuildInformation()))' 2>/dev/null
}

check_environment() {
  if [ -n "$JETPACK" ]; then
    check_not_shadowed cv2 opencv-python opencv-python-headless opencv-contrib-python opencv-contrib-python-headless
    [ "$DRY_RUN" = yes ] || has_gstreamer || warn "this OpenCV has no GStreamer: no CSI camera (csi://), no gst: source"
    [ "$CPU_ONLY" = yes ] || check_not_shadowed tensorrt tensorrt tensorrt-cu11 tensorrt-cu12 tensorrt-cu13
  fi
  if [ "$DRY_RUN" = no ] && [ "$CPU_ONLY" = no ]; then
    in_new -c 'import pycuda.driver' 2>"$WORK/last" ||
      die "pycuda does not load: $(tail -n 1 "$WORK/last"); --cpu-only goes on without TensorRT"
  fi
  step "$NEW/bin/dips-edge" doctor || explain "dips-edge doctor says that nothing can run here"
  step "$NEW/bin/dips-edge" run --source demo --max-frames 10 --device cpu --force --sink "jsonl:$WORK/demo.jsonl" ||
    explain "the demo does not run"
}

# The one moment of change: a rename.
put_in_place() {
  [ "$DRY_RUN" = yes ] || describe_package >"$NEW/install.txt"
  run ln -sfn "${NEW##*/}" "$VENV.new"
  run mv -T "$VENV.new" "$VENV"
  # shellcheck disable=SC2034 # install.sh reads it
  SWITCHED=yes
  [ -z "$CURRENT" ] || say "the environment before this one is kept in $CURRENT"
}
