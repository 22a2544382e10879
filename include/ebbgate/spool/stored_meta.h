// What the gateway keeps in the meta part of a stored message: the envelope, and the header lines
// it puts on top (Received, DKIM-Signature), which are known only when the body is complete.
//
// Owner   Values. The spool itself treats meta as opaque bytes.
// Bounds  writer_options::meta_bytes_max, checked when it is appended.
// Specs   docs/spool-format.md, "Meta".

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/base/result.h"
#include "ebbgate/message/envelope.h"

#include <string>

namespace ebbgate::spool {

struct stored_meta {
    message::envelope envelope;
    byte_view prefix; // Into the decoded bytes: sent before the body.
};

[[nodiscard]] std::string encode_meta(const message::envelope& envelope, byte_view prefix);
[[nodiscard]] result<stored_meta> decode_meta(byte_view meta);

} // namespace ebbgate::spool
