"""``python -m asgi_session doctor``: look through a store for sessions that would not survive beside Express."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NoReturn

from asgi_session.deadlines import Deadlines
from asgi_session.doctor import (
    PATIENCE,
    Finding,
    Report,
    examine,
    examine_for_connect_mongo,
    examine_for_document,
    examine_for_update,
    examine_form,
    look_through,
)
from asgi_session.exceptions import StoreError
from asgi_session.patience import PatientStore
from asgi_session.signing import CookieSigner
from asgi_session.stores.base import Record, Store

WELL, ILL, NO_ANSWER, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: nothing found; something found; the question could not be answered; Ctrl-C, as shells have it."""

_MONGO = ("mongodb", "mongodb+srv")
_REDIS = ("redis", "rediss", "unix", "valkey", "valkeys")
_KEYS_SHOWN = 10
_KEY_LENGTH = 40


class Unanswerable(Exception):
    """Why there is no answer. The message repeats nothing of the store's URL, which may hold a password."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        arguments: without the program's name; None: the process's own.
    """
    options = _parser().parse_args(arguments)
    if sys.stdout is None or (options.cookie and sys.stdin is None):
        return _unanswered("standard input or output is closed")
    try:
        # Before there is an event loop: that would keep Ctrl-C for itself. And bytes: they may be no text.
        cookie = sys.stdin.buffer.readline() if options.cookie else None
        code = asyncio.run(_doctor(options, cookie))
        sys.stdout.flush()  # what can't be written shows here, and not after the exit code
    except (Unanswerable, StoreError) as error:
        return _unanswered(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter tries once more
        return _unanswered(f"the report could not be written ({type(error).__name__})")
    except Exception as error:  # its text may quote the URL
        return _unanswered(f"something unforeseen happened ({type(error).__name__})")
    return code


def _unanswered(why: str) -> int:
    if sys.stderr is not None:
        sys.stderr.write(f"asgi_session doctor: {why}\n")
    return NO_ANSWER


_REPEATING = ("unrecognized arguments", "ignored explicit argument", "invalid choice", "ambiguous option")


class _Parser(argparse.ArgumentParser):
    """Repeats no argument that it does not take: a cookie or a password may have strayed there."""

    def error(self, message: str) -> NoReturn:
        super().error(re.sub(f"({'|'.join(_REPEATING)}).*", r"\1", message, flags=re.DOTALL))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m asgi_session")
    commands = parser.add_subparsers(required=True, metavar="command")
    doctor = commands.add_parser(
        "doctor",
        help="report stored sessions that would not survive beside Express",
        description="Reads a sample of live sessions and reports what would not survive a round trip between Express "
        "and asgi_session. Writes nothing. Shows names of session keys, never values or ids.",
        epilog="Exit code: 0 nothing found, 1 something found, 2 no answer (the store could not be read or held no "
        "session, the report could not be written), 130 interrupted.",
    )
    doctor.add_argument("--store", metavar="URL", required=True, help="mongodb://..., redis://... or valkey://...")
    doctor.add_argument("--collection", metavar="C", default="sessions", help="MongoDB (default %(default)s)")
    doctor.add_argument(
        "--stringify",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="MongoDB: the option of the store and of connect-mongo, which must be the same; sessions that are kept in "
        "the other form are reported, and with --no-stringify also what a document can't hold",
    )
    doctor.add_argument("--prefix", metavar="P", default="sess:", help="Redis: of the keys (default %(default)s)")
    doctor.add_argument(
        "--sample", metavar="N", type=_positive, default=1000, help="sessions to read at most (default %(default)s)"
    )
    doctor.add_argument(
        "--cookie",
        action="store_true",
        help="read a session cookie's value from standard input, and say whether the environment's SESSION_SECRET "
        "signed it and whether its session is live",
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError("not a positive number")
    return int(text)


async def _doctor(options: argparse.Namespace, cookie: bytes | None) -> int:
    store, examiners = _open(options)
    async with store:
        cookie_is_well = cookie is None or await _look_at_cookie(store, cookie)
        report = await look_through(store, options.sample, *examiners)
    _say(report)
    if report.read == 0:
        raise Unanswerable("no live session was found; are the database, the collection and the prefix right?")
    return ILL if report.harmed or not cookie_is_well else WELL


def _open(options: argparse.Namespace) -> tuple[Store, list[Callable[[Record], Iterable[Finding]]]]:
    """The store, and who examines what is in it.

    Raises:
        Unanswerable: there is no such kind of store, its driver is missing, or that rejects the URL.
    """
    url: str = options.store
    scheme = url.partition(":")[0]
    try:
        if scheme in _MONGO:
            from asgi_session.stores.mongo import MongoStore

            # An index would be a write, and it deletes what has expired.
            mongo = MongoStore.from_url(
                url, collection=options.collection, stringify=options.stringify, create_index=False
            )
            of_payload = [examine, examine_for_connect_mongo, examine_for_update]
            if not options.stringify:
                of_payload.append(examine_for_document)
            return mongo, [*map(_reading, of_payload), partial(examine_form, stringify=options.stringify)]
        if scheme in _REDIS:
            from asgi_session.stores.redis import RedisStore

            return RedisStore.from_url(url, prefix=options.prefix), [_reading(examine)]
    except ImportError:
        extra = "mongo" if scheme in _MONGO else "redis"
        raise Unanswerable(f"the driver is not installed: pip install 'asgi-session[{extra}]'") from None
    except Exception as error:  # drivers quote the URL in what they raise
        raise Unanswerable(
            f"the driver does not take this URL, collection or prefix ({type(error).__name__})"
        ) from None
    raise Unanswerable("--store takes a URL of " + ", ".join(f"{name}:" for name in (*_MONGO, *_REDIS)))


def _reading(examiner: Callable[[str], Iterable[Finding]]) -> Callable[[Record], Iterable[Finding]]:
    """Have a record's payload examined."""
    return lambda record: examiner(record.payload)


async def _look_at_cookie(store: Store, line: bytes) -> bool:
    """Say what a cookie, pasted with its name or without, is worth; whether it leads to a session."""
    secret = os.environ.get("SESSION_SECRET")
    if not secret:
        raise Unanswerable("--cookie needs the secret in the environment variable SESSION_SECRET")
    signer = CookieSigner([os.fsencode(secret)])
    values = [part.rpartition(b"=")[2].strip(b'" \t\r\n') for part in line.split(b";")]
    signed = [value for value in values if value.startswith((b"s:", b"s%3A", b"s%3a"))]
    presented = next((found for value in signed if (found := signer.unsign(value)) is not None), None)
    if presented is None:
        _write(
            "The cookie is not signed with SESSION_SECRET."
            if signed
            else "That is no signed cookie: the value of one begins with s: or s%3A."
        )
        return False
    _write("The cookie is signed with SESSION_SECRET.")
    live = await PatientStore(store, Deadlines(PATIENCE)).get(presented.sid) is not None
    _write(
        "Its session is live in this store."
        if live
        else "Its session is not in this store: it has ended, is elsewhere, or its id was transformed (transformId)."
    )
    return live


def _say(report: Report) -> None:
    _write(f"Sessions read: {report.read}. Nothing was written.")
    if report.missed:
        _write(f"Listed but not found again, as they ended meanwhile: {report.missed}.")
    _write(f"Sessions that would not survive unharmed: {report.harmed}.")
    for kind, keys in sorted(report.kinds.items()):
        _write(f"  {sum(keys.values()):6}  {kind}")
        named = [(key, count) for key, count in keys.most_common() if key]
        if named:
            shown = [f"{_shown(key)} ({count})" for key, count in named[:_KEYS_SHOWN]]
            more = f" and {len(named) - _KEYS_SHOWN} more" if len(named) > _KEYS_SHOWN else ""
            _write(" " * 10 + ", ".join(shown) + more)


def _shown(key: str) -> str:
    """A session key in ASCII and in one piece, so that none can do anything to a terminal."""
    text = ascii(key)
    return text if len(text) <= _KEY_LENGTH else f"{text[: _KEY_LENGTH - 4]}...'"


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
