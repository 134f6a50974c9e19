"""Check that the sdist is the repository and the wheel the package, and that neither holds more.

``python tests/check_dist.py dist`` in a git clone, as ``make build`` runs it.
"""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

# All of the package but its modules.
WANTED = {
    "fairlearnkit/py.typed",
    "fairlearnkit/data/LICENSE.txt",
    "fairlearnkit/data/adult.csv.gz",
    "fairlearnkit/data/adult.rst",
    "fairlearnkit/data/german_credit.csv.gz",
    "fairlearnkit/data/german_credit.rst",
}
# Of both: the licence of the code and that of the data.
LICENCES = {"licenses/LICENSE", "licenses/fairlearnkit/data/LICENSE.txt"}


def main(folder):
    (sdist,) = Path(folder).glob("*.tar.gz")
    (wheel,) = Path(folder).glob("*.whl")
    # What git ignores, such as caches and environments, is not the repository's.
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    answer = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
    repository = {name for name in answer.split("\0") if Path(name).is_file()}
    package = {name for name in repository if name.startswith("fairlearnkit/")}
    compare("the repository", {n for n in package if not n.endswith(".py")}, WANTED)

    release = sdist.name.removesuffix(".tar.gz")
    with tarfile.open(sdist) as archive:
        in_sdist = {member.name for member in archive if not member.isdir()}
    compare(sdist.name, in_sdist, {f"{release}/{name}" for name in repository | {"PKG-INFO"}})

    about = {f"{release}.dist-info/{n}" for n in {"METADATA", "WHEEL", "RECORD"} | LICENCES}
    compare(wheel.name, set(zipfile.ZipFile(wheel).namelist()), package | about)
    print(f"{sdist.name}: {len(in_sdist)} files, {wheel.name}: {len(package | about)} files")


def compare(what, found, expected):
    if found != expected:
        lacking, more = sorted(expected - found), sorted(found - expected)
        sys.exit(f"{what} lacks {lacking}, and holds besides what it should: {more}")


if __name__ == "__main__":
    main(sys.argv[1])
