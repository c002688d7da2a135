"""A thread state and frames made of bytes, for code that is not running and for stacks that cannot be."""

import ctypes
import os

from epicycle import _epicycle

# The words of a layout, in the order of crates/extension/src/frames/layout.rs.
NAMES = [
    "format",
    "python",
    "thread_frame",
    "cframe_frame",
    "frame_code",
    "frame_previous",
    "frame_instruction",
    "frame_owner",
    "frame_copy",
    "owner_native",
    "object_type",
    "code_type",
    "code_file",
    "code_name",
    "code_lines",
    "code_first_line",
    "code_bytecode",
    "code_copies",
    "text_type",
    "text_length",
    "text_state",
    "text_kind",
    "text_ascii",
    "text_compact",
    "bytes_type",
    "bytes_length",
    "bytes_data",
]
NONE = 2**64 - 1
FRAME = 256
MOST = 128


class Stack:
    """Frames of code objects, each at an offset of its instructions, the first innermost."""

    def __init__(self, layout):
        self.layout = layout
        self.at = dict(zip(NAMES, layout, strict=True))
        self.thread = (ctypes.c_uint64 * 8192)()
        self.frames = (ctypes.c_uint64 * (FRAME // 8 * MOST))()
        self.begin = ctypes.addressof(self.frames)
        first = self.begin
        if self.at["cframe_frame"] != NONE:
            self.cframe = (ctypes.c_uint64 * 8)()
            self.cframe[self.at["cframe_frame"] // 8] = first
            first = ctypes.addressof(self.cframe)
        self.thread[self.at["thread_frame"] // 8] = first

    def put(self, index, code, offset, previous):
        """Frame `index` runs `code` at `offset`; frame `previous` called it, or nobody (None)."""
        words = {
            "frame_code": id(code),
            "frame_previous": 0 if previous is None else self.begin + FRAME * previous,
            "frame_instruction": id(code) + self.at["code_bytecode"] + offset,
        }
        for name, value in words.items():
            self.frames[(FRAME * index + self.at[name]) // 8] = value

    def read(self):
        return _epicycle.read_stack(os.getpid(), ctypes.addressof(self.thread), self.layout)
