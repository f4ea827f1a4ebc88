# shellcheck shell=bash
# What install.sh and power.sh share: messages, a dry run, and the board read from its files.
#
# DIPS_EDGE_ROOT   a folder that stands in for / (tests play any board with it); empty on a board

ROOT=${DIPS_EDGE_ROOT:-}
ROOT=${ROOT%/}
DRY_RUN=no
EXPLAINED=no # whether an error has said what is wrong

say() { printf '%s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
  # shellcheck disable=SC2034 # install.sh reads it
  EXPLAINED=yes
  printf 'error: %s\n' "$*" >&2
  exit 1
}
usage_error() {
  printf 'error: %s; see %s --help\n' "$*" "${0##*/}" >&2
  exit 2
}

# Runs a command that changes something; a dry run only tells it.
run() {
  if [ "$DRY_RUN" = yes ]; then
    printf 'would run:'
    printf ' %q' "$@"
    printf '\n'
  else
    "$@"
  fi
}

need_root() {
  [ "$DRY_RUN" = yes ] || [ "$(id -u)" = 0 ] || die "this needs root rights: sudo $0 $*"
}

# Release of Jetson Linux, such as 36.4.3; empty where this is no Jetson.
read_l4t() {
  local file=$ROOT/etc/nv_tegra_release
  [ -r "$file" ] || return 0
  sed -n 's/^# R\([0-9][0-9]*\) .*REVISION: \([0-9.]*\).*/\1.\2/p' "$file" | head -n 1
}

read_board() {
  local file=$ROOT/proc/device-tree/model
  if [ -r "$file" ]; then tr -d '\0' <"$file"; else printf 'unknown board'; fi
}
