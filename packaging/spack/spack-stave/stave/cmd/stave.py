"""`spack stave …`: runs stave with the environment, store and configuration of this Spack."""

import argparse
import os
import shutil
import subprocess

import spack.config
import spack.environment as ev
import spack.paths
import spack.store

description = "run stave with the active environment, store and mirrors"
section = "packaging"
level = "short"


def setup_parser(subparser):
    subparser.add_argument("arguments", nargs=argparse.REMAINDER, help="a verb of stave and its arguments")


def stave(parser, args):
    program = os.environ.get("STAVE") or shutil.which("stave")
    if program is None:
        parser.exit(1, "spack stave: there is no stave on the PATH; install it, or set STAVE to its path\n")
    environ = dict(os.environ, SPACK_ROOT=spack.paths.prefix, STAVE_STORE=str(spack.store.STORE.root))
    active = ev.active_environment()
    if active is not None:
        environ["SPACK_ENV"] = active.path
    os.execve(program, [program] + with_scopes(program, args.arguments), environ)


def with_scopes(program, arguments):
    """The arguments, with the scopes of `spack -C`, for verbs that read Spack's configuration."""
    scopes = [
        scope.path for name, scope in spack.config.CONFIG.scopes.items() if name.startswith("cmd_scope_")
    ]
    if not scopes or not arguments:
        return arguments
    answer = subprocess.run([program, arguments[0], "--help"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if b"--scope" not in answer.stdout:
        return arguments
    flags = [word for scope in scopes for word in ("-C", scope)]
    return arguments[:1] + flags + arguments[1:]
