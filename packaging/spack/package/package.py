# The recipe of stave: its single file of a release. `make release` fills in the releases.
import platform

from spack.package import *

# The archives by version and machine: their URLs and checksums.
_releases = {}


class Stave(Package):
    """Turns an installed Spack environment into container images and back."""

    license("Apache-2.0", checked_by="stave")

    # A program that was built elsewhere; it needs no compiler, and must not be changed.
    has_code = True

    for _version, _archives in _releases.items():
        _archive = _archives.get(platform.machine())
        if _archive is not None:
            version(_version, url=_archive[0], sha256=_archive[1])

    conflicts("platform=darwin", msg="there is no single file for macOS; use npm")
    conflicts("platform=windows", msg="there is no single file for Windows")

    def install(self, spec, prefix):
        mkdirp(prefix.bin)
        install("stave", prefix.bin)
        install("LICENSE", prefix)
        install("THIRD-PARTY-LICENSES.txt", prefix)
        if os.path.isdir("man"):
            install_tree("man", prefix.share.man.man1)

    def sanity_check_prefix(self):
        super().sanity_check_prefix()
        Executable(self.prefix.bin.stave)("--version", output=str)
