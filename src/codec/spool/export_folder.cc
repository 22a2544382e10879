#include "codec/spool/export_folder.h"

#include "ebbgate/message/message_id.h"
#include "ebbgate/spool/stored_meta.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace ebbgate::spool {

namespace {

std::unexpected<failure> file_failure(const char* what, const std::string& path) {
    const int error = errno;
    return fail(error == ENOSPC ? failure_kind::no_space : failure_kind::io,
                "export: " + std::string(what) + " " + path + ": " + std::strerror(error));
}

void add_string(std::string& out, byte_view text) {
    constexpr const char* hex = "0123456789abcdef";
    out.push_back('"');
    for (const char character : text) {
        const auto byte = static_cast<unsigned char>(character);
        if (byte == '"' || byte == '\\') {
            out.push_back('\\');
            out.push_back(character);
        } else if (byte < 0x20 || byte == 0x7F) {
            out.append("\\u00");
            out.push_back(hex[byte >> 4]);
            out.push_back(hex[byte & 15]);
        } else {
            out.push_back(character);
        }
    }
    out.push_back('"');
}

void add_field(std::string& out, const char* name, byte_view text) {
    out.append(",\n  \"").append(name).append("\": ");
    add_string(out, text);
}

const char* ret_text(message::dsn_return ret) {
    switch (ret) {
    case message::dsn_return::unset:
        return "";
    case message::dsn_return::full:
        return "FULL";
    case message::dsn_return::headers:
        return "HDRS";
    }
    return "";
}

void add_recipients(std::string& out, const message::envelope& envelope) {
    out.append(",\n  \"recipients\": [");
    bool is_first = true;
    for (const message::recipient& each : envelope.recipients) {
        out.append(is_first ? "\n    {\"address\": " : ",\n    {\"address\": ");
        is_first = false;
        add_string(out, each.address);
        out.append(", \"original\": ");
        add_string(out, each.original);
        out.append(", \"notify\": ").append(std::to_string(each.notify)).append("}");
    }
    out.append(envelope.recipients.empty() ? "]" : "\n  ]");
}

} // namespace

std::string
envelope_json(const exported_message& message, const std::string& id_text, bool intact) {
    std::string out = "{\n  \"id\": ";
    add_string(out, id_text);
    out.append(",\n  \"intact\": ").append(intact ? "true" : "false");
    out.append(",\n  \"body_bytes\": ").append(std::to_string(message.body_bytes));
    const auto meta = decode_meta(message.meta);
    if (!meta) {
        add_field(out, "fault", meta.error().detail);
        return out + "\n}\n";
    }
    const message::envelope& envelope = meta->envelope;
    out.append(",\n  \"received_unix_ms\": ").append(std::to_string(envelope.received_unix_ms));
    add_field(out, "sender", envelope.sender);
    add_recipients(out, envelope);
    const bool is_eight_bit = envelope.body == message::body_type::eight_bit_mime;
    add_field(out, "body", is_eight_bit ? "8BITMIME" : "7BIT");
    out.append(",\n  \"smtputf8\": ").append(envelope.smtputf8 ? "true" : "false");
    add_field(out, "ret", ret_text(envelope.ret));
    add_field(out, "envelope_id", envelope.envelope_id);
    add_field(out, "tenant", envelope.tenant);
    add_field(out, "account", envelope.account);
    add_field(out, "client_address", envelope.client_address);
    add_field(out, "client_helo", envelope.client_helo);
    add_field(out, "message_id", envelope.header_message_id);
    return out + "\n}\n";
}

void unstuffer::feed(byte_view piece, std::string& out) {
    for (const char character : piece) {
        switch (state_) {
        case state::line_start:
            if (character == '.') {
                state_ = state::dot_seen; // Removed, whatever follows.
                continue;
            }
            break;
        case state::dot_seen:
            if (character == '\r') {
                state_ = state::dot_cr_seen; // Perhaps the end mark.
                continue;
            }
            break;
        case state::dot_cr_seen:
            if (character == '\n') {
                state_ = state::line_start;
                continue;
            }
            out.push_back('\r');
            break;
        case state::cr_seen:
            if (character == '\n') {
                out.push_back(character);
                state_ = state::line_start;
                continue;
            }
            break;
        case state::in_line:
            break;
        }
        out.push_back(character);
        state_ = character == '\r' ? state::cr_seen : state::in_line;
    }
}

folder_sink::~folder_sink() {
    if (file_ != nullptr) {
        std::fclose(file_);
    }
}

result<void> folder_sink::write(byte_view bytes) {
    return std::fwrite(bytes.data(), 1, bytes.size(), file_) == bytes.size()
               ? result<void>()
               : file_failure("write", path_);
}

result<void> folder_sink::begin(const exported_message& message) {
    const std::string id = message::to_text(message.id);
    path_ = folder_ + "/" + id;
    json_ = envelope_json(message, id, true);
    unstuffer_ = unstuffer();
    file_ = std::fopen((path_ + ".eml").c_str(), "wbx");
    if (file_ == nullptr) {
        return file_failure("create", path_ + ".eml");
    }
    const auto meta = decode_meta(message.meta);
    return meta ? body(meta->prefix) : result<void>();
}

result<void> folder_sink::body(byte_view piece) {
    text_.clear();
    unstuffer_.feed(piece, text_);
    return write(text_);
}

result<void> folder_sink::end(bool intact) {
    const bool closed = std::fclose(std::exchange(file_, nullptr)) == 0;
    if (!closed) {
        return file_failure("write", path_ + ".eml");
    }
    if (!intact) {
        // Its bytes are not what was accepted: the name says so.
        if (std::rename((path_ + ".eml").c_str(), (path_ + ".damaged").c_str()) != 0) {
            return file_failure("rename", path_ + ".eml");
        }
        const std::string claim = "\"intact\": true";
        json_.replace(json_.find(claim), claim.size(), "\"intact\": false");
    }
    file_ = std::fopen((path_ + ".json").c_str(), "wbx");
    if (file_ == nullptr) {
        return file_failure("create", path_ + ".json");
    }
    auto written = write(json_);
    if (std::fclose(std::exchange(file_, nullptr)) != 0) {
        return file_failure("write", path_ + ".json");
    }
    return written;
}

} // namespace ebbgate::spool
