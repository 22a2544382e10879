#!/usr/bin/env python3
"""Prints what GMime sees of messages, for comparison_test.py.

Input   A JSON array of messages, in hexadecimal, in standard input.
Output  For each an array of parts: [depth, kind, type, names, body]; the body of a leaf, decoded, in hexadecimal.
Fails   Exits with 77 where GMime's binding for Python is not installed.
"""

import json
import sys

try:
    import gi

    gi.require_version("GMime", "3.0")
    from gi.repository import GMime
except (ImportError, ValueError):
    sys.exit(77)


def names_of(part):
    fields = (part.get_content_disposition(), part.get_content_type())
    found = (field.get_parameter(name) for field in fields if field is not None for name in ("filename", "name"))
    return sorted({name for name in found if name is not None})


def body_of(part):
    memory = GMime.StreamMem.new()
    if part.get_content() is not None:
        part.get_content().write_to_stream(memory)
    return bytes(memory.get_byte_array() or b"").hex()


def parts_of(raw):
    def walk(part, depth):
        told = part.get_content_type()
        kind, children, body = "leaf", [], ""
        if isinstance(part, GMime.Multipart):
            kind, children = "multipart", [part.get_part(index) for index in range(part.get_count())]
        elif isinstance(part, GMime.MessagePart):
            kind, children = "message", [part.get_message() and part.get_message().get_mime_part()]
        else:
            body = body_of(part)
        media_type = f"{told.get_media_type()}/{told.get_media_subtype()}".lower()
        found.append((depth, kind, media_type, names_of(part), body))
        for child in filter(None, children):
            walk(child, depth + 1)

    found = []
    parser = GMime.Parser.new_with_stream(GMime.StreamMem.new_with_buffer(raw))
    message = parser.construct_message(None)
    if message is not None and message.get_mime_part() is not None:
        walk(message.get_mime_part(), 0)
    return found


GMime.init()
print(json.dumps([parts_of(bytes.fromhex(message)) for message in json.load(sys.stdin)]))
