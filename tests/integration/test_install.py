"""make install and make uninstall: what they put where, that it runs, and what is left; and the systemd unit."""

import os
import re
import shutil
import subprocess

import pytest

from support.broker import ROOT, is_sanitized, program
from support.client import Client

PROGRAMS = {"usr/bin/fantaild", "usr/bin/fantail"}
FILES = {
    "usr/share/man/man8/fantaild.8",
    "usr/share/man/man1/fantail.1",
    "usr/share/man/man5/fantail.conf.5",
    "usr/share/fantail/fantail.conf",
    "usr/share/doc/fantail/LICENSE",
    "usr/share/doc/fantail/README.md",
    "usr/share/doc/fantail/SPEC.md",
    "usr/share/doc/fantail/metrics.md",
    "usr/share/doc/fantail/redis.md",
    "usr/share/doc/fantail/tokens.md",
    "usr/lib/sysusers.d/fantail.conf",
    "usr/lib/systemd/system/fantaild.service",
}


def make(target, root, **variables):
    """Runs make without what this run's own make has left in the environment."""
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    mode = "asan" if is_sanitized(program("fantaild")) else "release"
    settings = {"PREFIX": "/usr", "DESTDIR": str(root), "MODE": mode} | variables
    done = subprocess.run(["make", "-s", target, *(f"{k}={v}" for k, v in settings.items())], cwd=ROOT,
                          env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def files(root):
    """Every file below a folder, by its path there."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


@pytest.fixture
def root(tmp_path):
    """A root that everything was installed into."""
    make("install", tmp_path)
    return tmp_path


def test_install_puts_there_what_it_says_and_nothing_else(root):
    assert files(root) == PROGRAMS | FILES
    for name in PROGRAMS | FILES:
        mode = (root / name).stat().st_mode & 0o777
        assert mode == (0o755 if name in PROGRAMS else 0o644), f"{name}: {mode:o}"


def test_what_was_installed_serves_with_the_sample_as_its_file(root, start, monkeypatch):
    monkeypatch.setenv("FANTAILD", str(root / "usr/bin/fantaild"))
    broker = start(args=["-c", str(root / "usr/share/fantail/fantail.conf")])
    assert broker.command[0] == str(root / "usr/bin/fantaild")
    Client(broker.address).socket.close()
    version = subprocess.run([root / "usr/bin/fantail", "--version"], capture_output=True, text=True,
                             check=True)
    assert version.stdout == f"fantail {broker.ready[0]['version']}\n"


def test_the_manuals_are_found_by_their_names(root):
    for section, name in ((8, "fantaild"), (1, "fantail"), (5, "fantail.conf")):
        text = subprocess.run(["mandoc", "-T", "ascii", f"{root}/usr/share/man/man{section}/{name}.{section}"],
                              capture_output=True, text=True, check=True).stdout
        assert text.startswith(f"{name.upper()}({section})")


def test_uninstall_leaves_what_is_not_its_own(root):
    own = root / "etc/fantail/fantail.conf"
    own.parent.mkdir(parents=True)
    shutil.copy(root / "usr/share/fantail/fantail.conf", own)
    (root / "usr/bin/other").write_text("")
    make("uninstall", root)
    assert files(root) == {"etc/fantail/fantail.conf", "usr/bin/other"}
    assert not (root / "usr/share/fantail").exists()
    make("uninstall", root)


def test_folders_are_as_they_were_given(tmp_path):
    make("install", tmp_path, PREFIX="/opt/fan", UNITDIR="/lib/systemd/system", SYSUSERSDIR="/sysusers")
    unit = (tmp_path / "lib/systemd/system/fantaild.service").read_text()
    assert "ExecStart=/opt/fan/bin/fantaild -c /etc/fantail/fantail.conf\n" in unit
    assert {"sysusers/fantail.conf", "opt/fan/bin/fantaild"} <= files(tmp_path)


def test_the_unit_is_hardened(root):
    unit = root / "usr/lib/systemd/system/fantaild.service"
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20",
                           "--no-pager", str(unit)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    exposure = re.search(r"Overall exposure level for fantaild.service: ([\d.]+) ", done.stdout)
    assert exposure and float(exposure[1]) <= 2.0, done.stdout
    assert done.returncode == 0, done.stdout


def test_systemd_understands_every_line_of_the_unit(root):
    unit = root / "usr/lib/systemd/system/fantaild.service"
    text = unit.read_text().replace("ExecStart=/usr/", f"ExecStart={root}/usr/")
    # Manuals are looked for in this machine's folders.
    unit.write_text(re.sub("^Documentation=.*\n", "", text, flags=re.MULTILINE))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0 and not done.stdout, done.stdout
    assert "@" not in re.sub("^SystemCallFilter=.*", "", text, flags=re.MULTILINE)
