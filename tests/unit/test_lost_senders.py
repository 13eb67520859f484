"""The MPI transport and messages from and to a rank that is given up in the middle of one."""

from __future__ import annotations

import os
import subprocess
import sys

_PROGRAM = """\
import os, struct, sys, weakref
from mpirdd.comm import mpi

class Memory(bytearray):
    pass

made = []

def writable_memory(size):
    memory = Memory(size)
    made.append(weakref.ref(memory))
    return memoryview(memory)

mpi.writable_memory = writable_memory
transport = mpi.MpiTransport()
envelope = struct.pack("<I1Q", 1, 100_000)  # and the frame itself is on its way
if sys.argv[1] == "later":
    transport._start_send(envelope, 0, mpi.ENVELOPE)
    while not made:
        transport.poll()
    transport.declare_lost(0)
else:
    transport._start_send(envelope, 0, mpi.ENVELOPE)
    transport.declare_lost(0)
    for _ in range(1000):
        transport.poll()
print(len(made), sum(memory() is not None for memory in made), flush=True)
os._exit(0)  # MPI would wait for the rest
"""


_SENDS = """\
import os, weakref
from mpirdd.comm import mpi

class Memory(bytearray):
    pass

transport = mpi.MpiTransport()
frame = Memory(10_000_000)  # so much leaves only when it is received
alive = weakref.ref(frame)
transport._start_send(frame, 0, mpi.BULK)
del frame
for _ in range(1000):
    transport.poll()
    assert transport.in_flight()
transport.declare_lost(0)
print(transport.in_flight(), alive() is not None)
transport._world.Recv([bytearray(10_000_000), mpi.MPI.BYTE], 0, mpi.BULK)
transport._forget_what_left()
print(alive() is not None, flush=True)
os._exit(0)
"""


def _told(program: str, *words: str) -> str:
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("OMPI_", "PMI_", "PMIX_", "PRTE_"))}
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, env=alone, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_memory_outlives_a_sender_that_is_given_up_while_its_frame_arrives() -> None:
    assert _told(_PROGRAM, "later") == "1 1"


def test_nothing_is_received_for_a_message_of_a_rank_that_was_given_up() -> None:
    assert _told(_PROGRAM, "before") == "0 0"


def test_nobody_waits_for_what_a_rank_that_was_given_up_does_not_receive_and_its_memory_stays_until_it_does() -> None:
    assert _told(_SENDS) == "False True\nFalse"
