"""Bytes that are no UTF-8, given to libgraft.so itself: no line of JSON can hold them."""
import codecs
import ctypes
import json


class Failure(Exception):
    pass


class Library:
    """The tokenizer part of the C interface."""

    def __init__(self, path):
        self.library = ctypes.CDLL(str(path))
        self.library.graft_text_data.restype = ctypes.c_char_p
        for name in ("graft_text_data", "graft_text_destroy", "graft_tokenizer_destroy"):
            getattr(self.library, name).argtypes = [ctypes.c_void_p]
        self.engine = self.call("graft_engine_create", None)

    def call(self, name, *given):
        out, error = ctypes.c_void_p(), ctypes.create_string_buffer(512)
        if getattr(self.library, name)(*given, ctypes.byref(out), error) != 0:
            raise Failure(error.raw[8:].split(b"\0")[0].decode())
        return out

    def open(self, path):
        return self.call("graft_tokenizer_open", self.engine, str(path).encode())

    def close(self, tokenizer):
        self.library.graft_tokenizer_destroy(tokenizer)

    def encode(self, tokenizer, raw, special):
        text = self.call("graft_tokenizer_encode", tokenizer, ctypes.c_char_p(raw), ctypes.c_size_t(len(raw)), ctypes.c_int32(special))
        answer = json.loads(self.library.graft_text_data(text))
        self.library.graft_text_destroy(text)
        return answer


def lossy(raw):
    """The text with U+FFFD for each maximal part that is no UTF-8, and where in the bytes each character begins."""
    bad = {}

    def note(error):
        bad[error.start] = error.end
        return "\ufffd", error.end

    codecs.register_error("note", note)
    text, at = raw.decode("utf-8", errors="note"), [0]
    for character in text:
        at.append(bad.get(at[-1], at[-1] + len(character.encode("utf-8"))))
    return text, at
