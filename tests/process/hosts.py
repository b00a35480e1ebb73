"""Several hosts on this machine: network namespaces on cables that can be unplugged.

    hosts = Hosts()                       # or unittest.SkipTest, saying why there are none
    hub, left, right = hosts.hub, hosts.leaf("left"), hosts.leaf("right")
    case.worker("--from", "tcp://%s:5557" % hub.address, preexec=left.enter)
    left.unplug()                         # nobody is told; packets are simply gone

The hub is reached by all leaves, over a cable of its own each; leaves do not reach each other.
Unplugging is not closing: no FIN, no RST, which is what a machine that loses power looks like.
"""
import ctypes
import os
import subprocess
import unittest
import uuid

CLONE_NEWNET = 0x40000000
#: Private addresses (RFC 5737) that no other interface has: the namespaces see nothing else.
HUB_ADDRESS = "192.0.2.1"


def _ip(*arguments):
    subprocess.run(("ip",) + arguments, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class Host:
    """One namespace."""

    def __init__(self, name, address):
        self.name, self.address = name, address
        _ip("netns", "add", name)
        _ip("-n", name, "link", "set", "lo", "up")

    def enter(self):
        """As `preexec`: the program runs on this host."""
        libc = ctypes.CDLL(None, use_errno=True)
        namespace = os.open("/run/netns/" + self.name, os.O_RDONLY)
        if libc.setns(namespace, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns " + self.name)
        os.close(namespace)


class Leaf(Host):
    """A host with a cable to the hub."""

    def __init__(self, name, hub, number):
        near, self.address = "198.51.100.%d" % (4 * number + 1), "198.51.100.%d" % (4 * number + 2)
        super().__init__(name, self.address)
        self.hub, self.port = hub, "leaf%d" % number
        _ip("link", "add", self.port, "netns", hub.name, "type", "veth", "peer", "name", "eth0",
            "netns", name)
        _ip("-n", hub.name, "address", "add", near + "/30", "dev", self.port)
        _ip("-n", name, "address", "add", self.address + "/30", "dev", "eth0")
        _ip("-n", hub.name, "link", "set", self.port, "up")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "route", "add", "default", "via", near)

    def unplug(self):
        _ip("-n", self.hub.name, "link", "set", self.port, "down")

    def plug(self):
        _ip("-n", self.hub.name, "link", "set", self.port, "up")


class Hosts:
    """The hub, and leaves as they are asked for. close() takes all of it down."""

    def __init__(self):
        self.mark = "weir" + uuid.uuid4().hex[:8]
        self.all = []
        try:
            self.hub = Host(self.mark + "-hub", HUB_ADDRESS)
            self.all.append(self.hub)
            _ip("-n", self.hub.name, "address", "add", HUB_ADDRESS + "/32", "dev", "lo")
            # Also tries whether there are cables.
            self.leaf("probe").unplug()
        except (OSError, subprocess.CalledProcessError) as error:
            self.close()
            said = getattr(error, "stderr", None) or str(error).encode()
            raise unittest.SkipTest("no network namespaces here, which need root and ip(8): " +
                                    said.decode("utf-8", "replace").strip()) from None

    def leaf(self, name):
        leaf = Leaf("%s-%s" % (self.mark, name), self.hub, len(self.all))
        self.all.append(leaf)
        return leaf

    def close(self):
        for host in self.all:
            subprocess.run(("ip", "netns", "delete", host.name), stderr=subprocess.DEVNULL)
        self.all = []
