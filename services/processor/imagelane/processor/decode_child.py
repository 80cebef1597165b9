"""A decode child: started by `decoders.py`, handed descriptors, and thrown away when anything is odd.

Standard input is its socket. It ends when the socket does. Whatever it did not foresee ends it too:
the parent sees that and gives the image one more child.
"""

from __future__ import annotations

import os
import socket
import sys
import traceback
from functools import partial
from types import TracebackType

import msgspec

from imagelane.processor import messages
from imagelane.processor.confinement import Confinement, confine, limit_cpu
from imagelane.processor.imaging import ImageRefusedError, OutputUnwritableError, process


def main() -> None:
    """Works until the parent hangs up. The only argument is the `Confinement` as JSON."""
    limits = msgspec.json.decode(sys.argv[1], type=Confinement)
    channel = socket.socket(fileno=0)
    walls = confine(limits)
    channel.send(messages.encode(messages.Ready(walls)))
    while True:
        message, descriptors, _, _ = socket.recv_fds(
            channel, messages.MAX_MESSAGE_BYTES, messages.MAX_OUTPUTS + 1
        )
        if not message:
            return
        number, request = message[: messages.NUMBER_BYTES], message[messages.NUMBER_BYTES :]
        sys.excepthook = partial(_last_words, channel, number)
        limit_cpu(limits.cpu_seconds)
        reply = answer(messages.decode_request(request), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(number + messages.encode(reply))


def answer(request: messages.Request, descriptors: list[int]) -> messages.Answer:
    """The work on one image."""
    source, *targets = descriptors
    try:
        return messages.Made(process(source, request.outputs, targets, request.limits))
    except ImageRefusedError as refused:
        return messages.Refused(refused.code)
    except OutputUnwritableError as unwritable:
        return messages.Unwritable(str(unwritable)[: messages.MAX_REASON_CHARS])


def _last_words(
    channel: socket.socket,
    number: bytes,
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
) -> None:
    text = "".join(traceback.format_exception(kind, error, trace))
    channel.send(number + messages.encode(messages.Fallen(text[-messages.MAX_REASON_CHARS :])))


if __name__ == "__main__":
    main()
