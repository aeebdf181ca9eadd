"""Without network a worker reaches nobody; with it, the network and nothing else of the host."""

from __future__ import annotations

import os
import socket
import threading

import pytest


@pytest.fixture
def server():
    """A TCP server on the host's loopback: its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def abstract():
    """An abstract unix socket of the host that takes connections: its name."""
    name = f"zerrow-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind("\0" + name)
        listening.listen()
        yield name


def test_no_address_can_be_reached(sandbox, server):
    def connect(port):
        import socket

        def tcp(family, address):
            with socket.socket(family) as client:
                client.connect(address)

        def udp(address):
            with socket.socket(type=socket.SOCK_DGRAM) as client:
                client.sendto(b"x", address)

        return {
            "host": attempt(tcp, socket.AF_INET, ("127.0.0.1", port)),
            "outside": attempt(tcp, socket.AF_INET, ("192.0.2.1", 80)),
            "outside v6": attempt(tcp, socket.AF_INET6, ("2001:db8::1", 80)),
            "datagram": attempt(udp, ("192.0.2.1", 53)),
            "raw": attempt(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1),
        }

    unreachable = {"ENETUNREACH", "ECONNREFUSED", "EADDRNOTAVAIL", "EAFNOSUPPORT", "EPERM"}
    assert set(sandbox.run(connect, server).values()) <= unreachable


def test_only_known_families_of_sockets_can_be_made(sandbox):
    def make():
        import socket

        known = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK)
        outcomes = {family: attempt(socket.socket, family, socket.SOCK_DGRAM, 0) for family in range(1, 50)}
        audit = attempt(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, 9)
        return {str(family): outcome for family, outcome in outcomes.items() if family not in known}, audit

    others, audit = sandbox.run(make)
    assert str(int(getattr(socket, "AF_VSOCK", 40))) in others
    assert set(others.values()) == {"EAFNOSUPPORT"}
    assert audit == "EPROTONOSUPPORT"


def test_pairs_of_sockets_work(sandbox):
    def talk():
        import socket

        one, other = socket.socketpair()
        one.send(b"hello")
        return other.recv(5).decode()

    assert sandbox.run(talk) == "hello"


def reach(name):
    """Connects to an abstract unix socket."""
    import socket

    def connect():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect("\0" + name)

    return attempt(connect)


@pytest.mark.parametrize("network", [False, True])
def test_abstract_sockets_of_the_host_cannot_be_reached(make, abstract, network):
    assert make(network=network).run(reach, abstract) in ("ECONNREFUSED", "EPERM", "EAFNOSUPPORT")


@pytest.mark.parametrize("network", [False, True])
def test_workers_share_no_abstract_socket(make, network):
    def listen(name):
        import os
        import socket

        try:
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError:
            os.write(4, b"0")
            return "no sockets with names"
        listening.bind("\0" + name)
        listening.listen()
        os.write(4, b"1")
        listening.settimeout(3)
        try:
            listening.accept()
        except TimeoutError:
            return "nobody came"
        return "somebody came"

    sandbox, name = make(network=network), f"zerrow-worker-{os.getpid()}"
    reading, writing = os.pipe()
    listener = sandbox.start(listen, name, descriptors=[writing])
    os.close(writing)
    assert os.read(reading, 1) in (b"0", b"1")
    os.close(reading)
    assert sandbox.run(reach, name) in ("ECONNREFUSED", "EPERM", "EAFNOSUPPORT")
    assert listener.value() in ("nobody came", "no sockets with names")
    listener.wait()


def test_a_model_that_asked_for_it_has_the_network(make):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            with listening.accept()[0] as connection:
                connection.send(b"hello")

        threading.Thread(target=answer, daemon=True).start()

        def ask(port):
            import socket

            with socket.create_connection(("127.0.0.1", port)) as client:
                return client.recv(5).decode()

        assert make(network=True).run(ask, listening.getsockname()[1]) == "hello"


def test_the_network_cannot_be_configured(make):
    def configure():
        import ctypes
        import socket

        with socket.socket() as some:
            request = ctypes.create_string_buffer(b"lo", 40)
            SET_FLAGS = 0x8914
            return attempt(call, 16 if platform.machine() == "x86_64" else 29, some.fileno(), SET_FLAGS, request)

    assert make(network=False).run(configure) == "EPERM"
    assert make(network=True).run(configure) == "EPERM"
