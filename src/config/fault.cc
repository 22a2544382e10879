#include "config/fault.h"

namespace ebbgate::config {

std::string to_text(const fault& fault) {
    std::string text = fault.file;
    if (fault.line != 0) {
        text += ':';
        text += std::to_string(fault.line);
    }
    text += ": ";
    if (fault.line != 0) {
        // The whole document is "/" for people, although RFC 6901 writes it as nothing.
        text += fault.pointer.empty() ? "/" : fault.pointer;
        text += ": ";
    }
    text += fault.message;
    return text;
}

std::string to_text(const faults& faults) {
    std::string text;
    for (const fault& fault : faults) {
        text += to_text(fault);
        text += '\n';
    }
    return text;
}

} // namespace ebbgate::config
