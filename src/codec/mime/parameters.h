// A field of the form "value; name=value; name=value".
//
// Input   The value of a field, unfolded.
// Output  Each parameter as its bytes stand, with the other readings of it that programs have.
// Bounds  parameters_max; what is behind them is left out and said. Time linear in the bytes.
// Specs   RFC 2045 5.1 and RFC 2231, and what readers make of what is neither.

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/mime/ambiguity.h"

#include <string>
#include <vector>

namespace ebbgate::mime {

struct parameter {
    std::string name; // In lower case, with RFC 2231's asterisks.
    std::string value;
    std::vector<std::string> others;
};

struct structured_value {
    std::string head; // In lower case, without comments.
    std::vector<parameter> parameters;
    ambiguity_set unclear;
};

[[nodiscard]] structured_value read_structured(byte_view text);

// All values that a reader could take for `name`, the most usual first: bytes for plain ones, UTF-8
// for extended ones.
struct parameter_values {
    std::vector<std::string> plain;
    std::vector<std::string> extended; // Of name*, name*0*, name*1 ...
};

[[nodiscard]] parameter_values
values_of(const structured_value& field, byte_view name, ambiguity_set& unclear);

} // namespace ebbgate::mime
