"""Getting corpora and models from the network: resumable, verified, whole or absent.

Nothing else in the package touches the network. Every failure ends in an `InputError` that says
what to put where, so that the same run works on a machine without a network.
"""

import fnmatch
import glob
import hashlib
import json
import logging
import os
import re
import shutil
import stat
import struct
import time
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import huggingface_hub
import requests
from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    # The hub's own re-export: the library behind it has changed its name between releases.
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    XetDownloadError,
)

from consonance import files as whole_files
from consonance import folders
from consonance.errors import InputError

logger = logging.getLogger(__name__)

_CHUNK = 1 << 16  # bytes; what a broken connection may lose
_MEGABYTE = 1_000_000
_PROGRESS_SECONDS = 5.0
_LONGEST_WAIT = 120.0  # seconds between two attempts, whatever the server asks for
_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REVISION = re.compile(r"[0-9a-f]{40}")
# What zipfile raises on bytes that are not a zip archive, or on methods it does not know.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    ValueError,
)
_RECORD = "source.json"  # beside a model's files: where they came from


# ---------------------------------------------------------------------------- one file by HTTP


class _PassingFailure(Exception):
    """A failure that may be gone at the next attempt."""

    def __init__(self, reason: str, *, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait


def fetch(
    url: str,
    path: str | os.PathLike[str],
    *,
    sha256: str,
    size: int,
    timeout: float,
    attempts: int,
    what_to_do: str,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Downloads one file and verifies it; `path` is then whole and right, or absent.

    The bytes go to `<path>.part`. A broken download is taken up where it stopped (HTTP `Range`),
    in this run or the next one; it starts again if the server ignores `Range` or the part is longer
    than the file can be. Between attempts it waits 1, 2, 4, ... seconds, or as long as the server
    asks (`Retry-After`), at most two minutes. If `path` exists and its checksum is right, nothing
    is downloaded.

    Args:
        url: an http or https address.
        path: the file to make; its folder is made if it does not exist.
        sha256: the expected SHA-256, 64 hexadecimal digits.
        size: the expected size in bytes.
        timeout: seconds without an answer after which an attempt counts as failed.
        attempts: how often to try before giving up, at least 1.
        what_to_do: what a user without network does instead, as the second half of a sentence
            without a full stop: "download X by hand, put it at Y and run again".
        sleep: waits between attempts; tests give their own.

    Raises:
        InputError: the address cannot be reached or refuses; the file there has another size or
            checksum (the part is removed); `path` exists with another checksum (it is left as it
            is); the disk is full.
    """
    path = Path(path)
    _check_request(url, sha256=sha256, size=size, attempts=attempts)
    if path.exists() or path.is_symlink():
        _check_existing(path, sha256=sha256, size=size)
        logger.info("%s is there already and its checksum is right.", path)
        return
    part = path.with_name(path.name + ".part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        _fetch_part(
            url,
            part,
            size=size,
            timeout=timeout,
            attempts=attempts,
            what_to_do=what_to_do,
            sleep=sleep,
        )
        found = whole_files.sha256(part)
        if found != sha256:
            part.unlink()
            raise InputError(
                f"The file at {url} has the SHA-256 {found}, but {sha256} is expected; what was "
                "downloaded is removed: run again, and if the result is the same, the file at that "
                "address has changed or the configured checksum is wrong."
            )
        part.replace(path)
    except OSError as error:
        raise InputError(
            f"{part} cannot be written ({error.strerror or error}); make room or give another "
            "place and run again, the download continues where it stopped."
        ) from error
    logger.info("%s is downloaded and its checksum is right.", path)


def obtain(
    path: str | os.PathLike[str],
    *,
    url: str,
    sha256: str,
    bytes: int,
    folder: str | os.PathLike[str] | None,
    timeout: float = 30.0,
    attempts: int = 5,
) -> None:
    """Brings a verified file to `path`: from a user's folder if it is there, else by `fetch`.

    Args:
        path: the file to make; its name is also the one looked for in `folder`.
        url: an http or https address.
        sha256: the expected SHA-256, 64 hexadecimal digits.
        bytes: the expected size in bytes.
        folder: where a user without network puts the file by hand; None for the folder of `path`.
        timeout: seconds without an answer after which an attempt counts as failed.
        attempts: how often to try before giving up.

    Raises:
        InputError: as `fetch`; or the file in `folder` has another size or checksum.
    """
    path = Path(path)
    own = path if folder is None else Path(folder) / path.name
    if own != path and own.exists() and not path.exists():
        _check_request(url, sha256=sha256, size=bytes, attempts=attempts)
        _check_existing(own, sha256=sha256, size=bytes)
        with whole_files.replacing(path) as temporary:
            try:
                # No second copy on the disk where the file system can do without one.
                temporary.hardlink_to(own)
            except OSError:
                shutil.copyfile(own, temporary)
        logger.info("%s is taken from %s and its checksum is right.", path.name, own.parent)
        return
    fetch(
        url,
        path,
        sha256=sha256,
        size=bytes,
        timeout=timeout,
        attempts=attempts,
        what_to_do=f"download {url} by hand, put it at {own} and run again",
    )


def _check_request(url: str, *, sha256: str, size: int, attempts: int) -> None:
    problems = []
    address = urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        problems.append(f"`{url}` is not an address that starts with https:// or http://.")
    if not _SHA256.fullmatch(sha256):
        problems.append(
            f"The checksum `{sha256}` for {url} is not a SHA-256 of 64 lower-case hexadecimal "
            "digits."
        )
    if size < 1:
        problems.append(f"The size for {url} must be at least 1 byte, but is {size}.")
    if attempts < 1:
        problems.append(f"At least 1 attempt is needed to download {url}, but {attempts} is given.")
    if problems:
        raise InputError(problems)


def _check_existing(path: Path, *, sha256: str, size: int) -> None:
    if not path.is_file():
        raise InputError(f"{path} is not a file; move it away and run again.")
    actual = path.stat().st_size
    if actual != size:
        found = f"{actual} bytes, but {size} bytes are expected"
    else:
        digest = whole_files.sha256(path)
        if digest == sha256:
            return
        found = f"the SHA-256 {digest}, but {sha256} is expected"
    raise InputError(
        f"{path} has {found}; it is left as it is: move it away to download it again, or correct "
        "the configured size and checksum if this is the file you want."
    )


def _fetch_part(
    url: str,
    part: Path,
    *,
    size: int,
    timeout: float,
    attempts: int,
    what_to_do: str,
    sleep: Callable[[float], None],
) -> None:
    """Brings `part` to `size` bytes."""
    host = urlsplit(url).hostname
    with requests.Session() as session:
        for attempt in range(1, attempts + 1):
            try:
                _continue_part(session, url, part, size=size, timeout=timeout)
                return
            except _PassingFailure as failure:
                reason, wait = failure.reason, failure.wait
            except _Refused as refused:
                raise InputError(
                    f"{host} refused {url} ({refused}); check the address, or {what_to_do}."
                ) from refused
            if attempt < attempts:
                wait = min(max(wait, 2.0 ** (attempt - 1)), _LONGEST_WAIT)
                logger.warning(
                    "Attempt %d of %d failed (%s); the next one is in %.0f s.",
                    attempt,
                    attempts,
                    reason,
                    wait,
                )
                sleep(wait)
    raise InputError(f"{host} could not be reached ({reason}); {what_to_do}.")


class _Refused(Exception):
    """The server answered, and the answer will not change by asking again."""


def _continue_part(
    session: requests.Session, url: str, part: Path, *, size: int, timeout: float
) -> None:
    """One attempt: asks for what is missing and appends it."""
    start = part.stat().st_size if part.exists() else 0
    if start > size:
        logger.warning("%s is longer than the file can be; the download starts again.", part)
        part.unlink()
        start = 0
    if start == size:
        return
    free, missing = shutil.disk_usage(part.parent).free, size - start
    if free < missing:
        raise InputError(
            f"{part.parent} has {free / _MEGABYTE:.0f} MB free, but {missing / _MEGABYTE:.0f} MB "
            f"are needed for {part.name.removesuffix('.part')}; make room and run again."
        )
    # Without `identity` a server may compress, and neither ranges nor sizes mean anything.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with session.get(url, headers=headers, stream=True, timeout=timeout) as response:
            start = _accept(response, part, url=url, start=start, size=size)
            _append(response, part, url=url, start=start, size=size)
    except requests.Timeout as error:
        raise _PassingFailure(f"no answer within {timeout:g} s") from error
    except requests.RequestException as error:
        raise _PassingFailure(_innermost(error)) from error
    if part.stat().st_size < size:
        raise _PassingFailure("the connection was closed early")


def _accept(response: requests.Response, part: Path, *, url: str, start: int, size: int) -> int:
    """Returns the byte at which the body of a response starts, or raises."""
    status = response.status_code
    if status in _PASSING_STATUS:
        wait = response.headers.get("Retry-After", "")
        raise _PassingFailure(f"HTTP {status}", wait=float(wait) if wait.isdigit() else 0.0)
    if status == 416:
        part.unlink(missing_ok=True)
        raise _PassingFailure("the server cannot continue what was begun, HTTP 416")
    if status not in (200, 206):
        raise _Refused(f"HTTP {status}")
    offered: int | None = None
    if status == 206:
        match = re.fullmatch(
            r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip()
        )
        if match is None or int(match[1]) != start:
            part.unlink(missing_ok=True)
            raise _PassingFailure("the server sent another range than was asked for")
        offered = None if match[2] == "*" else int(match[2])
    else:
        if start:
            logger.warning("%s does not continue downloads; this one starts again.", url)
        start = 0
        if "Content-Encoding" not in response.headers:
            length = response.headers.get("Content-Length", "")
            offered = int(length) if length.isdigit() else None
    if offered is not None and offered != size:
        raise InputError(
            f"The file at {url} has {offered} bytes, but {size} are expected; the file at that "
            "address has changed, the network answers in its place (a log-in page does), or the "
            "configured size is wrong."
        )
    return start


def _append(response: requests.Response, part: Path, *, url: str, start: int, size: int) -> None:
    done = start
    progress = _Progress(part.name.removesuffix(".part"), start=start, size=size)
    with part.open("ab" if start else "wb") as stream:
        for chunk in response.iter_content(_CHUNK):
            done += len(chunk)
            if done > size:
                break
            stream.write(chunk)
            progress.report(done)
    if done > size:
        part.unlink()
        raise InputError(
            f"The file at {url} is longer than the expected {size} bytes; what was downloaded is "
            "removed: the file at that address has changed or the configured size is wrong."
        )


class _Progress:
    """Logs how far a download is, every few seconds."""

    def __init__(self, name: str, *, start: int, size: int) -> None:
        self.name, self.start, self.size = name, start, size
        self.began = self.last = time.monotonic()
        logger.info(
            "%s: %.1f MB to download%s.",
            name,
            (size - start) / _MEGABYTE,
            f", {start / _MEGABYTE:.1f} MB are there already" if start else "",
        )

    def report(self, done: int) -> None:
        now = time.monotonic()
        if now - self.last < _PROGRESS_SECONDS and done < self.size:
            return
        self.last = now
        rate = max(done - self.start, 1) / max(now - self.began, 1e-9)
        logger.info(
            "%s: %.1f of %.1f MB, %.1f MB/s, %.0f s left.",
            self.name,
            done / _MEGABYTE,
            self.size / _MEGABYTE,
            rate / _MEGABYTE,
            (self.size - done) / rate,
        )


def _innermost(error: BaseException) -> str:
    """The cause at the bottom of a chain of exceptions, as one short line."""
    seen: set[int] = set()
    current: BaseException = error
    while id(current) not in seen:
        seen.add(id(current))
        nested = [a for a in current.args if isinstance(a, BaseException)]
        reason = getattr(current, "reason", None)
        if isinstance(reason, BaseException):
            nested.append(reason)
        deeper = (nested[0] if nested else None) or current.__cause__ or current.__context__
        if deeper is None:
            break
        current = deeper
    text = getattr(current, "strerror", None) or str(current) or type(current).__name__
    line = text.strip().splitlines()[0].rstrip(".")
    return line if len(line) <= 200 else line[:197] + "..."


# ------------------------------------------------------------------------------------- archives


@dataclass(frozen=True)
class Unpacked:
    """What came out of an archive.

    Attributes:
        files: number of files written.
        bytes: their sizes added up.
        skipped: number of members left out because they belong to an operating system
            (`__MACOSX/`, `.DS_Store`).
    """

    files: int
    bytes: int
    skipped: int


def unpack(
    archive: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    max_bytes: int,
    max_files: int,
) -> Unpacked:
    """Unpacks a zip archive safely; `folder` is then whole, or as it was before.

    Refused, with every offending member listed: absolute names, `..`, drive letters, backslashes,
    control characters, links and devices, encrypted members, names that are equal after
    normalisation (Unicode NFC and case folding, so that the outcome is the same on every file
    system), and more files or bytes than the limits allow. Sizes are counted while writing, not
    only read from the archive.

    Args:
        archive: the zip file.
        folder: the folder to make; it must not hold files yet.
        max_bytes: the most bytes that all files together may have.
        max_files: the most members the archive may have.

    Returns:
        The numbers of files, bytes and skipped members.

    Raises:
        InputError: `folder` holds files; the archive is missing, damaged or refused.
    """
    archive = Path(archive)
    try:
        with zipfile.ZipFile(archive) as source:
            members, skipped = _members(
                source.infolist(), archive=archive, max_bytes=max_bytes, max_files=max_files
            )
            with folders.building(folder) as temporary:
                written = _extract(source, members, temporary, archive, max_bytes=max_bytes)
    except InputError:
        raise
    except _DAMAGED as error:
        raise InputError(
            f"{archive} is damaged or not a zip archive that can be read ({error}); nothing was "
            "unpacked: replace it by the original and run again."
        ) from error
    except OSError as error:
        raise InputError(
            f"{archive} could not be unpacked into {folder} ({error.strerror or error})."
        ) from error
    if skipped:
        logger.info(
            "%s: %d members that belong to an operating system were left out.", archive, skipped
        )
    logger.info("%s: %d files, %.1f MB.", archive, len(members), written / _MEGABYTE)
    return Unpacked(files=len(members), bytes=written, skipped=skipped)


def _members(
    infos: Sequence[zipfile.ZipInfo], *, archive: Path, max_bytes: int, max_files: int
) -> tuple[list[tuple[zipfile.ZipInfo, tuple[str, ...]]], int]:
    """Returns the files to write, each with the parts of its path, and the number left out."""
    if len(infos) > max_files:
        raise InputError(
            f"{archive} has {len(infos)} members, more than the {max_files} that are allowed; "
            "nothing was unpacked."
        )
    declared = sum(info.file_size for info in infos)
    if declared > max_bytes:
        raise InputError(_too_large(archive, declared, max_bytes))
    problems: list[str] = []
    members: list[tuple[zipfile.ZipInfo, tuple[str, ...]]] = []
    # Normalised path -> how the archive spells it, for files and for the folders above them.
    taken: dict[tuple[str, ...], tuple[str, ...]] = {}
    above: dict[tuple[str, ...], tuple[str, ...]] = {}
    skipped = 0
    for info in infos:
        reason = _refusal(info)
        if reason:
            problems.append(f"{archive}: the member {info.filename!r} {reason}.")
            continue
        parts = tuple(p for p in info.filename.split("/") if p not in ("", "."))
        if "__MACOSX" in parts or (parts and parts[-1] == ".DS_Store"):
            skipped += 1
            continue
        if info.is_dir() or not parts:
            continue
        key = tuple(unicodedata.normalize("NFC", p).casefold() for p in parts)
        steps = {key[:n]: parts[:n] for n in range(1, len(key))}
        rival = taken.get(key) or above.get(key)
        for step, spelling in steps.items():
            if step in taken or above.get(step, spelling) != spelling:
                rival = rival or taken.get(step) or above[step]
        if rival:
            problems.append(
                f"{archive}: the members {'/'.join(rival)!r} and {info.filename!r} would take the "
                "same place."
            )
            continue
        taken[key] = parts
        above.update(steps)
        members.append((info, parts))
    if problems:
        raise InputError(problems)
    return members, skipped


def _refusal(info: zipfile.ZipInfo) -> str:
    """Why a member is refused, or the empty string."""
    # `orig_filename`: what zipfile cuts off at a NUL is still there.
    name = info.orig_filename
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.flag_bits & 0x41:
        return "is encrypted"
    if kind == stat.S_IFLNK:
        return "is a symbolic link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is not a plain file"
    if any(unicodedata.category(c) == "Cc" for c in name):
        return "has a control character in its name"
    if "\\" in name:
        return "has a backslash in its name"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "has an absolute path"
    if ".." in name.split("/"):
        return "leads out of the folder with '..'"
    return ""


def _extract(
    source: zipfile.ZipFile,
    members: Iterable[tuple[zipfile.ZipInfo, tuple[str, ...]]],
    folder: Path,
    archive: Path,
    *,
    max_bytes: int,
) -> int:
    written = 0
    for info, parts in members:
        target = folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        # "x": refuses to write through anything that is there already.
        with source.open(info) as compressed, target.open("xb") as stream:
            written = _copy(compressed, stream, written, archive, max_bytes=max_bytes)
    return written


def _copy(
    compressed: BinaryIO, stream: BinaryIO, written: int, archive: Path, *, max_bytes: int
) -> int:
    while chunk := compressed.read(_CHUNK):
        written += len(chunk)
        if written > max_bytes:
            raise InputError(_too_large(archive, written, max_bytes))
        stream.write(chunk)
    return written


def _too_large(archive: Path, found: int, allowed: int) -> str:
    return (
        f"{archive} unpacks to at least {found} bytes, more than the {allowed} that are allowed; "
        "nothing was unpacked."
    )


# --------------------------------------------------------------------------------------- models


def fetch_model(
    repository: str,
    revision: str,
    folder: str | os.PathLike[str],
    *,
    files: Sequence[str],
    endpoint: str | None = None,
    sha256: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Downloads the files of a model that an encoder needs from the Hugging Face Hub.

    Every pattern in `files` must match at least one file of the repository, except that of the
    patterns for weights (ending in `.safetensors` or `.bin`) one is enough; where the repository
    has both, the safetensors are taken and the `.bin` files are left there. Each file is compared
    with the hash under which the repository holds it at that revision (SHA-256 for large files,
    Git's own hash for small ones), and with `sha256` where it names the file.

    Files arrive in `<folder>.<revision>.part`, which the next run continues, and `folder` appears
    when all are verified, with a file `source.json` that says where they came from. If `folder`
    holds the model already, nothing is downloaded and no network is needed. An earlier download of
    another revision is replaced, if nobody has changed it; files put there by hand must match
    `files` and `sha256`, and are otherwise taken as they are. No token is sent.

    Args:
        repository: "owner/name".
        revision: the full commit hash, 40 hexadecimal digits; a branch may change and is refused.
        folder: the folder to make.
        files: names or patterns (`fnmatch`) within the repository.
        endpoint: another address of the Hub, for a mirror.
        sha256: expected SHA-256 by file name.

    Returns:
        The SHA-256 of every file by name, sorted by name.

    Raises:
        InputError: the revision is not a commit hash; the Hub cannot be reached; repository,
            revision or file do not exist; a checksum is wrong; `folder` holds something else.
    """
    folder = Path(folder)
    expected = dict(sha256 or {})
    _check_model_request(repository, revision, files=files, sha256=expected)
    if folders.holds_files(folder):
        digests = _existing_model(repository, revision, folder, files=files, sha256=expected)
        if digests:
            return digests
    part = folder.with_name(f"{folder.name}.{revision}.part")
    api = huggingface_hub.HfApi(endpoint=endpoint, token=False)
    try:
        listing = {
            entry.path: entry
            for entry in api.list_repo_tree(repository, revision=revision, recursive=True)
            if isinstance(entry, huggingface_hub.RepoFile)
        }
        names, problems = _choose(listing, files)
        problems += [
            f"{name} has a checksum but is not among the files to download ({', '.join(names)})"
            for name in sorted(set(expected) - set(names))
        ]
        if problems:
            raise InputError([f"{repository} at revision {revision}: {p}." for p in problems])
        logger.info(
            "%s: %s, %.1f MB.",
            repository,
            ", ".join(names),
            sum(listing[name].size for name in names) / _MEGABYTE,
        )
        huggingface_hub.snapshot_download(
            repository,
            revision=revision,
            local_dir=part,
            # A user's own cache stays untouched, and a damaged file in it cannot come back.
            cache_dir=part / ".cache" / "hub",
            allow_patterns=[glob.escape(name) for name in names],
            endpoint=endpoint,
            token=False,
        )
    except GatedRepoError as error:
        raise InputError(
            f"{repository} asks its users to log in, which this workflow does not do; download "
            f"{_listed(files)} by hand, put them in {folder} and run again."
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        what = "revision" if isinstance(error, RevisionNotFoundError) else "repository"
        raise InputError(
            f"The Hub has no {what} {revision if what == 'revision' else repository} "
            f"({repository} at revision {revision} was asked for); correct the model's {what}."
        ) from error
    except HFValidationError as error:
        raise InputError(f"`{repository}` is not the name of a repository: {error}.") from error
    except (
        HTTPError,
        OfflineModeIsEnabled,
        LocalEntryNotFoundError,
        FileMetadataError,
        XetDownloadError,
        ConnectionError,
        TimeoutError,
    ) as error:
        reason = _innermost(error)
        if isinstance(error, HfHubHTTPError):
            reason = f"HTTP {error.response.status_code}"
        elif isinstance(error, OfflineModeIsEnabled):
            reason = "the variable HF_HUB_OFFLINE is set"
        raise InputError(
            f"The Hugging Face Hub could not be reached ({reason}); put {_listed(files)} of "
            f"{repository} at revision {revision} in {folder} and run again, or set the model's "
            "`source: folder`."
        ) from error
    except OSError as error:
        raise InputError(
            f"{repository} could not be downloaded to {part} ({error.strerror or error})."
        ) from error
    digests = _verify_model(part, {name: listing[name] for name in names}, expected)
    record = {"repository": repository, "revision": revision, "files": digests}
    _settle(part, folder, record)
    logger.info("%s: %d files are downloaded and verified.", folder, len(digests))
    return digests


def _check_model_request(
    repository: str, revision: str, *, files: Sequence[str], sha256: Mapping[str, str]
) -> None:
    problems = []
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository, flags=re.ASCII):
        problems.append(f"`{repository}` is not the name of a repository; give it as owner/name.")
    if not _REVISION.fullmatch(revision):
        problems.append(
            f"`{revision}` is not a commit of {repository}; give the full hash of 40 lower-case "
            "hexadecimal digits, because a branch or a tag may change."
        )
    if not files:
        problems.append(f"No files are named to download from {repository}.")
    problems += [
        f"The checksum `{value}` for {name} of {repository} is not a SHA-256 of 64 lower-case "
        "hexadecimal digits."
        for name, value in sha256.items()
        if not _SHA256.fullmatch(value)
    ]
    if problems:
        raise InputError(problems)


def _is_weights(name: str) -> bool:
    return name.endswith((".safetensors", ".bin"))


def _choose(available: Iterable[str], patterns: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the names to take, sorted, and what is missing."""
    available = list(available)
    found = {p: [n for n in available if fnmatch.fnmatchcase(n, p)] for p in patterns}
    missing = [f"there is no {p}" for p in patterns if not found[p] and not _is_weights(p)]
    weights = [p for p in patterns if _is_weights(p)]
    if weights and not any(found[p] for p in weights):
        missing.append(f"there is no {' and no '.join(weights)}")
    chosen = {name for names in found.values() for name in names}
    if any(name.endswith(".safetensors") for name in chosen):
        chosen = {name for name in chosen if not name.endswith(".bin")}
    return sorted(chosen), missing


def _listed(patterns: Sequence[str]) -> str:
    """The files a user has to bring, in words."""
    plain = [p for p in patterns if not _is_weights(p)]
    weights = [p for p in patterns if _is_weights(p)]
    words = [*plain, *([" or ".join(weights)] if weights else [])]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _existing_model(
    repository: str,
    revision: str,
    folder: Path,
    *,
    files: Sequence[str],
    sha256: Mapping[str, str],
) -> dict[str, str]:
    """Returns the SHA-256 of the files if `folder` is the model, or {} if it may be replaced."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; move it away and run again.")
    # Hidden files are the operating system's or the hub's tools' own.
    present = {
        p.relative_to(folder).as_posix(): p
        for p in sorted(folder.rglob("*"))
        if p.is_file()
        and p != folder / _RECORD
        and not any(part.startswith(".") for part in p.relative_to(folder).parts)
    }
    names, problems = _choose(present, files)
    if (folder / _RECORD).is_file():
        source, recorded = _read_record(folder / _RECORD)
        changed = [
            f"{name} was removed, added or changed since it was downloaded"
            for name in sorted(recorded.keys() | present.keys())
            if name not in present or whole_files.sha256(present[name]) != recorded.get(name)
        ]
        if changed:
            problems = changed
        elif problems or source != (repository, revision):
            logger.info("%s holds %s at revision %s; it will be replaced.", folder, *source)
            return {}
    digests = {name: whole_files.sha256(present[name]) for name in names}
    problems += [f"there is no {name}" for name in sorted(set(sha256) - set(names))]
    problems += _wrong_digests(digests, sha256).values()
    if problems:
        raise InputError(
            [
                f"{folder} is not {repository} at revision {revision}: {problem}; correct or "
                "remove the folder and run again."
                for problem in problems
            ]
        )
    if not (folder / _RECORD).is_file():
        logger.warning(
            "%s holds files that were put there by hand; they are taken as %s at revision %s.",
            folder,
            repository,
            revision,
        )
    return digests


def _read_record(path: Path) -> tuple[tuple[str, str], dict[str, str]]:
    """Returns (repository, revision) and the SHA-256 by name that a download left."""
    try:
        record = whole_files.read_json(path)
        return (record["repository"], record["revision"]), dict(record["files"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read ({error}); remove {path.parent} and run again."
        ) from error


def _wrong_digests(found: Mapping[str, str], expected: Mapping[str, str]) -> dict[str, str]:
    """Returns a sentence for every file whose SHA-256 is not the expected one."""
    return {
        name: f"{name} has the SHA-256 {found[name]}, but {value} is expected"
        for name, value in sorted(expected.items())
        if name in found and found[name] != value
    }


def _verify_model(
    part: Path, entries: Mapping[str, huggingface_hub.RepoFile], sha256: Mapping[str, str]
) -> dict[str, str]:
    """Returns the files' SHA-256; a file with a wrong hash is removed and reported."""
    digests, wrong = {}, {}
    for name, entry in entries.items():
        path = part / name
        digests[name] = whole_files.sha256(path)
        if entry.lfs is not None:
            agrees = digests[name] == entry.lfs.sha256
        else:
            agrees = _git_hash(path) == entry.blob_id
        if not agrees:
            wrong[name] = f"{name} is not what the repository holds at that revision"
    wrong = _wrong_digests(digests, sha256) | wrong
    for name in wrong:
        (part / name).unlink()
    if wrong:
        raise InputError(
            [f"{sentence}; the file is removed: run again." for sentence in wrong.values()]
        )
    return digests


def _git_hash(path: Path) -> str:
    """The SHA-1 by which Git names a file's content."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _settle(part: Path, folder: Path, record: Mapping[str, object]) -> None:
    """Moves the verified files to their folder, in place of an earlier download."""
    if (folder / _RECORD).is_file():
        shutil.rmtree(folder)
    with folders.building(folder) as temporary:
        # First, so that nothing is left to fail once the files are moved.
        whole_files.write_json(record, temporary / _RECORD)
        for name in record["files"]:
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (part / name).replace(target)
    shutil.rmtree(part)
