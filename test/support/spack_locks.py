"""Installs made-up specs into a store with the locks that Spack takes, in their order, and without Spack.

usage: python3 spack_locks.py STORE < SPECS
SPECS is a JSON list, each spec after those that it needs: {hash, needs: [hash], prefix, record, text}. `record` is what the
database is to say, `text` the content of .spack/spec.json. Prints the hash of each spec that it installed itself.

For each spec: a shared lock on every one that it needs, which must be recorded; an exclusive lock on the spec, taken in one try;
what lies in its place and is not recorded is removed; the prefix is made and recorded; the lock becomes a shared one. Where a
lock is not to be had, the spec comes again later. All shared locks are kept until the end of the process.
"""

import errno
import fcntl
import json
import os
import shutil
import sys
import time
import uuid

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
FOLDER = os.path.join(sys.argv[1], ".spack-db")
INDEX = os.path.join(FOLDER, "index.json")
BITS = 63


def offset(hash):
    number = 0
    for letter in hash:
        number = number << 5 | ALPHABET.index(letter)
    return number >> (5 * len(hash) - BITS)


class File:
    def __init__(self, name):
        self.fd = os.open(os.path.join(FOLDER, name), os.O_RDWR | os.O_CREAT)

    def take(self, mode, start=0, length=0):
        try:
            fcntl.lockf(self.fd, mode | fcntl.LOCK_NB, length, start, os.SEEK_SET)
            return True
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            return False

    def release(self, start=0, length=0):
        fcntl.lockf(self.fd, fcntl.LOCK_UN, length, start, os.SEEK_SET)

    def wait(self, mode):
        while not self.take(mode):
            time.sleep(0.1)


os.makedirs(FOLDER, exist_ok=True)
prefixes, database = File("prefix_lock"), File("lock")
kept = {}


def lock(mode, hash):
    """One try; what is held is changed in its place."""
    if kept.get(hash) == mode:
        return True
    if not prefixes.take(mode, offset(hash), 1):
        return False
    kept[hash] = mode
    return True


def unlock(hash):
    prefixes.release(offset(hash), 1)
    del kept[hash]


def read():
    if not os.path.exists(INDEX):
        return {"database": {"version": "8", "installs": {}}}
    with open(INDEX) as file:
        return json.load(file)


def installed(hash):
    database.wait(fcntl.LOCK_SH)
    record = read()["database"]["installs"].get(hash)
    database.release()
    return record is not None and record["installed"]


def record(spec):
    database.wait(fcntl.LOCK_EX)
    index = read()
    installs = index["database"]["installs"]
    installs[spec["hash"]] = spec["record"]
    for need in spec["needs"]:
        installs[need]["ref_count"] += 1
    temporary = INDEX + f".python.{os.getpid()}.temp"
    with open(temporary, "w") as file:
        json.dump(index, file)
    os.rename(temporary, INDEX)
    with open(os.path.join(FOLDER, "index_verifier"), "w") as file:
        file.write(str(uuid.uuid4()))
    database.release()


def install(spec):
    """False when the spec must come again."""
    hash, prefix = spec["hash"], spec["prefix"]
    for need in spec["needs"]:
        if not lock(fcntl.LOCK_SH, need):
            return False
        if not installed(need):
            unlock(need)
            return False
    # When it is not to be had for writing, somebody else installs the spec.
    if not lock(fcntl.LOCK_EX, hash) and not lock(fcntl.LOCK_SH, hash):
        return False
    if installed(hash):
        lock(fcntl.LOCK_SH, hash)
        return True
    if kept[hash] == fcntl.LOCK_SH:
        unlock(hash)
        return False
    if os.path.lexists(prefix):
        shutil.rmtree(prefix)
    os.makedirs(os.path.join(prefix, ".spack"))
    with open(os.path.join(prefix, ".spack", "spec.json"), "w") as file:
        file.write(spec["text"])
    with open(os.path.join(prefix, ".spack", "install_manifest.json"), "w") as file:
        file.write("{}")
    time.sleep(0.02)
    record(spec)
    lock(fcntl.LOCK_SH, hash)
    print(hash, flush=True)
    return True


queue = json.load(sys.stdin)
while queue:
    later = [spec for spec in queue if not install(spec)]
    if len(later) == len(queue):
        time.sleep(0.05)
    queue = later
