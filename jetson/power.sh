#!/usr/bin/env bash
# Power modes by name: their numbers differ from board to board (MAXN_SUPER is 0 on an Orin NX and 2 on an Orin
# Nano), and a mode that was asked for is not always the mode in force.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: jetson/power.sh list | show
       sudo jetson/power.sh set NAME [--clocks] [--force]     a mode of `list`
       sudo jetson/power.sh max [--clocks] [--force]          the fastest mode of this board
       sudo jetson/power.sh restore [--force]                 mode and clocks as they were before the first change

  --clocks    fix the clocks at the mode's highest with jetson_clocks (even frame times; until the next boot)
  --force     also a mode that needs a reboot over SSH or without a terminal: the board then restarts at once
  --dry-run   tell what would be done
USAGE
}

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"

CONF=$ROOT/etc/nvpmodel.conf
STATUS=$ROOT/var/lib/nvpmodel/status
KEPT=$ROOT/var/lib/dips-edge-power # root's own: what to restore
force=no clocks=no

# "number name" of each mode, in the file's order.
modes() { sed -n 's/^[[:space:]]*<[[:space:]]*POWER_MODEL[[:space:]]*ID=\([0-9]*\)[[:space:]]*NAME=\([^ >]*\).*/\1 \2/p' "$CONF"; }

# What $2 (an awk condition on the lines of a mode) keeps of mode number $1, sorted.
lines_of_mode() {
  awk -v id="$1" '/^[ \t]*</ { inside = ($0 ~ "POWER_MODEL[ \t]+ID=" id "[ \t]") } inside && '"$2" "$CONF" | sort
}

name_of() { modes | awk -v id="$1" '$1 == id { print $2 }'; }

# Number of the mode called $1, whatever its case, MODE_15W or 15W.
number_of() {
  modes | awk -v wanted="$1" '
    function bare(name) { name = toupper(name); sub(/^MODE_/, "", name); return name }
    bare($2) == bare(wanted) { print $1; exit }'
}

# Number of the mode in force: what nvpmodel says, else the file it keeps.
current() {
  local number
  number=$(nvpmodel -q 2>/dev/null | sed -n '/NV Power Mode/{n;s/^\([0-9][0-9]*\).*/\1/p;}') || true
  [ -n "$number" ] || number=$(sed -n 's/^pmode:0*\([0-9][0-9]*\).*/\1/p' "$STATUS" 2>/dev/null) || true
  printf '%s' "$number"
}

# Power gating of GPU units and the number of CPU cores change at boot only (on a Xavier cores change at once:
# there this asks for more than is needed).
needs_reboot() {
  local what='/_PG_MASK|CPU_ONLINE/'
  [ "$(lines_of_mode "$1" "$what")" != "$(lines_of_mode "$2" "$what")" ]
}

# The cores that mode $1 wants and the kernel does not have that way, as text.
wrong_cores() {
  lines_of_mode "$1" '/CPU_ONLINE/' | while read -r _ core wanted; do
    local file=$ROOT/sys/devices/system/cpu/cpu${core#CORE_}/online
    [ ! -r "$file" ] || [ "$(cat "$file")" = "$wanted" ] || printf ' cpu%s' "${core#CORE_}"
  done
}

# sudo hides SSH's variables, so the ancestors are looked at, too.
over_ssh() {
  [ -z "${SSH_CONNECTION:-}${SSH_TTY:-}" ] || return 0
  local pid=$PPID
  while [ "${pid:-0}" -gt 1 ]; do
    case $(cat "$ROOT/proc/$pid/comm" 2>/dev/null) in sshd*) return 0 ;; esac
    pid=$(sed -n 's/^PPid:[[:space:]]*//p' "$ROOT/proc/$pid/status" 2>/dev/null)
  done
  return 1
}

keep_for_restore() {
  [ ! -e "$KEPT/mode" ] || return 0
  run mkdir -p "$KEPT"
  [ "$DRY_RUN" = yes ] || name_of "$1" >"$KEPT/mode"
}

set_mode() {
  local wanted=$1 before name answer=''
  before=$(current)
  name=$(name_of "$wanted")
  [ -n "$before" ] || die "nvpmodel does not tell the mode in force: sudo nvpmodel -q"
  if [ "$wanted" = "$before" ]; then
    say "power mode: $name, as before"
    return 0
  fi
  if needs_reboot "$before" "$wanted"; then
    if [ "$force" = yes ]; then
      say "$name needs a reboot: the board restarts now if nvpmodel asks for it"
      answer=YES
    elif over_ssh || [ ! -t 0 ]; then
      die "$name needs a reboot (other CPU cores or GPU units): nvpmodel asks for it on a terminal, and over SSH or without one it fails in silence; work on the board itself, or --force to restart it now"
    fi
  fi
  keep_for_restore "$before"
  release_clocks # they belong to the mode before
  if [ -z "$answer" ] && [ -t 0 ]; then
    run nvpmodel -m "$wanted" || die "nvpmodel refused mode $wanted ($name)"
  else
    run nvpmodel -m "$wanted" <<<"${answer:-no}" || die "nvpmodel refused mode $wanted ($name)"
  fi
  [ "$DRY_RUN" = yes ] || verify "$wanted"
}

# nvpmodel may end well with the old mode in force.
verify() {
  local now wrong
  now=$(current)
  [ "$now" = "$1" ] || die "$(name_of "$1") was asked for, $(name_of "$now") is in force: it needs a reboot, or this board cannot"
  wrong=$(wrong_cores "$1")
  [ -z "$wrong" ] || die "nvpmodel tells $(name_of "$1"), but these cores are not as that mode wants them:$wrong; reboot"
  say "power mode: $(name_of "$1"), in force"
}

fix_clocks() {
  command -v jetson_clocks >/dev/null || die "jetson_clocks is missing: it comes with JetPack (nvidia-l4t-tools)"
  if [ ! -e "$KEPT/clocks" ]; then
    run mkdir -p "$KEPT"
    run jetson_clocks --store "$KEPT/clocks" || die "jetson_clocks could not store the clocks as they are: none was changed"
  fi
  run jetson_clocks || die "jetson_clocks failed"
  say "clocks: fixed at the highest of this mode, until the next boot or restore"
}

release_clocks() {
  [ -e "$KEPT/clocks" ] || return 0
  run jetson_clocks --restore "$KEPT/clocks" || die "jetson_clocks could not restore $KEPT/clocks"
  run rm -f "$KEPT/clocks"
  say "clocks: as they were"
}

fastest() {
  modes | awk '
    function watts(name) { return match(name, /[0-9]+W/) ? substr(name, RSTART, RLENGTH - 1) + 0 : 0 }
    function rank(name) { return name ~ /^MAXN_SUPER/ ? 1e6 : name ~ /^MAXN/ ? 1e5 : watts(name) }
    rank($2) > best { best = rank($2); number = $1 } END { print number }'
}

show() {
  local number
  number=$(current)
  say "board: $(read_board)"
  say "power mode: $([ -n "$number" ] && name_of "$number" || echo 'unknown (sudo nvpmodel -q)')"
  [ ! -e "$KEPT/mode" ] || say "before our first change: $(cat "$KEPT/mode")"
  say "clocks: $([ -e "$KEPT/clocks" ] && echo 'fixed by us (until the next boot)' || echo 'not fixed by us')"
}

list() {
  local now number name mark note
  now=$(current)
  while read -r number name; do
    mark=' ' note=''
    if [ "$number" = "$now" ]; then
      mark='*'
    elif [ -n "$now" ] && needs_reboot "$now" "$number"; then
      note='needs a reboot'
    fi
    printf '%s %-14s number %s here  %s\n' "$mark" "$name" "$number" "$note"
  done < <(modes)
}

main() {
  local action='' name='' number
  while [ $# -gt 0 ]; do
    case $1 in
      --force) force=yes ;;
      --clocks) clocks=yes ;;
      --dry-run) DRY_RUN=yes ;;
      -h | --help)
        usage
        exit 0
        ;;
      -*) usage_error "unknown option $1" ;;
      *) if [ -z "$action" ]; then action=$1; elif [ -z "$name" ]; then name=$1; else usage_error "one word too many: $1"; fi ;;
    esac
    shift
  done
  case $action in
    set) [ -n "$name" ] || usage_error "set which mode?" ;;
    list | show | max | restore) [ -z "$name" ] || usage_error "one word too many: $name" ;;
    *) usage_error "list, show, set NAME, max or restore" ;;
  esac
  [ -r "$CONF" ] || die "no $CONF: power modes are a Jetson's"
  case $action in
    list) list ;;
    show) show ;;
    set | max)
      need_root "$action" "$name"
      if [ "$action" = max ]; then number=$(fastest); else number=$(number_of "$name"); fi
      [ -n "$number" ] || die "no mode ${name:-that can be called fastest} on this board, it has: $(modes | cut -d' ' -f2 | xargs)"
      set_mode "$number"
      [ "$clocks" = no ] || fix_clocks
      ;;
    restore)
      need_root restore
      release_clocks
      [ -e "$KEPT/mode" ] || { say "power mode: never changed by this script"; return 0; }
      name=$(cat "$KEPT/mode")
      number=$(number_of "$name")
      [ -n "$number" ] || die "the mode to restore, $name, is gone (another JetPack?): choose one of $(modes | cut -d' ' -f2 | xargs), then remove $KEPT"
      set_mode "$number"
      run rm -f "$KEPT/mode"
      ;;
  esac
}

main "$@"
