import contextlib
import hashlib
import http.server
import io
import json
import logging
import re
import socket
import stat
import subprocess
import threading
import time
import urllib.parse
import warnings
import zipfile
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consonance import downloads, folders
from consonance.errors import InputError

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ADVICE = "download recordings.zip by hand, put it at corpus/recordings.zip and run again"


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch):
    # The hub's library would refuse the loopback server if the machine is set to offline.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Server:
    """A file server on the loopback; `script` holds one behaviour per request, then "ok".

    Behaviours: ok, drop (half of what is left, then the connection closes), no-range, shifted
    (answers with another range), short (claims less), unknown-length, endless (more than the file),
    a number (that status), or a tuple of a number and headers.
    """

    def __init__(self):
        self.content = CONTENT
        self.script = []
        self.ranges = []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                owner.ranges.append(self.headers.get("Range"))
                behaviour = owner.script.pop(0) if owner.script else "ok"
                self.close_connection = True
                if not isinstance(behaviour, str):
                    status, headers = behaviour if isinstance(behaviour, tuple) else (behaviour, {})
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                start, body = 0, owner.content
                asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
                if asked and behaviour != "no-range":
                    start = int(asked[1])
                    if behaviour == "shifted":
                        start += 1
                    self.send_response(206)
                    total = len(body)
                    self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
                else:
                    self.send_response(200)
                body = body[start:]
                if behaviour == "endless":
                    body = body + bytes(1000)
                if behaviour not in ("unknown-length", "endless"):
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if behaviour == "drop" else body)

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/files/recordings.zip?download=1"


@contextlib.contextmanager
def serving(server):
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
        thread.join()


@pytest.fixture
def server():
    with serving(Server()) as running:
        yield running


def fetch(url, path, *, waits=None, **changes):
    arguments = {
        "sha256": SHA256,
        "size": len(CONTENT),
        "timeout": 5.0,
        "attempts": 3,
        "what_to_do": ADVICE,
        "sleep": [].append if waits is None else waits.append,
    }
    downloads.fetch(url, path, **(arguments | changes))


def part_of(path):
    return path.with_name(path.name + ".part")


# ------------------------------------------------------------------------------------- fetch


def test_fetch_downloads_and_verifies(server, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path = tmp_path / "new" / "recordings.zip"
    fetch(server.url, path)
    assert path.read_bytes() == CONTENT
    assert not part_of(path).exists()
    assert server.ranges == [None]
    assert "0.3 of 0.3 MB" in caplog.text
    assert "MB/s" in caplog.text
    assert "s left" in caplog.text


def test_fetch_continues_a_dropped_connection(server, tmp_path):
    server.script = ["drop", "drop", "ok"]
    path, waits = tmp_path / "a.zip", []
    fetch(server.url, path, waits=waits)
    assert path.read_bytes() == CONTENT
    assert waits == [1.0, 2.0]
    assert server.ranges[0] is None
    starts = [int(r.removeprefix("bytes=").removesuffix("-")) for r in server.ranges[1:]]
    assert 0 < starts[0] < starts[1] < len(CONTENT)


def test_fetch_keeps_what_arrived_for_the_next_run(server, tmp_path):
    server.script = ["drop"]
    path = tmp_path / "a.zip"
    with pytest.raises(InputError, match=r"127\.0\.0\.1 could not be reached \(.*\); download"):
        fetch(server.url, path, attempts=1)
    kept = part_of(path).stat().st_size
    assert 0 < kept < len(CONTENT)
    assert not path.exists()
    fetch(server.url, path, attempts=1)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={kept}-"]


def test_fetch_starts_again_where_the_server_ignores_ranges(server, tmp_path):
    path = tmp_path / "a.zip"
    part_of(path).write_bytes(b"x" * 1000)
    server.script = ["no-range"]
    fetch(server.url, path)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_fetch_starts_again_after_another_range_than_asked_for(server, tmp_path):
    path = tmp_path / "a.zip"
    part_of(path).write_bytes(CONTENT[:1000])
    server.script = ["shifted"]
    fetch(server.url, path)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-", None]


def test_fetch_starts_again_when_the_part_is_too_long(server, tmp_path):
    path = tmp_path / "a.zip"
    part_of(path).write_bytes(CONTENT + b"x")
    fetch(server.url, path)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None]


def test_fetch_starts_again_after_416(server, tmp_path):
    path = tmp_path / "a.zip"
    part_of(path).write_bytes(CONTENT[:1000])
    server.script = [416]
    fetch(server.url, path)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-", None]


def test_fetch_takes_a_complete_part_without_the_network(tmp_path):
    path = tmp_path / "a.zip"
    part_of(path).write_bytes(CONTENT)
    fetch("http://127.0.0.1:9/unused", path)
    assert path.read_bytes() == CONTENT


def test_fetch_accepts_a_response_of_unknown_length(server, tmp_path):
    server.script = ["unknown-length"]
    fetch(server.url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_fetch_tries_again_after_a_server_error(server, tmp_path):
    server.script = [500, (503, {"Retry-After": "7"}), "ok"]
    waits = []
    fetch(server.url, tmp_path / "a.zip", waits=waits)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert waits == [1.0, 7.0]


def test_fetch_waits_no_longer_than_two_minutes(server, tmp_path):
    server.script = [(429, {"Retry-After": "86400"})]
    waits = []
    fetch(server.url, tmp_path / "a.zip", waits=waits)
    assert waits == [120.0]


def test_fetch_gives_up_after_the_last_attempt(server, tmp_path):
    server.script = [500] * 3
    waits = []
    with pytest.raises(InputError) as caught:
        fetch(server.url, tmp_path / "a.zip", waits=waits)
    assert str(caught.value) == f"127.0.0.1 could not be reached (HTTP 500); {ADVICE}."
    assert waits == [1.0, 2.0]


@pytest.mark.parametrize("status", [403, 404, 410])
def test_fetch_does_not_repeat_a_refused_request(server, tmp_path, status):
    server.script = [status]
    with pytest.raises(InputError, match=rf"refused .*HTTP {status}.*{ADVICE}"):
        fetch(server.url, tmp_path / "a.zip")
    assert len(server.ranges) == 1


def test_fetch_says_what_to_do_without_a_network(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/recordings.zip"
        with pytest.raises(InputError) as caught:
            fetch(url, tmp_path / "a.zip")
    assert str(caught.value) == (f"127.0.0.1 could not be reached (Connection refused); {ADVICE}.")


def test_fetch_reports_a_server_that_does_not_answer(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/recordings.zip"
        with pytest.raises(InputError, match=r"\(no answer within 0\.2 s\)"):
            fetch(url, tmp_path / "a.zip", timeout=0.2, attempts=1)


def test_fetch_removes_wrong_content(server, tmp_path):
    server.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    found = hashlib.sha256(server.content).hexdigest()
    path = tmp_path / "a.zip"
    with pytest.raises(InputError, match=f"SHA-256 {found}, but {SHA256} is expected"):
        fetch(server.url, path)
    assert list(tmp_path.iterdir()) == []


def test_fetch_refuses_a_file_of_another_size_before_it_downloads(server, tmp_path):
    server.content = b"<html>please log in</html>"
    path = tmp_path / "a.zip"
    part_of(path).write_bytes(CONTENT[:1000])
    server.script = ["no-range"]
    with pytest.raises(InputError, match="has 26 bytes, but 300000 are expected"):
        fetch(server.url, path)
    assert part_of(path).read_bytes() == CONTENT[:1000]


def test_fetch_refuses_a_file_that_does_not_end(server, tmp_path):
    server.script = ["endless"]
    with pytest.raises(InputError, match="is longer than the expected 300000 bytes"):
        fetch(server.url, tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


def test_fetch_leaves_an_existing_right_file(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(CONTENT)
    before = path.stat().st_mtime_ns
    fetch("http://127.0.0.1:9/unused", path)
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"mine", "4 bytes, but 300000 bytes"), (bytes(300_000), "the SHA-256 .*, but .* expected")],
)
def test_fetch_never_overwrites_an_existing_file(server, tmp_path, content, reason):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        fetch(server.url, path)
    assert path.read_bytes() == content
    assert server.ranges == []


def test_fetch_reports_a_full_disk(server, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 100_000})
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"0 MB free, but 0 MB are needed for a\.zip"):
        fetch(server.url, tmp_path / "a.zip")


def test_fetch_reports_a_place_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="cannot be written"):
        fetch(server.url, tmp_path / "file" / "a.zip")


def test_fetch_lists_all_wrong_arguments(tmp_path):
    with pytest.raises(InputError) as caught:
        fetch("ftp://example.org/a", tmp_path / "a", sha256="ABC", size=0, attempts=0)
    assert len(caught.value.problems) == 4


# ------------------------------------------------------------------------------------ obtain


def obtain(path, url, folder):
    downloads.obtain(path, url=url, sha256=SHA256, bytes=len(CONTENT), folder=folder, attempts=1)


def test_obtain_takes_the_file_from_the_folder(server, tmp_path):
    own = tmp_path / "mine" / "recordings.zip"
    own.parent.mkdir()
    own.write_bytes(CONTENT)
    path = tmp_path / "archives" / "recordings.zip"
    obtain(path, server.url, own.parent)
    assert path.read_bytes() == own.read_bytes() == CONTENT
    assert server.ranges == []


def test_obtain_copies_where_links_are_impossible(server, tmp_path, monkeypatch):
    def refuse(self, target):
        raise OSError("no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    (tmp_path / "recordings.zip").write_bytes(CONTENT)
    obtain(tmp_path / "archives" / "recordings.zip", server.url, tmp_path)
    assert (tmp_path / "archives" / "recordings.zip").read_bytes() == CONTENT


def test_obtain_downloads_what_is_not_in_the_folder(server, tmp_path):
    obtain(tmp_path / "recordings.zip", server.url, tmp_path / "mine")
    assert (tmp_path / "recordings.zip").read_bytes() == CONTENT
    assert server.ranges == [None]


def test_obtain_refuses_another_file_of_that_name(server, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "recordings.zip").write_bytes(b"other")
    with pytest.raises(InputError, match=r"mine/recordings\.zip has 5 bytes"):
        obtain(tmp_path / "recordings.zip", server.url, tmp_path / "mine")
    assert server.ranges == []


@pytest.mark.parametrize("folder", ["mine", None])
def test_obtain_says_where_to_put_the_file(server, tmp_path, folder):
    server.script = [500]
    path = tmp_path / "recordings.zip"
    own = tmp_path / folder if folder else None
    with pytest.raises(InputError) as caught:
        obtain(path, server.url, own)
    place = (own or tmp_path) / "recordings.zip"
    assert f"by hand, put it at {place} and run again." in str(caught.value)


# ------------------------------------------------------------------------------------ unpack

LIMITS = {"max_bytes": 1_000_000, "max_files": 20}


def make_zip(path, members):
    """Writes members given as (name or ZipInfo, bytes), whatever the names."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zipfile warns of equal names
        for name, content in members:
            archive.writestr(name, content)
    return path


def contents(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_unpack_extracts_files_and_folders(tmp_path):
    members = [("Actor_01/", b""), ("Actor_01/a.wav", b"one"), ("./Actor_02//b.wav", b"three")]
    archive = make_zip(tmp_path / "a.zip", members)
    result = downloads.unpack(archive, tmp_path / "out", **LIMITS)
    assert contents(tmp_path / "out") == {"Actor_01/a.wav": b"one", "Actor_02/b.wav": b"three"}
    assert result == downloads.Unpacked(files=2, bytes=8, skipped=0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "out"]


def test_unpack_leaves_out_what_a_mac_adds(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    members = [("a.wav", b"one"), ("__MACOSX/._a.wav", b"x"), ("b/.DS_Store", b"x")]
    archive = make_zip(tmp_path / "a.zip", members)
    assert downloads.unpack(archive, tmp_path / "out", **LIMITS).skipped == 2
    assert contents(tmp_path / "out") == {"a.wav": b"one"}
    assert "2 members" in caplog.text


def test_unpack_gives_the_usual_permissions(tmp_path):
    downloads.unpack(make_zip(tmp_path / "a.zip", [("a", b"")]), tmp_path / "out", **LIMITS)
    (tmp_path / "usual").mkdir()
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "usual").stat().st_mode


def info(name, mode=0, flags=0):
    made = zipfile.ZipInfo("x")
    made.filename = made.orig_filename = name
    made.external_attr = mode << 16
    made.flag_bits = flags
    return made


EVIL = [
    ([("/etc/passwd", b"x")], "has an absolute path"),
    ([("../evil", b"x")], "leads out of the folder"),
    ([("a/../../evil", b"x")], "leads out of the folder"),
    ([("C:/evil", b"x")], "has an absolute path"),
    ([("c:evil", b"x")], "has an absolute path"),
    ([("..\\evil", b"x")], "has a backslash"),
    ([("a\nb", b"x")], "has a control character"),
    ([(info("link", stat.S_IFLNK | 0o777), b"/etc/passwd")], "is a symbolic link"),
    ([(info("pipe", stat.S_IFIFO | 0o666), b"")], "is not a plain file"),
    ([("a", b"1"), ("a", b"2")], "would take the same place"),
    ([("a", b"1"), ("./a", b"2")], "would take the same place"),
    ([("A.wav", b"1"), ("a.wav", b"2")], "would take the same place"),
    ([("e\u0301", b"1"), ("\u00e9", b"2")], "would take the same place"),
    ([("a", b"1"), ("a/b", b"2")], "would take the same place"),
    ([("a/b", b"1"), ("a", b"2")], "would take the same place"),
    ([("Actor/a", b"1"), ("actor/b", b"2")], "would take the same place"),
    ([("__MACOSX/../../evil", b"x")], "leads out of the folder"),
]


@pytest.mark.parametrize(("members", "reason"), EVIL)
def test_unpack_refuses_evil_members(tmp_path, members, reason):
    folder = tmp_path / "inner" / "out"
    folder.parent.mkdir()
    archive = make_zip(tmp_path / "a.zip", [("good", b"good"), *members])
    with pytest.raises(InputError, match=reason):
        downloads.unpack(archive, folder, **LIMITS)
    assert list(folder.parent.iterdir()) == []
    assert [p.name for p in tmp_path.iterdir() if p.name != "inner"] == ["a.zip"]


def test_unpack_refuses_encrypted_members(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("a", b"secret")])
    data = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    archive.write_bytes(data)
    with pytest.raises(InputError, match="is encrypted"):
        downloads.unpack(archive, tmp_path / "out", **LIMITS)


def test_unpack_lists_every_refused_member(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("/a", b""), ("../b", b""), ("c", b"")])
    with pytest.raises(InputError) as caught:
        downloads.unpack(archive, tmp_path / "out", **LIMITS)
    assert len(caught.value.problems) == 2


def test_unpack_refuses_too_many_bytes(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("a", bytes(600_000)), ("b", bytes(600_000))])
    assert archive.stat().st_size < 10_000
    with pytest.raises(InputError, match="unpacks to at least 1200000 bytes"):
        downloads.unpack(archive, tmp_path / "out", **LIMITS)
    assert not (tmp_path / "out").exists()


def test_unpack_counts_real_bytes_not_declared_ones(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "a.zip", [("a", bytes(600_000)), ("b", bytes(600_000))])
    # A reader that believes neither header: it yields all bytes however few are declared.
    original = zipfile.ZipFile.infolist
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda self, i: io.BytesIO(bytes(600_000)))

    def understated(self):
        members = original(self)
        for member in members:
            member.file_size = 1
        return members

    monkeypatch.setattr(zipfile.ZipFile, "infolist", understated)
    with pytest.raises(InputError, match="more than the 1000000 that are allowed"):
        downloads.unpack(archive, tmp_path / "out", **LIMITS)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_unpack_refuses_an_understated_size(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("a", bytes(600_000))])
    data = archive.read_bytes()
    size = (600_000).to_bytes(4, "little")
    assert data.count(size) == 2
    archive.write_bytes(data.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(InputError, match="is damaged"):
        downloads.unpack(archive, tmp_path / "out", **LIMITS)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_unpack_refuses_too_many_files(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [(str(n), b"") for n in range(21)])
    with pytest.raises(InputError, match="has 21 members, more than the 20"):
        downloads.unpack(archive, tmp_path / "out", **LIMITS)


def test_unpack_reports_a_damaged_archive(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("good", b"1"), ("a", CONTENT)])
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(InputError, match="is damaged"):
        downloads.unpack(archive, tmp_path / "out", **LIMITS)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("content", [b"", b"not a zip archive"])
def test_unpack_reports_what_is_no_archive(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.zip is damaged or not a zip archive"):
        downloads.unpack(tmp_path / "a.zip", tmp_path / "out", **LIMITS)


def test_unpack_reports_a_missing_archive(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        downloads.unpack(tmp_path / "a.zip", tmp_path / "out", **LIMITS)


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1))
def test_unpack_of_changed_bytes_is_whole_or_an_input_error(tmp_path, changes):
    archive = make_zip(tmp_path / "a.zip", [("a/b", b"text" * 20), ("c", bytes(500))])
    data = bytearray(archive.read_bytes())
    for position, value in changes:
        data[position % len(data)] = value
    archive.write_bytes(data)
    folder = tmp_path / "out"
    with contextlib.suppress(InputError):
        downloads.unpack(archive, folder, **LIMITS)
        downloads.shutil.rmtree(folder)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_unpack_never_overwrites(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("a", b"new")])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_bytes(b"mine")
    with pytest.raises(InputError, match="holds files already"):
        downloads.unpack(archive, tmp_path / "out", **LIMITS)
    assert contents(tmp_path / "out") == {"mine": b"mine"}


# ----------------------------------------------------------------------------------- folders


def test_building_replaces_empty_folders_and_clears_what_a_killed_run_left(tmp_path):
    (tmp_path / "out" / "Actor_01").mkdir(parents=True)
    dead = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True)
    left = tmp_path / f".out.{socket.gethostname()}.{dead.stdout.strip()}.building"
    left.mkdir()
    (left / "half").write_bytes(b"half")
    with folders.building(tmp_path / "out") as temporary:
        assert list(temporary.iterdir()) == []
        (temporary / "a").write_bytes(b"a")
        assert not (tmp_path / "out" / "a").exists()
    assert contents(tmp_path) == {"out/a": b"a"}
    assert not (tmp_path / "out" / "Actor_01").exists()


def test_building_leaves_nothing_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), folders.building(tmp_path / "out") as temporary:
        (temporary / "a").write_bytes(b"a")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------- fetch_model

REVISION = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "someone/encoder"
FILES = ["config.json", "preprocessor_config.json", "model.safetensors", "pytorch_model.bin"]


def git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub:
    """What `fetch_model` needs of the Hub's interface, on the loopback."""

    def __init__(self, contents):
        self.contents = dict(contents)
        self.served = dict(contents)
        self.large = {n for n in contents if n.endswith((".safetensors", ".bin"))}
        self.requests = []
        self.drop_once = set()
        self.authorised = False
        self.broken = False
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def answer(self, status, headers, body=b""):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def do_HEAD(self):
                self.do_GET()

            def do_GET(self):
                path = urllib.parse.urlsplit(self.path).path
                hub.requests.append((self.command, path, self.headers.get("Range")))
                hub.authorised |= "Authorization" in self.headers
                if hub.broken:
                    return self.answer(503, {})
                if path.startswith("/api/models/"):
                    repository, _, revision = path.removeprefix("/api/models/").partition("/tree/")
                    if repository != REPOSITORY:
                        return self.answer(404, {"X-Error-Code": "RepoNotFound"})
                    if revision != REVISION:
                        return self.answer(404, {"X-Error-Code": "RevisionNotFound"})
                    listing = json.dumps([hub.entry(name) for name in hub.contents]).encode()
                    return self.answer(200, {"Content-Type": "application/json"}, listing)
                name = path.removeprefix(f"/{REPOSITORY}/resolve/{REVISION}/")
                body = hub.served[name]
                headers = {"X-Repo-Commit": REVISION, "ETag": f'"{hub.etag(name)}"'}
                if self.command == "GET" and name in hub.drop_once:
                    hub.drop_once.remove(name)
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body[: len(body) // 2])
                    self.close_connection = True
                    return None
                asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
                if asked:
                    start, total = int(asked[1]), len(body)
                    headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
                    return self.answer(206, headers, body[start:])
                return self.answer(200, headers, body)

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def etag(self, name):
        content = self.contents[name]
        return hashlib.sha256(content).hexdigest() if name in self.large else git_hash(content)

    def entry(self, name):
        content = self.contents[name]
        made = {"type": "file", "path": name, "size": len(content), "oid": git_hash(content)}
        if name in self.large:
            oid = hashlib.sha256(content).hexdigest()
            made["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 130}
        return made


MODEL = {
    ".gitattributes": b"* text",
    "config.json": b'{"model_type": "hubert"}',
    "preprocessor_config.json": b"{}",
    "model.safetensors": CONTENT,
    "pytorch_model.bin": CONTENT[::-1],
    "modeling.py": b"raise SystemExit",
}
WANTED = ["config.json", "model.safetensors", "preprocessor_config.json"]


@pytest.fixture
def hub():
    with serving(Hub(MODEL)) as running:
        yield running


def fetch_model(folder, hub=None, **changes):
    arguments = {"files": FILES, "endpoint": hub.url if hub else "http://127.0.0.1:9"}
    repository = changes.pop("repository", REPOSITORY)
    revision = changes.pop("revision", REVISION)
    return downloads.fetch_model(repository, revision, folder, **(arguments | changes))


def test_fetch_model_takes_what_an_encoder_needs_and_prefers_safetensors(
    hub, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_TOKEN", "secret")
    folder = tmp_path / "models" / "encoder"
    digests = fetch_model(folder, hub)
    assert list(digests) == WANTED
    assert digests["model.safetensors"] == SHA256
    found = contents(folder)
    record = json.loads(found.pop("source.json"))
    assert found == {name: MODEL[name] for name in WANTED}
    assert record == {"repository": REPOSITORY, "revision": REVISION, "files": digests}
    assert [p.name for p in folder.parent.iterdir()] == ["encoder"]
    assert not hub.authorised


def test_fetch_model_takes_bin_where_there_are_no_safetensors(hub, tmp_path):
    del hub.contents["model.safetensors"]
    assert list(fetch_model(tmp_path / "encoder", hub)) == [
        "config.json",
        "preprocessor_config.json",
        "pytorch_model.bin",
    ]


def test_fetch_model_needs_no_network_when_all_is_there(hub, tmp_path):
    first = fetch_model(tmp_path / "encoder", hub)
    count = len(hub.requests)
    assert fetch_model(tmp_path / "encoder", hub) == first
    assert len(hub.requests) == count


def test_fetch_model_continues_a_broken_download(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)  # the hub's library waits a second
    hub.drop_once = {"model.safetensors"}
    fetch_model(tmp_path / "encoder", hub)
    assert (tmp_path / "encoder" / "model.safetensors").read_bytes() == CONTENT
    gets = [r for c, p, r in hub.requests if c == "GET" and p.endswith("model.safetensors")]
    assert len(gets) == 2


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_fetch_model_refuses_what_the_repository_does_not_hold(hub, tmp_path, name):
    hub.served[name] = bytes(len(MODEL[name]))
    with pytest.raises(InputError, match=f"{name} is not what the repository holds"):
        fetch_model(tmp_path / "encoder", hub)
    assert not (tmp_path / "encoder").exists()
    hub.served[name] = MODEL[name]
    fetch_model(tmp_path / "encoder", hub)
    assert (tmp_path / "encoder" / name).read_bytes() == MODEL[name]


def test_fetch_model_checks_expected_checksums(hub, tmp_path):
    with pytest.raises(InputError, match=f"SHA-256 {SHA256}, but {'0' * 64} is expected"):
        fetch_model(tmp_path / "encoder", hub, sha256={"model.safetensors": "0" * 64})
    assert not (tmp_path / "encoder").exists()
    fetch_model(tmp_path / "encoder", hub, sha256={"model.safetensors": SHA256})


def test_fetch_model_reports_missing_files_and_idle_checksums_together(hub, tmp_path):
    del hub.contents["preprocessor_config.json"]
    with pytest.raises(InputError) as caught:
        fetch_model(tmp_path / "encoder", hub, sha256={"pytorch_model.bin": SHA256})
    assert "there is no preprocessor_config.json" in caught.value.problems[0]
    assert "pytorch_model.bin has a checksum but is not among" in caught.value.problems[1]


def test_fetch_model_reports_missing_weights(hub, tmp_path):
    del hub.contents["model.safetensors"], hub.contents["pytorch_model.bin"]
    with pytest.raises(
        InputError, match=r"there is no model\.safetensors and no pytorch_model\.bin"
    ):
        fetch_model(tmp_path / "encoder", hub)


def test_fetch_model_reports_a_hub_in_trouble(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)  # the hub's library waits between attempts
    hub.broken = True
    with pytest.raises(InputError, match=r"could not be reached \(HTTP 503\); put config\.json"):
        fetch_model(tmp_path / "encoder", hub)


def test_fetch_model_reports_an_unknown_revision(hub, tmp_path):
    with pytest.raises(InputError, match=f"The Hub has no revision {'a' * 40}"):
        fetch_model(tmp_path / "encoder", hub, revision="a" * 40)


def test_fetch_model_reports_an_unknown_repository(hub, tmp_path):
    with pytest.raises(InputError, match="The Hub has no repository someone/else"):
        fetch_model(tmp_path / "encoder", hub, repository="someone/else")


@pytest.mark.parametrize("revision", ["main", "v1.0", REVISION[:12], REVISION.upper()])
def test_fetch_model_refuses_what_is_not_a_commit(tmp_path, revision):
    with pytest.raises(InputError, match="is not a commit of someone/encoder"):
        fetch_model(tmp_path / "encoder", revision=revision)


def test_fetch_model_says_what_to_do_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)  # the hub's library waits between attempts
    folder = tmp_path / "encoder"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(InputError) as caught:
            fetch_model(folder, endpoint=endpoint)
    assert str(caught.value) == (
        "The Hugging Face Hub could not be reached (Connection refused); put config.json, "
        "preprocessor_config.json and model.safetensors or pytorch_model.bin of someone/encoder "
        f"at revision {REVISION} in {folder} and run again, or set the model's `source: folder`."
    )
    assert not folder.exists()


def test_fetch_model_reports_offline_mode(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"reached \(the variable HF_HUB_OFFLINE is set\); put"):
        fetch_model(tmp_path / "encoder", hub)
    assert hub.requests == []


def by_hand(folder):
    folder.mkdir()
    for name in WANTED:
        (folder / name).write_bytes(MODEL[name])
    return folder


def test_fetch_model_takes_files_put_there_by_hand(tmp_path, caplog):
    folder = by_hand(tmp_path / "encoder")
    digests = fetch_model(folder, sha256={"model.safetensors": SHA256})
    assert list(digests) == WANTED
    assert "put there by hand" in caplog.text
    assert not (folder / "source.json").exists()


def test_fetch_model_refuses_wrong_files_put_there_by_hand(tmp_path):
    folder = by_hand(tmp_path / "encoder")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(InputError) as caught:
        fetch_model(folder, sha256={"model.safetensors": "0" * 64})
    assert len(caught.value.problems) == 2
    assert "there is no preprocessor_config.json" in caught.value.problems[0]
    assert "but " + "0" * 64 + " is expected" in caught.value.problems[1]


def test_fetch_model_replaces_its_own_download_of_another_revision(hub, tmp_path):
    folder = tmp_path / "encoder"
    fetch_model(folder, hub)
    record = json.loads((folder / "source.json").read_text())
    (folder / "source.json").write_text(json.dumps(record | {"revision": "a" * 40}))
    hub.requests.clear()
    fetch_model(folder, hub)
    assert hub.requests
    assert json.loads((folder / "source.json").read_text()) == record
    assert [p.name for p in tmp_path.iterdir()] == ["encoder"]


def test_fetch_model_replaces_its_own_download_when_more_files_are_wanted(hub, tmp_path):
    fetch_model(tmp_path / "encoder", hub)
    assert "modeling.py" in fetch_model(tmp_path / "encoder", hub, files=[*FILES, "modeling.py"])


def test_fetch_model_keeps_an_earlier_download_when_the_new_one_fails(hub, tmp_path):
    fetch_model(tmp_path / "encoder", hub)
    before = contents(tmp_path / "encoder")
    with pytest.raises(InputError, match="The Hub has no revision"):
        fetch_model(tmp_path / "encoder", hub, revision="a" * 40)
    assert contents(tmp_path / "encoder") == before


@pytest.mark.parametrize("name", ["config.json", "notes.txt"])
@pytest.mark.parametrize("revision", [REVISION, "a" * 40])
def test_fetch_model_refuses_a_download_that_somebody_changed(hub, tmp_path, name, revision):
    fetch_model(tmp_path / "encoder", hub)
    (tmp_path / "encoder" / name).write_bytes(b"mine")
    with pytest.raises(InputError, match=f"{name} was removed, added or changed"):
        fetch_model(tmp_path / "encoder", hub, revision=revision)
    assert (tmp_path / "encoder" / name).read_bytes() == b"mine"


def test_fetch_model_checks_expected_checksums_of_an_earlier_download(hub, tmp_path):
    fetch_model(tmp_path / "encoder", hub)
    with pytest.raises(InputError, match=f"but {'0' * 64} is expected"):
        fetch_model(tmp_path / "encoder", hub, sha256={"model.safetensors": "0" * 64})


@pytest.mark.parametrize("text", ["", "[]", '{"repository": 1}', '{"files": 3}'])
def test_fetch_model_refuses_an_unreadable_record(hub, tmp_path, text):
    fetch_model(tmp_path / "encoder", hub)
    (tmp_path / "encoder" / "source.json").write_text(text)
    with pytest.raises(InputError, match=r"source\.json cannot be read"):
        fetch_model(tmp_path / "encoder", hub)


def test_fetch_model_asks_the_hub_for_no_more_than_is_needed(tmp_path, monkeypatch):
    entries = [
        huggingface_hub.RepoFile(path=n, size=len(c), oid=git_hash(c)) for n, c in MODEL.items()
    ]
    calls = []

    def snapshot(repository, *, local_dir, allow_patterns, **others):
        calls.append((repository, allow_patterns, others))
        for name in allow_patterns:
            Path(local_dir).mkdir(exist_ok=True)
            (Path(local_dir) / name).write_bytes(MODEL[name])

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_tree", lambda *a, **k: entries)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    fetch_model(tmp_path / "encoder")
    ((repository, patterns, others),) = calls
    assert repository == REPOSITORY
    assert patterns == WANTED
    assert others["revision"] == REVISION
    assert others["token"] is False
