#!/usr/bin/env python3
"""A compiler launcher: takes from another build what the same compiler command made there.

    reuse.py OTHER-BUILD COMPILER ARGUMENT...      in a build folder where weir is the subfolder weir/

Warnings, and where files are, make no difference to an object. What was compiled differently
there, or not at all, is compiled.
"""
import filecmp
import os
import shlex
import shutil
import subprocess
import sys

#: Options with an argument that say where something is, and those that only say something.
PLACES, WARNINGS = ("-MT", "-MF", "-o", "-c"), ("-W", "-w", "-pedantic")


def parsed(arguments):
    """Where things are, and what else matters."""
    places, rest, words = {}, [], iter(arguments)
    for word in words:
        if word in PLACES:
            places[word] = next(words, "")
        elif not word.startswith(WARNINGS):
            rest.append(word)
    return places, rest


def same(ours, theirs, other):
    (our_places, our_rest), (their_places, their_rest) = ours, theirs
    sources = our_places["-c"], os.path.join(other, their_places["-c"])
    return our_rest == their_rest and filecmp.cmp(*sources, shallow=False)


def reuse(other, compiler, arguments):
    """True: the object is there."""
    ours = parsed(arguments)
    places = ours[0]
    if not {"-o", "-c", "-MF"} <= set(places) or not places["-o"].startswith("weir/"):
        return False
    made = places["-o"][len("weir/"):]
    said = subprocess.run(["ninja", "-C", other, "-t", "commands", "-s", made], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    command = shlex.split(said.stdout)
    if said.returncode != 0 or compiler not in command or not os.path.exists(os.path.join(other, made)):
        return False
    theirs = parsed(command[command.index(compiler) + 1:])
    if not same(ours, theirs, other):
        return False
    shutil.copyfile(os.path.join(other, made), places["-o"])
    with open(places["-MF"], "w") as dependencies:
        dependencies.write("%s: %s\n" % (places["-o"], places["-c"]))
    return True


if __name__ == "__main__":
    if not reuse(sys.argv[1], sys.argv[2], sys.argv[3:]):
        os.execvp(sys.argv[2], sys.argv[2:])
