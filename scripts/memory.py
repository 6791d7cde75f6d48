#!/usr/bin/env python3
"""Attacks a server with requests that use much memory, and prints its memory before, at the peak and a while later.

Usage: scripts/memory.py [NETRA]    the program; default target/release/netra
SETTLE=60: seconds from the end of an attack to the last measurement. ONLY=json_body,all: the attacks to run. LD_PRELOAD is passed to
the server. Servers listen on 127.0.0.1 with a store in a temporary folder; each attack gets a new server, and the last server gets all
attacks in turn.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

PROGRAM = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/netra")
SETTLE = float(os.environ.get("SETTLE", 60))
ACCOUNT = {"email": "bench@example.org", "password": "a password to measure"}
UNFINISHED = b"GET / HTTP/1.1\r\nhost: a\r\nx-long: "


class Server:
    def __init__(self, folder):
        self.folder = folder
        environment = {
            "NETRA_LOG": "error",
            "NETRA_SETUP_TOKEN": "setup-token-of-the-attack",
            "NETRA_SOCKET__COMMANDS_PER_MINUTE": "1000000",
            "PATH": os.environ["PATH"],
        }
        for name in ("LD_PRELOAD", "LEPTOS_SITE_ROOT", "MALLOC_ARENA_MAX"):
            if name in os.environ:
                environment[name] = os.environ[name]
        (folder / "netra.toml").write_text("")
        self.config = str(folder / "netra.toml")
        command = [PROGRAM, "serve", "--listen", "127.0.0.1:0", "--data", str(folder / "data"), "--config", self.config]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
        link = self.process.stdout.readline()
        self.port = int(re.search(r":(\d+)/", link).group(1))
        self.url = f"http://127.0.0.1:{self.port}"
        setup = {"setup_token": "setup-token-of-the-attack", "name": "Bench", **ACCOUNT}
        self.post("/api/auth/setup", json.dumps(setup).encode())
        self.token = json.loads(self.post("/api/auth/token", json.dumps(ACCOUNT).encode()))["access_token"]

    def post(self, path, body, content_type="application/json", token=None):
        request = urllib.request.Request(self.url + path, data=body, method="POST")
        request.add_header("content-type", content_type)
        if token:
            request.add_header("authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return response.read()
        except (urllib.error.URLError, OSError):
            return b""

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def memory(self, what="VmRSS"):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(what + r":\s+(\d+)", status).group(1)) / 1024

    def begin_peak(self):
        # 5 resets VmHWM, the peak.
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def stop(self):
        self.process.kill()
        self.process.wait()


def at_once(count, work):
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        list(pool.map(work, range(count)))


def passwords(server):
    body = json.dumps(ACCOUNT).encode()
    for _ in range(4):
        at_once(64, lambda _: server.post("/api/auth/token", body))


def json_body(server):
    body = {"threadId": "t", "runId": "r", "tools": [], "context": [], "state": {},
            "messages": [{"id": "m", "role": "user", "content": "Hello"}], "forwardedProps": "ZEROS"}
    body = json.dumps(body).replace('"ZEROS"', "[" + "0," * 6_100_000 + "0]").encode()
    at_once(2, lambda n: server.post("/api/agents/analyst/agui", body, token=server.token))


def ask(server, name, head, byte, count):
    log = server.folder / name
    with log.open("wb") as file:
        file.write(head)
        for _ in range(count // 1_000_000):
            file.write(byte * 1_000_000)
    command = [PROGRAM, "ask", "Where do my tokens go?", "--file", str(log), "--server", server.url, "--token", server.token]
    environment = {"PATH": os.environ["PATH"]}
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300)


def commas(server):
    ask(server, "commas.csv", b"input_tokens", b",", 50_000_000)


def line(server):
    ask(server, "line.csv", b"input_tokens,output_tokens\n1,2\n", b"x", 100_000_000)


def part_header(server):
    thread = "0198c0de-0000-7000-8000-000000000001"
    body = {"threadId": thread, "runId": "r", "tools": [], "context": [], "state": {}, "forwardedProps": {},
            "messages": [{"id": "m", "role": "user", "content": "Hello"}]}
    server.post("/api/agents/analyst/agui", json.dumps(body).encode(), token=server.token)
    form = b'--b\r\ncontent-disposition: form-data; name="file"; filename="' + b"x" * 150_000_000
    server.post(f"/api/threads/{thread}/files", form, "multipart/form-data; boundary=b", server.token)


def hold(server, count, text):
    held = []
    for _ in range(count):
        try:
            connection = server.connect()
            held.append(connection)
            connection.sendall(text)
        except OSError:
            pass
    time.sleep(2)
    return held


def headers(server):
    return hold(server, 500, UNFINISHED + b"x" * 400_000)


def silent(server):
    return hold(server, 4_000, b"")


ATTACKS = {
    "the right password, 64 at once, 4 times": passwords,
    "2 JSON bodies of 12.2 MB, a value in every other byte": json_body,
    "a CSV header of 50 million commas": commas,
    "a CSV line of 100 MB": line,
    "a multipart header of 150 MB": part_header,
    "500 unfinished headers of 400 kB": headers,
    "4,000 silent connections": silent,
}


def measure(name, attacks):
    folder = pathlib.Path(tempfile.mkdtemp())
    server = Server(folder)
    try:
        before = server.memory()
        server.begin_peak()
        # Open connections stay open until the last measurement.
        held = [attack(server) for attack in attacks]
        peak = server.memory("VmHWM")
        time.sleep(SETTLE)
        after = server.memory()
        print(f"| {name} | {before:.0f} MB | {peak:.0f} MB | {after:.0f} MB |", flush=True)
        del held
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    only = os.environ.get("ONLY", "")
    print(f"| attack | before | at most | {SETTLE:.0f} s later |\n|---|---|---|---|", flush=True)
    for name, attack in ATTACKS.items():
        if not only or attack.__name__ in only.split(","):
            measure(name, [attack])
    if not only or "all" in only.split(","):
        measure("all of these, one after the other", list(ATTACKS.values()))


main()
