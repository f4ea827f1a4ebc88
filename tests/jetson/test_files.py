"""The linters' word on the files of jetson/, and that they fit the rest of the project."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edge_runtime import cliutil
from edge_runtime.commands.run import run
from edge_runtime.flags import track_settings
from edge_runtime.sinks import open_sink
from tests.jetson.fake_board import JETSON, PROGRAMS

ROOT = JETSON.parent
SCRIPTS = sorted([*JETSON.glob("*.sh"), *JETSON.glob("lib/*.sh"), *PROGRAMS.iterdir(), ROOT / ".ci/run"])
UNIT = JETSON / "dips-edge.service"
SAMPLE = JETSON / "dips-edge.toml"


def tool(name):
    """Path of a linter: beside this Python (`pip install '.[dev]'`) or in PATH; skips where there is none."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed here")
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script):
    done = subprocess.run(
        [tool("shellcheck"), "--external-sources", "--source-path=SCRIPTDIR", script],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_scripts_are_executable_and_what_they_share_is_not():
    assert [path.name for path in SCRIPTS if not path.stat().st_mode & 0o100] == [
        path.name for path in SCRIPTS if path.parent.name == "lib"
    ]


def test_hadolint_has_nothing_to_say():
    done = subprocess.run([tool("hadolint"), JETSON / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_container_holds_no_opencv_of_pips_and_no_root():
    text = (JETSON / "Dockerfile").read_text()
    assert not re.search(r"pip install[^&]*opencv", text)
    assert "pip uninstall --yes opencv-python" in text
    assert re.findall(r"^USER (\S+)", text, re.M) == ["10001"]
    assert set(re.findall(r"^FROM \S+ AS jetpack-(\d)", text, re.M)) == {"5", "6", "7"}


def test_systemd_has_nothing_to_say(tmp_path):
    unit = tmp_path / UNIT.name  # it names a program that is not on this machine
    unit.write_text(UNIT.read_text().replace("/opt/dips-edge/bin/dips-edge", "/bin/true"))
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", "--man=no", unit], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_service_is_exposed_as_little_as_it_says(tmp_path):
    analyze = tool("systemd-analyze")
    done = subprocess.run(
        [analyze, "security", "--offline=yes", "--no-pager", "--threshold=25", UNIT],
        capture_output=True,
        text=True,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd cannot judge a file")
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "WatchdogSec=10",
        "Restart=on-failure",
        "StartLimitBurst=5",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "PrivateTmp=yes",
        "BindPaths=-/tmp/argus_socket",
        "DevicePolicy=closed",
        "User=dips-edge",
        "StateDirectory=dips-edge",
        "ExecStart=/opt/dips-edge/bin/dips-edge run --config /etc/dips-edge/dips-edge.toml",
        *(
            f"DeviceAllow={node} rw"
            for node in ("char-nvhost*", "char-nvidia*", "/dev/nvmap", "char-video4linux")
        ),
        *(f"DeviceAllow={node} rw" for node in ("char-ttyTHS", "char-ttyACM")),
    ],
)
def test_the_unit_promises(line):
    assert line in UNIT.read_text().splitlines()


def test_udev_rules_match_something_and_set_something():
    for line in (JETSON / "99-dips-edge.rules").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        parts = [re.fullmatch(r'([A-Z]+)(?:\{[\w/]+\})?(==|=|\+=)"[^"]+"', part) for part in line.split(", ")]
        assert None not in parts, line
        kinds = [part[2] for part in parts if part]
        assert kinds == sorted(kinds, key=lambda kind: kind != "=="), line  # what it matches comes first
        assert {"=="} < set(kinds), line


# The sample configuration.


def all_set(tmp_path):
    """The sample with every commented setting set."""
    config = tmp_path / "all.toml"
    config.write_text(re.sub(r"^#(?=\S)", "", SAMPLE.read_text(), flags=re.M))
    return config


def config_of(path):
    context = click.Context(run, info_name="run")
    cliutil.load_config(context, path)
    return context.default_map


def test_the_sample_is_read_as_it_stands():
    given = config_of(SAMPLE)
    assert given["source"] == "csi://0?width=1280&height=720&fps=30&wait=1"
    assert given["device"] == "tensorrt"
    assert len(given["sinks"]) == 3
    assert track_settings(tuple(given["track"])).lost_after_ms == 500


def test_every_setting_of_the_sample_is_one_and_has_a_value_of_its_type(tmp_path):
    given = config_of(all_set(tmp_path))
    parsed = run.make_context(
        "run", ["--config", str(tmp_path / "all.toml")]
    )  # click checks types and ranges
    assert set(given) <= set(parsed.params)
    track_settings(tuple(given["track"]))


def test_every_flag_of_run_is_explained_in_the_sample(tmp_path):
    keys = {key.replace("_", "-") for key in cliutil.read_toml(all_set(tmp_path))}
    flags = {option[2:] for parameter in run.params for option in parameter.opts if option.startswith("--")}
    assert flags - {"config", "help"} == keys


def test_sinks_named_in_the_sample_are_known():
    for uri in ("udp://127.0.0.1:5099", "web://127.0.0.1:0"):
        open_sink(uri).close()
    assert "udp://127.0.0.1:5099" in config_of(SAMPLE)["sinks"]


def test_the_health_check_listens_where_the_sample_sends():
    assert "PORT = 5099\n" in (JETSON / "healthcheck.py").read_text()


# The guide.

GUIDE = (JETSON / "README.md").read_text()


def test_the_guide_names_every_file_of_the_folder():
    files = {path.name for path in JETSON.iterdir() if path.is_file()} - {"README.md", "check_image.py"}
    assert {name for name in files if f"`{name}`" not in GUIDE} == {"Dockerfile.dockerignore"}


@pytest.mark.parametrize("script", ["install.sh", "power.sh"])
def test_options_in_the_guide_are_the_scripts_own(script):
    usage = subprocess.run([JETSON / script, "--help"], capture_output=True, text=True, check=True).stdout
    called = re.findall(rf"jetson/{re.escape(script)} ([^`\n#]*)", GUIDE)
    given = {word for line in called for word in line.split() if word.startswith("--")}
    assert given
    assert {word for word in given if word not in usage} == set()


def test_the_exposure_in_the_guide_is_what_systemd_says():
    done = subprocess.run(
        [tool("systemd-analyze"), "security", "--offline=yes", "--no-pager", UNIT],
        capture_output=True,
        text=True,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd cannot judge a file")
    said = re.search(r"an exposure of ([\d.]+) of 10", GUIDE)
    found = re.search(r"Overall exposure level for dips-edge.service: ([\d.]+)", done.stdout)
    assert said is not None
    assert found is not None
    assert float(said[1]) == pytest.approx(float(found[1]), abs=0.3)  # newer releases know more to judge


def test_fetch_says_what_it_needs():
    done = subprocess.run([JETSON / "fetch.sh", "4", "wheels"], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "which JetPack? 5.1, 6 or 7" in done.stderr
