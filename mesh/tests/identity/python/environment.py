"""Makes a Python environment, of the tests of identity or of a tool, once, and prints its interpreter.

environment.py FOLDER REQUIREMENTS

It lies in FOLDER under a name made of everything that it depends on, so that it is never changed:
where it is there, nothing is downloaded. Of several processes one builds it and the others wait. If
it cannot be made, one sentence on standard error says why, and the exit code is 1.
"""

import fcntl
import hashlib
import pathlib
import shutil
import subprocess
import sys


def build(folder, requirements):
    try:
        import ensurepip  # noqa: F401: Debian leaves it out of python3
        import venv
    except ImportError as missing:
        sys.exit(f"Python lacks the module {missing.name} (Debian: apt-get install python3-venv)")
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True, symlinks=True)
    install = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--no-input", "--no-deps"]
    install += ["--only-binary=:all:", "--disable-pip-version-check", "--retries=1", "--timeout=20"]
    done = subprocess.run([*install, "-r", requirements], capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["pip says nothing"]
        sys.exit(f"pip cannot install the packages of {requirements}: {lines[-1]}")


def main():
    parent, requirements = map(pathlib.Path, sys.argv[1:])
    if sys.version_info < (3, 10):
        sys.exit(f"Python 3.10 or newer is needed, and this is {sys.version.split()[0]}")
    parts = [requirements.read_text(), sys.version, sys.executable]
    name = "python-" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    folder = parent / name
    parent.mkdir(parents=True, exist_ok=True)
    with open(parent / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            building = parent / f"{name}.new"
            build(building, requirements)
            building.rename(folder)
    print(folder / "bin/python")


if __name__ == "__main__":
    main()
