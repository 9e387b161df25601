"""The compiled kernel (`kernel.cpp`)."""

LAYOUT: int
NO_KEY: int

Buffer = bytes | bytearray | memoryview

Capsule = object
Sight = tuple[tuple[int, ...], int, int, int, int, int]

def compile_plan(spec: tuple[object, ...], /) -> Capsule: ...
def decode(
    plan: Capsule, block: Buffer, cells: int, /
) -> tuple[
    list[tuple[Capsule, Capsule]], list[Sight], list[int], list[tuple[int, int, int, int]], int, int, int, int
]: ...
def count_names(line: Buffer, /) -> int: ...
def count_newlines(block: Buffer, /) -> int: ...
