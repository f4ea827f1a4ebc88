#!/usr/bin/env bash
# Takes a flashed Jetson to a working dips-edge: JetPack's parts, a Python environment, the service. Run it again at
# any time: what is there stays, what is half done is done anew. `--dry-run` tells what it would do.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: sudo jetson/install.sh [options]

  --dry-run          tell what would be done, change nothing (no root needed, any machine)
  --venv DIR         where the Python environment goes (/opt/dips-edge)
  --wheel FILE       install this wheel of dips-edge instead of the checkout this script lies in
  --find-links DIR   no network: take every package from DIR (made by jetson/fetch.sh on another machine)
  --cpu-only         without TensorRT and pycuda
  --with-service     also the user, unit, udev rules and sample configuration of the service
  --uninstall        remove what this script has put in place; configuration and recordings stay
  --force            go on where this is no Jetson, or one not known here
USAGE
}

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=lib/boards.sh
. "$HERE/lib/boards.sh"
# shellcheck source=lib/environment.sh
. "$HERE/lib/environment.sh"
# shellcheck source=lib/service.sh
. "$HERE/lib/service.sh"

VENV=/opt/dips-edge FIND_LINKS='' CPU_ONLY=no SWITCHED=no WORK='' NEW='' LOG=/dev/null
wheel='' with_service=no uninstall=no force=no

parse() {
  while [ $# -gt 0 ]; do
    case $1 in
      --dry-run) DRY_RUN=yes ;;
      --cpu-only) CPU_ONLY=yes ;;
      --with-service) with_service=yes ;;
      --uninstall) uninstall=yes ;;
      --force) force=yes ;;
      --venv | --wheel | --find-links)
        [ -n "${2:-}" ] || usage_error "$1 needs a value"
        case $1 in
          --venv) VENV=$2 ;;
          --wheel) wheel=$2 ;;
          --find-links) FIND_LINKS=$2 ;;
        esac
        shift
        ;;
      -h | --help)
        usage
        exit 0
        ;;
      *) usage_error "unknown option $1" ;;
    esac
    shift
  done
  case $VENV in
    /*[!/]) VENV=$ROOT$VENV ;;
    *) usage_error "--venv $VENV: an absolute path is needed" ;;
  esac
}

# Sets PACKAGE: a wheel, or the checkout.
choose_package() {
  if [ -n "$FIND_LINKS" ]; then
    [ -d "$FIND_LINKS" ] || die "--find-links $FIND_LINKS: no such folder"
    FIND_LINKS=$(cd "$FIND_LINKS" && pwd)
    [ -n "$wheel" ] || wheel=$(find "$FIND_LINKS" -name 'dips_edge-*.whl' | sort -V | tail -n 1)
    [ -n "$wheel" ] || die "$FIND_LINKS holds no dips_edge-*.whl: make the folder with jetson/fetch.sh"
  fi
  if [ -n "$wheel" ]; then
    [ -f "$wheel" ] || die "--wheel $wheel: no such file"
    PACKAGE=$(cd "$(dirname "$wheel")" && pwd)/${wheel##*/}
  else
    PACKAGE=${HERE%/*}
    [ -f "$PACKAGE/pyproject.toml" ] || die "$PACKAGE is no checkout of dips-edge: give --wheel FILE"
  fi
}

# One at a time, with a log, and a place for what is only needed meanwhile (not /tmp: it may lie in memory).
begin() {
  local place=$ROOT/var/tmp
  [ "$DRY_RUN" = no ] || place=${TMPDIR:-/tmp}
  mkdir -p "$place"
  WORK=$(mktemp -d "$place/dips-edge-install.XXXXXX")
  trap end EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  [ "$DRY_RUN" = no ] || return 0
  mkdir -p "$ROOT/var/log" "$ROOT/var/lock"
  exec 9>"$ROOT/var/lock/dips-edge-install"
  flock -n 9 || die "another install.sh is at work"
  LOG=$ROOT/var/log/dips-edge-install.log
  printf '== %s L4T %s %s\n' "$(date -u +%FT%TZ)" "${L4T:-none}" "$PACKAGE" >>"$LOG"
  export TMPDIR=$WORK
}

end() {
  local code=$?
  trap - EXIT
  case $code$EXPLAINED in
    0* | *yes) ;;
    130* | 143*) say "stopped" >&2 ;;
    *) say "error: broke off with exit code $code; the last lines of $LOG tell at what" >&2 ;;
  esac
  if [ "$DRY_RUN" = no ] && [ "$SWITCHED" = no ] && [ -n "$NEW" ]; then
    rm -rf "$NEW" "$VENV.new"
    [ "$code" = 0 ] || say "nothing has been put in place${CURRENT:+: $VENV is as it was}; the log is $LOG" >&2
  fi
  rm -rf "$WORK"
  exit "$code"
}

# Runs a long command: shown, kept in the log, and in $WORK/last for `explain`.
step() {
  if [ "$DRY_RUN" = yes ]; then
    run "$@"
  else
    printf '+ %s\n' "$*" >>"$LOG"
    : >"$WORK/last"
    "$@" 2>&1 | tee -a "$LOG" "$WORK/last"
  fi
}

# Ends the script with what went wrong and, where the words of the failed command are known, what to do.
explain() {
  local advice=''
  if grep -qE 'Could not get lock|Unable to acquire the dpkg|is held by process' "$WORK/last"; then
    advice='another program holds the package lock (unattended-upgrades after a first boot): wait for it, then run this again'
  elif grep -q 'dpkg was interrupted' "$WORK/last"; then
    advice='an earlier installation broke off: sudo dpkg --configure -a'
  elif grep -qE 'Unable to locate package|has no installation candidate' "$WORK/last"; then
    advice="NVIDIA's package source is missing: see /etc/apt/sources.list.d/nvidia-l4t-apt-source.list, or install JetPack with SDK Manager"
  elif grep -qE 'Temporary failure|Could not resolve|Failed to establish|Network is unreachable' "$WORK/last"; then
    advice='no network: see --find-links'
  elif grep -q 'No space left' "$WORK/last"; then
    advice='the disk is full'
  elif grep -q 'No matching distribution' "$WORK/last"; then
    advice="a package has no build for $PYTHON on this board${FIND_LINKS:+, or $FIND_LINKS was made for another JetPack}"
  fi
  die "$1${advice:+: $advice}"
}

check_disk() {
  local place=$VENV need_mb=$1 free_mb
  while [ ! -d "$place" ]; do place=$(dirname "$place"); done
  free_mb=$(df -Pk "$place" | awk 'NR == 2 { print int($4 / 1024) }')
  [ "${free_mb:-0}" -ge "$need_mb" ] ||
    die "$need_mb MB of disk are needed in $place, ${free_mb:-0} are free: sudo apt-get clean, or --venv on another disk"
}

install_packages() {
  local missing=()
  mapfile -t missing < <(missing_packages "$SYSTEM_PYTHON" "$CPU_ONLY" | sed '/^$/d')
  if [ ${#missing[@]} = 0 ]; then
    say "system packages: all there"
    check_disk 1500
    return 0
  fi
  say "system packages: ${missing[*]}"
  local need_mb=1500
  case " ${missing[*]} " in *" cuda-toolkit"* | *" python3-libnvinfer"*) need_mb=10000 ;; esac
  check_disk "$need_mb"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120)
  step "${apt[@]}" update || explain "apt-get update failed"
  step "${apt[@]}" install --yes --no-install-recommends "${missing[@]}" || explain "apt-get install failed"
}

main() {
  parse "$@"
  unset PYTHONPATH PYTHONHOME # another Python's folders would hide JetPack's
  export PYTHONNOUSERSITE=1 PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
  L4T=$(read_l4t)
  [ "$DRY_RUN" = no ] || [ -n "$L4T" ] || force=yes
  if [ "$uninstall" = yes ]; then
    need_root "$@"
    uninstall
    return
  fi
  set_jetpack "$L4T" "$force"
  [ -n "$JETPACK" ] || CPU_ONLY=yes
  say "$(read_board): ${L4T:+L4T $L4T, JetPack $JETPACK, }$PYTHON"
  SYSTEM_PYTHON=$ROOT/usr/bin/$PYTHON # not another one in PATH (conda, pyenv): only this one has JetPack's modules
  choose_package
  choose_target
  need_root "$@"
  begin
  if is_up_to_date; then
    say "$VENV: up to date"
  else
    install_packages
    make_environment
    install_pycuda
    check_environment
    put_in_place
    say "dips-edge: $VENV/bin/dips-edge"
  fi
  if [ "$with_service" = yes ]; then
    install_service
    say_what_is_next
  fi
}

main "$@"
