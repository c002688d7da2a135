"""What is told of connections: who they lead to, and which side is slow."""

import asyncio
import os
import pathlib
import ssl

import pytest
from looks import settle

import epicycle
from epicycle.watching.inside import connections, snapshot
from epicycle.watching.inside.pacing import Pace
from toolkit import Recorder, connected, finish, serving, tcp_pair, until

pytestmark = pytest.mark.epicycle_only


def told(loop):
    """The connections of a snapshot by their descriptor."""
    listed = snapshot.take(loop)["connections"]
    assert listed["total"] == len(listed["list"])
    return {connection["fd"]: connection for connection in listed["list"]}


def descriptor(transport):
    return transport.get_extra_info("socket").fileno()


def test_a_loop_without_any(loop):
    assert told(loop) == {}


def test_both_ends_and_the_listener(loop):
    async def main():
        async with connected() as (client, server):
            known = told(loop)
            host, port = client.transport.get_extra_info("sockname")
            mine = known[descriptor(client.transport)]
            theirs = known[descriptor(server.transport)]
            assert (mine["kind"], theirs["kind"]) == ("tcp", "tcp")
            assert mine["local"] == theirs["peer"] == f"{host}:{port}"
            assert mine["peer"] == theirs["local"]
            assert mine["reading"] and not mine["writing_paused"] and mine["buffer"] == 0
            assert mine["limits"] == [16384, 65536] and mine["slow"] == ""
            listeners = [it for it in known.values() if it["kind"] == "listener"]
            assert [it["local"] for it in listeners] == [mine["peer"]]

    finish(loop, main())


def test_the_socket_object_is_not_made_by_looking(loop):
    """An accepted descriptor has no socket object until the program asks for one."""

    async def main():
        async with connected() as (_, server):
            snapshot.take(loop)
            snapshot.take(loop)
            assert "socket.socket" not in repr(server.transport)
            assert descriptor(server.transport) in told(loop)

    finish(loop, main())


def test_a_peer_that_does_not_read(loop):
    async def main():
        async with connected() as (client, server):
            server.transport.pause_reading()
            client.transport.write(bytes(20_000_000))
            mine = told(loop)[descriptor(client.transport)]
            assert mine["slow"] == "peer" and mine["writing_paused"]
            assert mine["buffer"] == client.transport.get_write_buffer_size() > 65536
            await until(lambda: told(loop)[descriptor(server.transport)]["unread"] > 0)
            theirs = told(loop)[descriptor(server.transport)]
            assert theirs["slow"] == "us" and not theirs["reading"]

    finish(loop, main())


def test_paused_without_input_is_not_slow(loop):
    async def main():
        async with connected() as (_, server):
            server.transport.pause_reading()
            theirs = told(loop)[descriptor(server.transport)]
            assert not theirs["reading"] and theirs["unread"] == 0 and theirs["slow"] == ""

    finish(loop, main())


def test_unix_sockets_udp_pipes_and_callbacks(loop, tmp_path):
    async def main():
        path = str(tmp_path / "socket")
        server = await loop.create_unix_server(Recorder, path)
        client, _ = await loop.create_unix_connection(Recorder, path)
        endpoint, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        read, write = os.pipe()
        with open(read, "rb", 0) as reading, open(write, "wb", 0) as writing, tcp_pair() as (mine, _):
            reader, _ = await loop.connect_read_pipe(asyncio.Protocol, reading)
            writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, writing)
            reader.pause_reading()
            writer.write(bytes(1_000_000))
            loop.add_reader(mine, print)
            await settle()
            known = told(loop)
            assert known[descriptor(client)]["kind"] == "unix"
            assert known[descriptor(client)]["peer"] == path
            host, port = endpoint.get_extra_info("sockname")
            udp = known[descriptor(endpoint)]
            assert (udp["kind"], udp["local"], udp["peer"]) == ("udp", f"{host}:{port}", None)
            pipe = known[write]
            assert (pipe["kind"], pipe["slow"]) == ("pipe-write", "peer") and pipe["buffer"] > 65536
            assert known[mine.fileno()]["kind"] == "callback"
            loop.remove_reader(mine)
            writer.abort()
            reader.resume_reading()
            await settle()
            reader.close()
            await settle()
        client.close()
        endpoint.close()
        server.close()
        await settle(20)

    finish(loop, main())


def test_a_tls_connection_is_told_of_once_with_all_that_waits(loop):
    pem = pathlib.Path(epicycle.__file__).parent / "bench" / "localhost.pem"
    serving_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving_context.load_cert_chain(pem)
    client_context = ssl.create_default_context(cafile=pem)
    client_context.check_hostname, client_context.verify_mode = False, ssl.CERT_NONE

    async def main():
        async with serving(ssl=serving_context) as (_, port, protocols):
            transport, _ = await loop.create_connection(Recorder, "127.0.0.1", port, ssl=client_context)
            await until(lambda: protocols and protocols[0].transport is not None)
            protocols[0].transport.pause_reading()
            transport.write(bytes(20_000_000))
            known = told(loop)
            mine = known[descriptor(transport)]
            assert (mine["kind"], mine["slow"]) == ("tls", "peer")
            assert mine["peer"] == f"127.0.0.1:{port}" and mine["buffer"] > 1_000_000
            assert [it["kind"] for it in known.values() if it["kind"] != "listener"] == ["tls", "tls"]
            theirs = known[descriptor(protocols[0].transport)]
            assert not theirs["reading"]
            transport.abort()

    finish(loop, main())


def test_portions(loop):
    """They are asked for in portions, and none is lost between two."""

    async def main():
        async with serving() as (_, port, protocols):
            clients = [await loop.create_connection(Recorder, "127.0.0.1", port) for _ in range(150)]
            await until(lambda: len(protocols) == 150 and all(it.transport for it in protocols))
            found = connections.collect(loop, Pace())
            assert sum(it["kind"] == "tcp" for it in found) == 300
            assert len(connections.listed(found, 10)) == 10
            for transport, _ in clients:
                transport.abort()
            await settle()

    finish(loop, main())


def test_a_closed_loop_has_none(loop_factory):
    loop = loop_factory()
    loop.close()
    assert connections.collect(loop, Pace()) == []
