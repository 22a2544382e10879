#include "config/fault.h"

namespace ebbgate::config {

namespace {

// Keys and values of a file that is wrong may hold anything, a terminal escape for instance.
void append_printable(std::string& text, const std::string& part) {
    for (const char c : part) {
        text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    }
}

} // namespace

std::string to_text(const fault& fault) {
    std::string text;
    append_printable(text, fault.file);
    if (fault.line != 0) {
        text += ':';
        text += std::to_string(fault.line);
    }
    text += ": ";
    if (fault.line != 0 || !fault.pointer.empty()) {
        // The whole document is "/" for people, although RFC 6901 writes it as nothing.
        append_printable(text, fault.pointer.empty() ? "/" : fault.pointer);
        text += ": ";
    }
    append_printable(text, fault.message);
    return text;
}

std::string to_text(const faults& all) {
    std::string text;
    for (const fault& one : all) {
        text += to_text(one);
        text += '\n';
    }
    return text;
}

} // namespace ebbgate::config
