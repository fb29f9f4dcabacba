"""The child process that runs a codec: loads it once, then answers requests until its input ends.

Run as ``python -m icmbench.evaluation.worker``. Messages are pickles
with a length prefix on its standard input and output. A codec that hangs or crashes the process
fails on one image and does not end the job. Messages `compiling` (true, false) may precede an
answer: the time between them does not count towards the image's seconds.
A decoding request names a stream file and nothing else: no original, no size, no label.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
from io import BufferedIOBase, RawIOBase
from pathlib import Path
from typing import IO, Any, cast

from icmbench.codecs.base import Codec, Latent, check_image
from icmbench.codecs.registry import codec_class, define
from icmbench.codecs.specs import make_point
from icmbench.core import jit_notice as compiling
from icmbench.core.devices import limit_threads, use_device
from icmbench.core.errors import IcmbenchError
from icmbench.core.processes import collect_rarely, print_any_text
from icmbench.evaluation.costs import clock, counted, measured

LENGTH = struct.Struct(">Q")


def send(pipe: IO[bytes], message: dict[str, Any]) -> None:
    """Write one message."""
    data = pickle.dumps(message, protocol=5)
    pipe.write(LENGTH.pack(len(data)) + data)
    pipe.flush()


def receive(pipe: BufferedIOBase | RawIOBase) -> dict[str, Any] | None:
    """Read one message and no byte more; None at the end of the input."""
    if (head := _exactly(pipe, LENGTH.size)) is None:
        return None
    if (body := _exactly(pipe, LENGTH.unpack(head)[0])) is None:
        return None
    message: dict[str, Any] = pickle.loads(body)
    return message


def _exactly(pipe: BufferedIOBase | RawIOBase, size: int) -> bytearray | None:
    """So many bytes of a pipe; None where the other side died before it wrote them."""
    data = bytearray(size)
    have = 0
    with memoryview(data) as view:
        while have < size:
            if not (count := pipe.readinto(view[have:])):
                return None
            have += count
    return data


def handle(codec: Codec, request: dict[str, Any]) -> dict[str, Any]:
    """Answer of one request.

    `encode` or `image-latent` (image), `truncate`, `salvage`, `decode` or `decode-latent` (path of
    a stream file), `decode-batch` (paths of stream files), `warm-up` (keys of a point, `decode`:
    whether it decodes, too), `count` (keys of a point, `decode`: operations of decoding).
    """
    import numpy as np

    keys = request["keys"]
    if request["do"] == "warm-up":
        warm_up(codec, keys, decode=request["decode"])
        return {}
    if request["do"] == "encode":
        image = check_image(request["image"])
        stream, costs = measured(codec, lambda: codec.encode(image, **keys))
        return {**costs, "stream": stream, "remark": codec.remark()}
    if request["do"] == "count":
        return counted(codec, make_point(codec.name, keys), decode=request["decode"])
    if request["do"] == "decode-batch":
        streams = [Path(path).read_bytes() for path in request["paths"]]
        pictures, costs = measured(
            codec,
            lambda: [check_image(image) for image in codec.decode_batch(streams, **keys)],
            len(streams),
        )
        return {**costs, "images": [np.ascontiguousarray(p) for p in pictures]}
    if request["do"] == "image-latent":
        start = clock()
        return _latent_answer(start, codec.image_latent(check_image(request["image"])))
    stream = Path(request["path"]).read_bytes()
    if request["do"] == "decode-latent":
        start = clock()
        return _latent_answer(start, codec.decode_latent(stream, **keys))
    if request["do"] == "truncate":
        return {"stream": codec.truncate(stream, **keys)}
    if request["do"] == "salvage":
        return {"stream": codec.salvage(stream)[0]}
    picture, costs = measured(codec, lambda: check_image(codec.decode(stream, **keys)))
    return {**costs, "image": np.ascontiguousarray(picture)}


def _latent_answer(start: float, latent: Latent) -> dict[str, Any]:
    return {"seconds": clock() - start, "latent": latent.values, "size": latent.size}


def warm_up(codec: Codec, keys: dict[str, Any], *, decode: bool) -> None:
    """Encode a small image, and decode it where `decode`, so that first-call costs are not timed.

    What goes wrong here is only logged: the images themselves decide what gets a row.
    """
    import numpy as np

    point = make_point(codec.name, keys)
    ramp = np.arange(64 * 64 * 3, dtype=np.uint32).reshape(64, 64, 3)
    try:
        stream = codec.encode((ramp // 48).astype(np.uint8), **dict(point.encode))
        if decode:
            codec.decode(codec.truncate(stream, **dict(point.cut)), **dict(point.decode))
    except Exception as error:  # noqa: BLE001 - foreign code: whatever it raises is reported
        print(f"warm-up of {point.spec} failed: {error}", file=sys.stderr)


def main() -> None:
    """Answer requests; the first message says which codec to load."""
    # Codecs and their C libraries may print: that goes to the log, the answers keep their pipe.
    answers = os.fdopen(os.dup(1), "wb")
    collect_rarely()
    os.dup2(2, 1)
    print_any_text("utf-8")  # in the job's log
    compiling.listen(lambda active: send(answers, {"compiling": active}))
    requests = cast(BufferedIOBase, sys.stdin.buffer)
    setup = receive(requests)
    assert setup is not None, "the parent sent nothing"
    try:
        device = use_device(setup["device"])
        if definition := setup.get("definition"):
            define(definition)
        codec = codec_class(setup["codec"])(models=setup["models"], device=device)
        # Now that the codec's libraries are loaded: those that are not yet cannot be limited.
        limit_threads(setup["threads"])
    except Exception as error:  # noqa: BLE001 - as above
        send(answers, _failure(error))
        return
    send(answers, {"device": codec.device})
    while (request := receive(requests)) is not None:
        try:
            answer = handle(codec, request)
        except Exception as error:  # noqa: BLE001 - as above
            answer = _failure(error)
        send(answers, answer)


def _failure(error: Exception) -> dict[str, Any]:
    # A file name in it may be no text, and the row that it gets is written as UTF-8.
    text = " ".join(str(error).encode(errors="backslashreplace").decode().split())
    typed = isinstance(error, IcmbenchError)
    return {"error": type(error).__name__, "detail": text[:300], "typed": typed}


if __name__ == "__main__":
    main()
