# shellcheck shell=bash
# What makes it a service: a user of its own, the unit, the udev rules, a configuration to edit. And the way back.

UNIT=$ROOT/etc/systemd/system/dips-edge.service
RULES=$ROOT/etc/udev/rules.d/99-dips-edge.rules
CONFIG_DIR=$ROOT/etc/dips-edge

install_service() {
  make_user
  run install -d -m 0750 -o dips-edge -g dips-edge "$ROOT/var/lib/dips-edge"
  run install -D -m 0644 "$HERE/99-dips-edge.rules" "$RULES"
  install_unit
  run install -d -m 0750 -g dips-edge "$CONFIG_DIR"
  run install -m 0644 "$HERE/dips-edge.toml" "$CONFIG_DIR/dips-edge.toml.sample"
  if [ -e "$CONFIG_DIR/dips-edge.toml" ]; then
    say "configuration: $CONFIG_DIR/dips-edge.toml is yours and stays; the newest sample lies beside it"
  else
    # Addresses of cameras hold passwords: only root and the service read it.
    run install -m 0640 -g dips-edge "$HERE/dips-edge.toml" "$CONFIG_DIR/dips-edge.toml"
  fi
  run udevadm control --reload
  run udevadm trigger --subsystem-match=tty --subsystem-match=usb
  run systemctl daemon-reload
}

make_user() {
  if ! getent passwd dips-edge >/dev/null; then
    run useradd --system --user-group --home-dir /var/lib/dips-edge --no-create-home --shell /usr/sbin/nologin dips-edge
  fi
  local group
  for group in video render dialout; do # cameras and GPU, GPU of newer releases, serial lines
    if getent group "$group" >/dev/null; then run usermod --append --groups "$group" dips-edge; fi
  done
}

install_unit() {
  if [ "$VENV" = "$ROOT/opt/dips-edge" ]; then
    run install -D -m 0644 "$HERE/dips-edge.service" "$UNIT"
  else
    sed "s|/opt/dips-edge/|${VENV#"$ROOT"}/|g" "$HERE/dips-edge.service" >"$WORK/dips-edge.service"
    run install -D -m 0644 "$WORK/dips-edge.service" "$UNIT"
  fi
}

say_what_is_next() {
  say "edit $CONFIG_DIR/dips-edge.toml, try it once by hand:
  sudo -u dips-edge $VENV/bin/dips-edge run --config $CONFIG_DIR/dips-edge.toml --max-frames 100
then let it start with the board:  sudo systemctl enable --now dips-edge"
  if systemctl is-active --quiet dips-edge; then
    say "the service runs with the environment before this one until: sudo systemctl restart dips-edge"
  fi
}

uninstall() {
  if [ -e "$UNIT" ]; then
    run systemctl disable --now dips-edge
  fi
  run rm -f "$UNIT" "$RULES"
  run systemctl daemon-reload
  run udevadm control --reload
  if [ -L "$VENV" ] || [ ! -e "$VENV" ]; then
    run rm -rf "$VENV" "$VENV.a" "$VENV.b" "$VENV.new"
  else
    warn "$VENV was not made by this script and stays"
  fi
  run rm -rf "$ROOT/var/cache/dips-edge"
  say "kept: the configuration in $CONFIG_DIR, engines and recordings in $ROOT/var/lib/dips-edge, the user dips-edge"
}
