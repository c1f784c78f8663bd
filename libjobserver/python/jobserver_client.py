# SPDX-License-Identifier: GPL-2.0-or-later
"""What libjobserver's auth, client, control and implicit are in C: a client of any jobserver.

A jobserver is named as GNU make does it ("POSIX Jobserver Interaction" in its manual), and is a
FIFO or pipe, steved's file, or another server's. Beside a jobwrap's FIFO lies its control socket,
which is used in its place. Tokens are counted, their bytes mean nothing; the byte that was read is
written back. Nothing here waits for a token, but release() does for room in a FIFO that somebody
has filled, and what is asked of a jobwrap for its answer.
Errors are JobserverError, whose text names the operation, the thing and the reason.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import fcntl
import functools
import os
import re
import select
import socket
import stat
import struct
import termios
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Callable, NamedTuple


class JobserverError(Exception):
    """A line for the user."""


# --- how a jobserver is named ---

BLANKS = " \t"
WHITESPACE = " \t\n\v\f\r"
FIFO_PREFIX = "fifo:"
QUOTED_MAX = 80
INT_MIN, INT_MAX = -(2**31), 2**31 - 1


@dataclass(frozen=True)
class Named:
    """A jobserver that something names. `path` is None for inherited descriptors."""

    path: str | None
    read_fd: int = -1
    write_fd: int = -1
    from_environment: bool = False

    def __str__(self) -> str:
        if self.path is None:
            return f"{self.read_fd},{self.write_fd}"
        return FIFO_PREFIX + self.path

    @property
    def is_withheld(self) -> bool:
        """A negative number: make keeps its jobserver from this command."""
        return self.path is None and (self.read_fd < 0 or self.write_fd < 0)


class _Word(NamedTuple):
    text: str
    places: list[int]  # where in the value each character begins, and at last where the word ends


# The next character of a value as make quotes it. "$$" is expanded before the rest is unquoted, so
# that "\$$" is one. A lone $ stays: make writes one where it should write two (4.3, 4.4.1).
_CHARACTER = re.compile(r"(?:\\(?=.))?(?:\$(\$)|(.))", re.DOTALL)


def _split_words(flags: str) -> list[_Word]:
    words: list[_Word] = []
    text, places = "", [0]
    at = len(flags) - len(flags.lstrip(WHITESPACE))
    while at < len(flags):
        match = _CHARACTER.match(flags, at)
        assert match is not None
        if flags[at] in BLANKS:
            if text:
                words.append(_Word(text, [*places, at]))
            text, places = "", []
        else:
            places = [*places, at] if text else [at]
            text += match.group(1) or match.group(2)
        at = at + 1 if flags[at] in BLANKS else match.end()
    if text:
        words.append(_Word(text, [*places, at]))
    return words


# Of make 4.4.1, which has all of 4.3's: for their arguments, and because a name may be cut short
# as long as no other begins with the same letters.
_REQUIRED = (
    "assume-new assume-old directory eval file include-dir jobserver-auth jobserver-fds"
    " jobserver-style makefile new-file old-file sync-mutex temp-stdin what-if"
).split()
_OPTIONAL = "debug load-average max-load output-sync shuffle".split()
_NUMBER = ["jobs"]
_NONE = (
    "always-make check-symlink-times dry-run environment-overrides help ignore-errors just-print"
    " keep-going no-builtin-rules no-builtin-variables no-keep-going no-print-directory no-silent"
    " print-data-base print-directory question quiet recon silent stop touch trace"
    " version warn-undefined-variables"
).split()
_LONG = {
    **dict.fromkeys(_REQUIRED, "required"),
    **dict.fromkeys(_OPTIONAL, "optional"),
    **dict.fromkeys(_NUMBER, "number"),
    **dict.fromkeys(_NONE, "none"),
}
_LETTERS = {
    **dict.fromkeys("JCEIWfo", "required"),  # J is bmake's; make has none
    **dict.fromkeys("Ol", "optional"),
    "j": "number",
}
_LETTER_NAMES = {"j": "jobs", "J": "jobserver-auth"}


class _Option(NamedTuple):
    name: str
    value: str | None
    begin: int  # in the value of MAKEFLAGS
    end: int


class _Scan:
    """Hands the words to the options as getopt_long() does it in make."""

    def __init__(self, flags: str) -> None:
        self.words = _split_words(flags)
        self.at = 0

    def argument(self, kind: str) -> _Word | None:
        """Not attached: the next word, or there is none."""
        if self.at >= len(self.words) or kind in ("none", "optional"):
            return None
        word = self.words[self.at]
        if kind == "number" and not re.fullmatch("[0-9]+", word.text):
            return None
        self.at += 1
        return word

    def options(self) -> Iterator[_Option]:
        while self.at < len(self.words):
            word = self.words[self.at]
            self.at += 1
            if word.text == "--":
                return
            # As in make, a first word with neither a dash before it nor a '=' in it is a group.
            implied = self.at == 1 and word.text[0] != "-" and "=" not in word.text
            if word.text.startswith("--"):
                yield from self.long_option(word)
            elif implied or (word.text[0] == "-" and word.text != "-"):
                yield from self.letters(word, 0 if implied else 1)

    def long_option(self, word: _Word) -> Iterator[_Option]:
        given, equals, attached = word.text[2:].partition("=")
        known = [given] if given in _LONG else [n for n in _LONG if n.startswith(given)]
        if len(known) != 1:
            return
        kind = _LONG[known[0]]
        if equals and kind == "none":
            return  # getopt refuses it
        name = "jobserver-auth" if known[0] == "jobserver-fds" else known[0]
        if equals:
            yield _Option(name, attached, word.places[0], word.places[-1])
            return
        argument = self.argument(kind)
        end = (argument or word).places[-1]
        yield _Option(name, argument.text if argument else None, word.places[0], end)

    def letters(self, word: _Word, first: int) -> Iterator[_Option]:
        for i in range(first, len(word.text)):
            letter, rest = word.text[i], word.text[i + 1 :]
            kind = _LETTERS.get(letter, "none")
            name = _LETTER_NAMES.get(letter, letter)
            begin = word.places[0 if i == first else i]
            if kind != "none" and rest:
                yield _Option(name, rest, begin, word.places[-1])
                return
            argument = self.argument(kind) if not rest else None
            value = argument.text if argument else None
            yield _Option(name, value, begin, (argument or word).places[-1])


# Control characters, separators, and what changes the direction of text; bytes that are no UTF-8.
_HIDDEN = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# A character that lacks its end.
_CUT_OFF = re.compile(rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z")


def _printable(raw: bytes) -> str:
    """UTF-8 as it is, and a '?' for each byte of what is not shown: as program/printable.h."""

    def hide(hit: re.Match[str]) -> str:
        return "?" * len(hit.group().encode("utf-8", "surrogateescape"))

    return _HIDDEN.sub(hide, raw.decode("utf-8", "surrogateescape"))


def _describe_bad(flags: str, option: _Option) -> str:
    raw = os.fsencode(flags[option.begin : option.end])
    if len(raw) >= QUOTED_MAX:
        raw = _CUT_OFF.sub(b"", raw[:QUOTED_MAX])
    return f"{_printable(raw)}: not R,W and not fifo:PATH"


# As make's sscanf("%d,%d"): white space before a number and all after the second is passed over.
_NUMBERS = re.compile(r"\s*([+-]?[0-9]+),\s*([+-]?[0-9]+)", re.ASCII)


def _parse_value(value: str | None) -> Named | None:
    if value is None:
        return None
    if value.startswith(FIFO_PREFIX):
        path = value[len(FIFO_PREFIX) :]
        return Named(path, from_environment=True) if path else None
    match = _NUMBERS.match(value)
    if match is None:
        return None
    read_fd, write_fd = int(match.group(1)), int(match.group(2))
    if not all(INT_MIN <= fd <= INT_MAX for fd in (read_fd, write_fd)):
        return None
    return Named(None, read_fd, write_fd, from_environment=True)


def parse_makeflags(flags: str) -> Named | None:
    """What a value of MAKEFLAGS names; of several the last, as in make. None: none."""
    last: _Option | None = None
    for option in _Scan(flags).options():
        if option.name == "jobserver-auth":
            last = option
    if last is None:
        return None
    named = _parse_value(last.value)
    if named is None:
        raise JobserverError(_describe_bad(flags, last))
    return named


def jobs_in_makeflags(flags: str) -> int:
    """The N of the -jN that counts, which is the last one. 0: there is none, or no number."""
    jobs = 0
    for option in _Scan(flags).options():
        if option.name in ("j", "jobs"):
            value = option.value or ""
            jobs = int(value) if re.fullmatch("[0-9]+", value, re.ASCII) else 0
    return jobs if jobs < 2**32 else 0


def parse_named(text: str) -> Named:
    """What a user names a jobserver by: "fifo:PATH", "R,W" or a path."""
    match = re.fullmatch(r"([0-9]+),([0-9]+)", text, re.ASCII)
    if match is not None:
        return Named(None, int(match.group(1)), int(match.group(2)))
    return Named(text[len(FIFO_PREFIX) :] if text.startswith(FIFO_PREFIX) else text)


def _quote(text: str) -> str:
    return re.sub(r"[ \t\\]", r"\\\g<0>", text).replace("$", "$$")


def format_auth(named: Named) -> str:
    """The option of MAKEFLAGS that names it, quoted as make does."""
    return "--jobserver-auth=" + (str(named) if named.path is None else _quote(str(named)))


def _find_in_makeflags(variable: str, flags: str, wrapper_fifo: str) -> Named | None:
    """make 4.3 shows a recipe without '+' numbers that it has closed. The FIFO of a jobwrap around
    us is still there, and our slot with it."""
    try:
        named = parse_makeflags(flags)
        if named is None:
            return None
        if named.is_withheld:
            raise JobserverError(
                f"make did not pass on the jobserver in {variable} (it does for recipes with a '+')"
            )
        if named.path is None:
            _check_inherited(named)
        return named
    except JobserverError:
        if not wrapper_fifo:
            raise
    return None


def find(environ: Mapping[str, str], explicit: str | None = None) -> Named | None:
    """The jobserver that `explicit` names ("fifo:PATH", "R,W" or a path), else MAKEFLAGS, else
    CARGO_MAKEFLAGS; JOBWRAP_FIFO where these name descriptors that are not for us, or nothing.
    JobserverError: one is named that is not for us."""
    if explicit:
        return parse_named(explicit)
    wrapper_fifo = environ.get("JOBWRAP_FIFO", "")
    for variable in ("MAKEFLAGS", "CARGO_MAKEFLAGS"):
        named = _find_in_makeflags(variable, environ.get(variable, ""), wrapper_fifo)
        if named is not None:
            return named
    return Named(wrapper_fifo, from_environment=True) if wrapper_fifo else None


# --- what is there ---


class Kind(enum.Enum):
    """As enum client_kind."""

    FIFO = "fifo"  # bytes in a FIFO or pipe; nobody keeps account
    SERVER = "server"  # keeps accounts: steved's file (protocol.h), or a jobwrap's FIFO (control.h)
    DEVICE = "device"  # some other server's file: read, write and poll only


FIFO, SERVER, DEVICE = Kind.FIFO, Kind.SERVER, Kind.DEVICE

PROTOCOL_VERSION = 1
_STATUS = struct.Struct("=IiIIIIIIIIII6QI40xI16x")
STATUS_IS_PAUSED = 1
_CLAIM = struct.Struct("=Ii24x")
_IOC_READ = 2 << 30


def _ioc(direction: int, number: int, size: int) -> int:
    return direction | (size << 16) | (ord("J") << 8) | number


IOC_STATUS = _ioc(_IOC_READ, 0x50, _STATUS.size)
IOC_JOIN_GROUP = _ioc(0, 0x53, 0)
IOC_PAY_IMPLICIT = _ioc(0, 0x54, 0)
IOC_CLAIM_IMPLICIT = _ioc(_IOC_READ, 0x55, _CLAIM.size)


class Status(NamedTuple):
    """struct steved_status of protocol.h."""

    version: int
    pid: int
    jobs: int
    free: int
    held: int
    reserved: int
    debt: int
    waiting: int
    unpaid: int
    min_jobs: int
    per_process_limit: int
    accounts: int
    granted: int
    returned: int
    foreign: int
    dropped: int
    reclaimed: int
    lapsed: int
    recalled: int
    flags: int  # STATUS_*


def _ioctl(fd: int, request: int, size: int) -> bytes:
    while True:
        try:
            if size == 0:
                fcntl.ioctl(fd, request)
                return b""
            return fcntl.ioctl(fd, request, bytes(size))
        except InterruptedError:
            continue


def _ask_status(fd: int) -> Status | None:
    try:
        status = Status(*_STATUS.unpack(_ioctl(fd, IOC_STATUS, _STATUS.size)))
    except OSError:
        return None
    return status if status.version != 0 else None


_MEM_MAJOR = 1  # /dev/null, /dev/zero, /dev/full, /dev/random: see devices.txt of Linux


def _identify(fd: int, name: str) -> Kind:
    """A number from MAKEFLAGS may have become anything by now; a terminal's keys and /dev/zero's
    zeros are no tokens."""
    status = os.fstat(fd)
    mode = status.st_mode
    if stat.S_ISFIFO(mode):
        return FIFO
    if stat.S_ISDIR(mode):
        raise _refuse(name, "a directory, not a jobserver")
    if not stat.S_ISCHR(mode) and not stat.S_ISREG(mode):
        raise _refuse(name, "neither a FIFO nor a device, not a jobserver")
    if stat.S_ISCHR(mode) and (os.major(status.st_rdev) == _MEM_MAJOR or os.isatty(fd)):
        raise _refuse(name, "a terminal or memory device, not a jobserver")
    answer = _ask_status(fd)
    if stat.S_ISREG(mode) and answer is None:
        raise _refuse(name, "a regular file, not a jobserver")
    return SERVER if answer is not None and answer.version == PROTOCOL_VERSION else DEVICE


def _refuse(name: str, reason: str) -> JobserverError:
    return JobserverError(f"open {name}: {reason}")


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno is not None else str(error)


def _check_inherited(named: Named) -> Kind:
    """Are the two the ends of one jobserver?"""
    name = str(named)
    ends = (named.read_fd, named.write_fd)
    try:
        read_flags, write_flags = (fcntl.fcntl(fd, fcntl.F_GETFL) for fd in ends)
    except OSError as error:
        raise _refuse(name, "not open here (a recipe without '+' does not get them)") from error
    read_mode, write_mode = read_flags & os.O_ACCMODE, write_flags & os.O_ACCMODE
    is_path = (read_flags | write_flags) & os.O_PATH
    if is_path or read_mode == os.O_WRONLY or write_mode == os.O_RDONLY:
        raise _refuse(name, "not a readable and a writable end")
    if not os.path.samestat(*(os.fstat(fd) for fd in ends)):
        raise _refuse(name, "not two ends of one FIFO or pipe")
    return _identify(named.read_fd, name)


# --- the control socket of a jobwrap ---


class Operation(enum.IntEnum):
    """enum control_operation."""

    HELLO = 0
    ACQUIRE = 2
    RETURN = 3
    STATUS = 4
    PAY_IMPLICIT = 7
    CLAIM_IMPLICIT = 8


CONTROL_NAME = "control"  # in the directory of the FIFO
CONTROL_VERSION = 1
CONTROL_HEADER = struct.Struct("=Ii")  # operation, result
_HELLO = struct.Struct("=I4xQQ")  # version; device and inode of the FIFO
_CREDENTIALS = struct.Struct("=iII")  # pid, uid, gid
_ANSWER_MAX = 4096

_ANSWER_SIZES = {
    Operation.HELLO: _HELLO.size,
    Operation.STATUS: _STATUS.size,
    Operation.CLAIM_IMPLICIT: _CLAIM.size,
}


def open_directory(fifo_path: str) -> int:
    """In which the socket is, beside the FIFO."""
    if not fifo_path.startswith("/"):  # "pipe:[...]"
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return os.open(os.path.dirname(fifo_path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def connect_in(directory_fd: int) -> socket.socket:
    """To the socket there, whose path may be longer than an address has room for."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.settimeout(_PATIENCE_S)
        connection.connect(f"/proc/self/fd/{directory_fd}/{CONTROL_NAME}")
    except BaseException:
        connection.close()
        raise
    return connection


# Root asks anybody's server, but does not wait for one that will not answer.
_PATIENCE_S = 2.0


def _is_trusted(connection: socket.socket) -> bool:
    """Root's server, or our own, which is waited for; or anybody's if we are root."""
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    if _CREDENTIALS.unpack(peer)[1] in (0, os.geteuid()):
        connection.settimeout(None)
        return True
    return os.geteuid() == 0


class _Answer(NamedTuple):
    operation: int
    result: int
    argument: bytes


def _read_answer(packet: bytes) -> _Answer:
    if not packet:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
    if len(packet) < CONTROL_HEADER.size:
        raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
    operation, result = CONTROL_HEADER.unpack_from(packet)
    return _Answer(operation, result, packet[CONTROL_HEADER.size :])


_A_TOKEN = CONTROL_HEADER.pack(Operation.ACQUIRE, 1)


class _Connection:
    """One of this process, to the jobwrap that serves the FIFO in this directory. Errors are
    OSError."""

    def __init__(self, directory_fd: int, fifo: os.stat_result) -> None:
        self.pid = os.getpid()
        self.ready_fd = -1  # a pipe: readable when a token or a claim may be there
        self._lock = threading.Lock()
        self._packet = bytearray(_ANSWER_MAX)  # the last, which is there whatever a signal does
        self._socket = connect_in(directory_fd)
        try:
            self._greet(fifo)
        except BaseException:
            self.close()
            raise

    def _greet(self, fifo: os.stat_result) -> None:
        if not _is_trusted(self._socket):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        self._send_hello()
        packet, fds, _, _ = socket.recv_fds(
            self._socket, _ANSWER_MAX, 1, socket.MSG_CMSG_CLOEXEC
        )
        self.ready_fd = fds[0] if fds else -1
        answer = _read_answer(packet)
        expected = _HELLO.pack(CONTROL_VERSION, fifo.st_dev, fifo.st_ino)
        if self.ready_fd < 0 or answer.result < 0 or answer.argument != expected:
            raise OSError(errno.EPROTO, os.strerror(errno.EPROTO))

    def let_children_inherit(self) -> None:
        self._socket.set_inheritable(True)

    def close(self) -> None:
        """Who closes it by itself has returned what it held: children that run on hold nothing."""
        if self.pid == os.getpid():
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self.ready_fd >= 0:
            os.close(self.ready_fd)
        self.ready_fd = -1

    def _send(self, operation: Operation, argument: bytes = b"") -> None:
        packet = CONTROL_HEADER.pack(operation, 0) + argument
        self._socket.send(packet, socket.MSG_NOSIGNAL)

    def _send_hello(self) -> None:
        self._send(Operation.HELLO, _HELLO.pack(CONTROL_VERSION, 0, 0))

    def _receive(self) -> _Answer:
        size = self._socket.recv_into(self._packet)
        return _read_answer(bytes(self._packet[:size]))

    def _return_token_in_packet(self) -> None:
        if self._packet.startswith(_A_TOKEN):
            self._send(Operation.RETURN)

    def _catch_up(self) -> None:
        """What a signal's handler raised has left open whether the answer has been read, or is
        still to come; a token in it would be nobody's. A second greeting is refused, and that is
        the last answer."""
        self._return_token_in_packet()
        self._send_hello()
        while self._receive().operation != Operation.HELLO:
            self._return_token_in_packet()

    def ask(self, operation: Operation) -> _Answer:
        """Its result is never negative."""
        with self._lock:
            self._packet[: CONTROL_HEADER.size] = bytes(CONTROL_HEADER.size)
            try:
                self._send(operation)
                answer = self._receive()
            except socket.timeout:
                # An answer that came later would be taken for that to the next question.
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
                raise
            except OSError:
                raise
            except BaseException:
                with contextlib.suppress(OSError):
                    self._catch_up()
                raise
        size = _ANSWER_SIZES.get(operation, 0)
        if answer.operation != operation or len(answer.argument) != size:
            raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
        if answer.result < 0:
            raise OSError(-answer.result, os.strerror(-answer.result))
        return answer

    def tell(self, operation: Operation) -> None:
        """What is not answered."""
        with self._lock:
            self._send(operation)


class Control:
    """The account of this process at the jobwrap whose FIFO it is. Whoever has a connection open
    holds the account: when its last copy is closed, what was held and claimed through it ends. So a
    child that was forked, and runs a job of ours, keeps its copy, and has a connection of its own
    for what it does itself. The FIFO need not stay open for that: who has it open is taken for
    somebody who has tokens of it. Errors are OSError."""

    def __init__(self, fifo_fd: int) -> None:
        self._fifo = os.fstat(fifo_fd)
        self._directory_fd = open_directory(os.readlink(f"/proc/self/fd/{fifo_fd}"))
        self._connections: list[_Connection] = []  # the last is of this process
        try:
            self._own()
        except BaseException:
            self.close()
            raise

    def let_children_inherit(self) -> None:
        self._own().let_children_inherit()

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        os.close(self._directory_fd)

    def _own(self) -> _Connection:
        if not self._connections or self._connections[-1].pid != os.getpid():
            self._connections.append(_Connection(self._directory_fd, self._fifo))
        return self._connections[-1]

    def fileno(self) -> int:
        return self._own().ready_fd

    def forget_notices(self) -> None:
        """What was told is old: the next answer is the truth, and what comes after it is told."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.fileno(), 64):
                pass

    def ask(self, operation: Operation) -> _Answer:
        return self._own().ask(operation)

    def acquire(self) -> bool:
        """False: a place in the queue is kept, and it is told when to ask again."""
        self.forget_notices()
        return self.ask(Operation.ACQUIRE).result == 1

    def give_back(self) -> None:
        self._own().tell(Operation.RETURN)


def _find_control(fifo_fd: int) -> Control | None:
    """None: where it cannot be reached (it is gone, another mount namespace), the FIFO is one like
    others."""
    try:
        return Control(fifo_fd)
    except OSError:
        return None


# --- moving tokens between pipes ---

_SPLICE_F_NONBLOCK = 2
_F_SETPIPE_SZ, _F_GETPIPE_SZ = 1031, 1032  # fcntl has them since Python 3.10


def _kernel_version() -> tuple[int, ...]:
    match = re.match(r"([0-9]+)\.([0-9]+)", os.uname().release)
    return tuple(map(int, match.groups())) if match else ()


_SPLICE_IS_SILENT = _kernel_version() < (6, 6)


def _is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return any(events & select.POLLIN for _, events in poll.poll(0))


@functools.cache
def _libc_splice() -> Callable[[int, int], int]:
    """os.splice() came with Python 3.10."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)

    def splice(from_fd: int, to_fd: int) -> int:
        one = ctypes.c_size_t(1)
        moved: int = libc.splice(from_fd, None, to_fd, None, one, _SPLICE_F_NONBLOCK)
        if moved < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return moved

    return splice


def splice_one(from_fd: int, to_fd: int) -> bool:
    """One byte, without blocking whatever the descriptions' flags are: False if `from_fd` is empty
    or `to_fd` full. OSError with EPIPE: `from_fd` is at its end."""
    while True:
        try:
            if hasattr(os, "splice"):
                moved = os.splice(from_fd, to_fd, 1, flags=_SPLICE_F_NONBLOCK)
            else:
                moved = _libc_splice()(from_fd, to_fd)
        except BlockingIOError:
            return False
        except InterruptedError:
            continue
        if moved == 0:
            raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))
        return True


# --- the client ---

# How long a token waits for room in a FIFO that somebody has filled: a jobserver's never is, so
# that something is wrong, and the caller must not hang on it.
_ROOM_TIMEOUT_S = 1.0

_TOTAL_MAX = 65536  # what says more than that is mistaken

# O_RDWR opens a FIFO without waiting for another end, and keeps it from ever being at its end.
_OPEN_FLAGS = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class Client:
    """An open jobserver. It has a description of its own wherever it can be opened again, so that
    O_NONBLOCK is never set under somebody else's feet; else tokens pass through a pipe by
    splice(2), which can be told not to block. close() returns no token: whoever acquired them
    releases them."""

    def __init__(self, name: str, kind: Kind, read_fd: int, write_fd: int) -> None:
        self.name = name  # how messages name it: "fifo:PATH", "R,W"
        self.kind = kind
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._transit: tuple[int, int] | None = None
        self._control: Control | None = None

    @classmethod
    def open(cls, named: Named) -> Client:
        """JobserverError says why it cannot be used."""
        name = str(named)
        if named.path is None:
            return cls._open_inherited(named)
        try:
            fd = os.open(named.path, _OPEN_FLAGS)
        except IsADirectoryError as error:
            raise _refuse(name, "a directory, not a jobserver") from error
        except OSError as error:
            raise _refuse(name, _reason(error)) from error
        except ValueError as error:
            raise _refuse(name, str(error)) from error
        return cls._own(name, fd)

    @classmethod
    def _own(cls, name: str, fd: int) -> Client:
        try:
            kind = _identify(fd, name)
            control = _find_control(fd) if kind is FIFO else None
        except BaseException:
            os.close(fd)
            raise
        if control is None:
            return cls(name, kind, fd, fd)
        os.close(fd)
        client = cls(name, SERVER, -1, -1)
        client._control = control
        return client

    @classmethod
    def _open_inherited(cls, named: Named) -> Client:
        name, kind = str(named), _check_inherited(named)
        try:
            fd = os.open(f"/proc/self/fd/{named.read_fd}", _OPEN_FLAGS)
        except OSError as error:
            if kind is not FIFO:  # knows no splice, and a read from it could block for ever
                raise _refuse(name, f"reopen: {_reason(error)}") from error
        else:
            return cls._own(name, fd)
        client = cls(name, FIFO, os.dup(named.read_fd), os.dup(named.write_fd))
        client._transit = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        return client

    def close(self) -> None:
        if self._control is not None:
            self._control.close()
        self._control = None
        for fd in {self._read_fd, self._write_fd, *(self._transit or ())} - {-1}:
            os.close(fd)
        self._read_fd = self._write_fd = -1
        self._transit = None

    @property
    def is_jobwrap(self) -> bool:
        """A server whose FIFO has an account too, which waits for as many tokens as there are: the
        next of its clients cannot be seen before it reads."""
        return self._control is not None

    def fileno(self) -> int:
        """Readable, for poll and event loops, when a token may be there."""
        if self._control is None:
            return self._read_fd
        try:
            return self._control.fileno()
        except OSError as error:
            raise self._failed("connect to", error) from error

    def _failed(self, operation: str, error: OSError) -> JobserverError:
        return JobserverError(f"{operation} {self.name}: {_reason(error)}")

    def try_acquire(self) -> bytes | None:
        """One token if one is there: the byte that is to be written back. Never blocks."""
        fd = self._read_fd
        try:
            if self._control is not None:
                return b"+" if self._control.acquire() else None
            if self._transit is not None:
                if not splice_one(fd, self._transit[1]):
                    return None
                fd = self._transit[0]
            token = os.read(fd, 1)
        except BlockingIOError:
            return None
        except OSError as error:
            raise self._failed("read", error) from error
        if not token:
            raise JobserverError(f"read {self.name}: {os.strerror(errno.EPIPE)}")
        return token

    def _wait_for_room(self) -> None:
        poll = select.poll()
        poll.register(self._write_fd, select.POLLOUT)
        if not poll.poll(_ROOM_TIMEOUT_S * 1000):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def release(self, token: bytes) -> None:
        """Gives one back; JobserverError: the token is still the caller's. A written byte may block
        only where the description is not our own, hence the poll before it."""
        deadline = time.monotonic() + _ROOM_TIMEOUT_S
        try:
            if self._control is not None:
                self._control.give_back()
                return
            while True:
                if self._transit is not None:
                    self._wait_for_room()
                try:
                    os.write(self._write_fd, token)
                    return
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise
                    self._wait_for_room()
        except OSError as error:
            raise self._failed("write", error) from error

    def splice_to(self, pipe_fd: int) -> bool:
        """For a FIFO: moves one token into a pipe in one step, so that no SIGKILL falls between
        taking it and noting it. False: none is there, or the pipe is full."""
        try:
            moved = splice_one(self._read_fd, pipe_fd)
        except OSError as error:
            raise self._failed("splice from", error) from error
        if moved:
            self._announce()
        return moved

    def splice_from(self, pipe_fd: int) -> bool:
        """And back. False: the pipe is empty. JobserverError: somebody has filled the FIFO."""
        try:
            moved = self._splice_back(pipe_fd)
        except OSError as error:
            raise self._failed("splice to", error) from error
        if moved:
            self._announce()
        return moved

    def _splice_back(self, pipe_fd: int) -> bool:
        if not self._ensure_slots():
            return self._copy_back(pipe_fd)
        for _ in range(2):
            if splice_one(pipe_fd, self._write_fd):
                return True
            if not _is_readable(pipe_fd):
                return False
            self._wait_for_room()
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _ensure_slots(self) -> bool:
        """A spliced byte fills a slot of the FIFO, of which there are 16 at first, while written
        ones share slots; and who writes to a FIFO with no free slot waits, a make that has got
        enough tokens for ever. So half of the slots stay free. False: it cannot be made larger."""
        size = fcntl.fcntl(self._write_fd, _F_GETPIPE_SZ)
        free = self.count_free()
        if free is None or free < size // os.sysconf("SC_PAGESIZE") // 2:
            return True
        try:
            fcntl.fcntl(self._write_fd, _F_SETPIPE_SZ, 2 * size)
        except OSError:
            return False
        return True

    def _copy_back(self, pipe_fd: int) -> bool:
        """Written bytes share slots. A SIGKILL between the two calls loses the token."""
        self._wait_for_room()
        if not _is_readable(pipe_fd):
            return False
        try:
            self.release(os.read(pipe_fd, 1))
        except BlockingIOError:
            return False
        return True

    def _announce(self) -> None:
        """Up to Linux 6.5 splice(2) sends no inotify event, so that the relay of a jobwrap around
        us would not see that its float is gone. An open is one that it sees."""
        if _SPLICE_IS_SILENT:
            try:
                fd = os.open(f"/proc/self/fd/{self._read_fd}", os.O_RDONLY | os.O_NONBLOCK)
            except OSError:
                return
            os.close(fd)

    def count_free(self) -> int | None:
        """The number of tokens lying free; None where nobody can tell."""
        if self.kind is SERVER:
            status = self.status()
            return None if status is None else status.free
        try:
            answer = fcntl.ioctl(self._read_fd, termios.FIONREAD, bytes(4))
        except OSError:
            return None
        free: int = struct.unpack("=i", answer)[0]
        return free if free >= 0 else None

    def status(self) -> Status | None:
        """The server's; None of others, or of a server that has gone."""
        if self._control is None:
            return _ask_status(self._read_fd) if self.kind is SERVER else None
        try:
            return Status(*_STATUS.unpack(self._control.ask(Operation.STATUS).argument))
        except OSError:
            return None

    def total_jobs(self, environ: Mapping[str, str]) -> int:
        """How many jobs run at most, implicit slot included, if it lends all that it has: as
        environment_total_jobs(). 0: nobody can tell. A jobwrap that borrows has no more at first
        than it needs, so that it may say less than the environment does."""
        status = self.status()
        jobs = status.jobs if status is not None else 0
        if jobs > 0 and self._control is None:
            return jobs
        total = jobs_in_makeflags(environ.get("MAKEFLAGS", ""))
        if not 0 < total <= _TOTAL_MAX:
            wrapper_jobs = environ.get("JOBWRAP_JOBS", "")
            total = int(wrapper_jobs) if re.fullmatch("[0-9]+", wrapper_jobs, re.ASCII) else 0
        return max(jobs, total if total <= _TOTAL_MAX else 0)

    def wanted(self) -> int | None:
        """How many wait whose turn has not come, or tokens we are asked for (by a lowered number of
        jobs, too). None where nobody can tell."""
        status = self.status()
        return None if status is None else max(status.waiting, status.recalled)

    def is_paused(self) -> bool:
        """Does it grant us nothing because our build is paused, here or at a server further up?"""
        status = self.status()
        return status is not None and status.flags & STATUS_IS_PAUSED != 0

    def _ask(self, request: int, operation: Operation, size: int) -> bytes:
        """The same of both kinds of server. OSError: it refuses, or has gone."""
        if self._control is not None:
            return self._control.ask(operation).argument
        return _ioctl(self._read_fd, request, size)

    def claim_implicit(self) -> bool:
        """Does an ancestor hold a token, not claimed by anybody, that pays for our implicit slot? A
        server that cannot tell (it has gone, or is full) has promised nothing."""
        if self.kind is not SERVER:
            return False
        try:
            claim = self._ask(IOC_CLAIM_IMPLICIT, Operation.CLAIM_IMPLICIT, _CLAIM.size)
        except OSError:
            return False
        return bool(_CLAIM.unpack(claim)[0])

    def claim_event(self) -> tuple[int, int]:
        """By what poll(2) tells of a claim that has come who waits for no token: descriptor and
        event. To be called before claim_implicit(), each time."""
        if self._control is None:
            return self._read_fd, select.POLLPRI
        self._control.forget_notices()
        return self._control.fileno(), select.POLLIN

    def join_group(self) -> None:
        """What is read here belongs to a group, of which this process becomes a member; all that is
        started below it shares one account, and is no direct client. At a jobwrap the connection is
        that already."""
        if self.kind is SERVER and self._control is None:
            try:
                _ioctl(self._read_fd, IOC_JOIN_GROUP, 0)
            except OSError as error:
                raise self._failed("ioctl", error) from error

    def hold_while_jobs_run(self) -> None:
        """At a jobwrap: what we hold is held as long as a process lives that we start from now on,
        if we are killed. They inherit the connection, so that this is for programs which give their
        jobs what is inheritable."""
        if self._control is not None:
            self._control.let_children_inherit()

    def pay_implicit(self) -> None:
        """One of our tokens is our implicit slot, so that it does not count against our share."""
        if self.kind is SERVER:
            try:
                self._ask(IOC_PAY_IMPLICIT, Operation.PAY_IMPLICIT, 0)
            except OSError as error:
                raise self._failed("pay at", error) from error


# --- the implicit slot ---

IMPLICIT_POLICIES = ("auto", "inherit", "acquire")


def implicit_is_paid(client: Client, policy: str, from_environment: bool) -> bool:
    """Is the implicit slot of this process paid for? False: acquire a token first, and run nothing
    before. See implicit.h."""
    if policy not in IMPLICIT_POLICIES:
        raise ValueError(f"{policy!r} is not auto, inherit or acquire")
    if policy != "auto":
        return policy == "inherit"
    if client.kind is FIFO:
        return from_environment
    # Another server's file stands in the environment of a whole system: who named it there started
    # nobody.
    return client.kind is SERVER and client.claim_implicit()


def implicit_may_come(client: Client, policy: str) -> bool:
    """May it be paid for later on, though it is not now? Then who waits for a token waits for that
    as well: the client is readable when either has come. Ask client.claim_implicit() again before a
    token is tried for. See implicit.h."""
    return policy == "auto" and client.kind is SERVER


# --- a build that is paused ---

# As jobwrap does while it waits for its first token: most waits are short, and nobody is woken when
# a pause begins.
PAUSE_PATIENCE_S = 1.0
PAUSE_LOOK_AGAIN_S = 5.0


class PauseNotice:
    """Tells the user of a program that waits for tokens that its build is paused: once a pause.
    While it waits, it calls look() again when left_s() have passed.

    Where several processes of one build wait, the one tells that has the lock (flock(2)) of
    `lock_fd`, which each of them has opened for itself."""

    def __init__(self, client: Client, say: Callable[[str], None], lock_fd: int = -1) -> None:
        self.client = client
        self.say = say
        self.lock_fd = lock_fd
        self.has_told = False
        self.look_at = 0.0

    def begin(self) -> None:
        """A wait begins."""
        self._forget_what_is_over()
        self.look_at = time.monotonic() + PAUSE_PATIENCE_S

    def left_s(self) -> float | None:
        """None: this jobserver pauses no build."""
        if self.client.kind is not SERVER:
            return None
        return max(0.0, self.look_at - time.monotonic())

    def look(self) -> None:
        if time.monotonic() < self.look_at:
            return
        self.look_at = time.monotonic() + PAUSE_LOOK_AGAIN_S
        self._forget_what_is_over()
        if not self.has_told and self.client.is_paused() and self._is_ours_to_tell():
            self.has_told = True
            self.say(
                f"waiting for a token from {self.client.name}, which grants none because this build"
                " is paused (see stevectl continue)"
            )

    def end(self) -> None:
        """What was waited for has come, in a pause as well: then it is the implicit slot."""
        self._forget_what_is_over()

    def _is_ours_to_tell(self) -> bool:
        if self.lock_fd < 0:
            return True
        try:
            fcntl.flock(self.lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _forget_what_is_over(self) -> None:
        if not self.has_told or self.client.is_paused():
            return
        self.has_told = False
        if self.lock_fd >= 0:
            fcntl.flock(self.lock_fd, fcntl.LOCK_UN)
