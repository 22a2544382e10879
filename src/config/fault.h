// What is wrong in a configuration or policy file, and where.
//
// Output  `FILE:LINE: /json/pointer: what is wrong and what was expected`, one a line.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ebbgate::config {

struct fault {
    std::string file;
    std::uint32_t line = 0; // 0: unknown, or the file as a whole (it cannot be read).
    std::string pointer;
    std::string message;
};

// All of them, in the order of the text; never empty when returned as an error.
using faults = std::vector<fault>;

// 1000: a file with more faults than this is not worth reading to its end.
inline constexpr std::size_t faults_max = 1000;

[[nodiscard]] std::string to_text(const fault& fault);
[[nodiscard]] std::string to_text(const faults& all);

} // namespace ebbgate::config
