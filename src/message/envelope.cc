#include "ebbgate/message/envelope.h"

#include <cstring>
#include <utility>

namespace ebbgate::message {

namespace {

constexpr std::uint8_t version = 1;
// Far above what a session lets through (a command line is 4 KiB at most); what exceeds them in
// a stored envelope is damage, not mail.
constexpr std::uint32_t field_bytes_max = 4096;
constexpr std::uint32_t recipients_max = 100'000;
constexpr std::size_t recipient_bytes_min = 9; // Two lengths and the notify bits.
constexpr std::uint8_t notify_all = notify_never | notify_success | notify_failure | notify_delay;

class field_writer {
public:
    explicit field_writer(std::string& out) : out_(out) {}

    void number(std::uint64_t value, std::size_t bytes) {
        for (std::size_t index = 0; index < bytes; ++index) {
            out_.push_back(static_cast<char>(value >> (8 * index) & 0xFF));
        }
    }

    void text(const std::string& value) {
        number(value.size(), 4);
        out_.append(value);
    }

private:
    std::string& out_;
};

// Reads until something does not fit; then everything is empty and `ok` is false.
class field_reader {
public:
    explicit field_reader(byte_view in) : in_(in) {}

    std::uint64_t number(std::size_t bytes) {
        if (in_.size() < bytes) {
            ok_ = false;
        }
        if (!ok_) {
            return 0;
        }
        std::uint64_t value = 0;
        for (std::size_t index = 0; index < bytes; ++index) {
            value |= std::uint64_t{static_cast<unsigned char>(in_[index])} << (8 * index);
        }
        in_.remove_prefix(bytes);
        return value;
    }

    std::uint8_t number_up_to(std::uint8_t most) {
        const auto value = static_cast<std::uint8_t>(number(1));
        ok_ = ok_ && value <= most;
        return value;
    }

    std::string text() {
        const std::uint64_t bytes = number(4);
        if (bytes > field_bytes_max || bytes > in_.size()) {
            ok_ = false;
        }
        if (!ok_) {
            return {};
        }
        std::string value(in_.substr(0, bytes));
        in_.remove_prefix(bytes);
        return value;
    }

    [[nodiscard]] bool ok() const { return ok_; }

    [[nodiscard]] std::size_t left() const { return in_.size(); }

    void refuse() { ok_ = false; }

private:
    byte_view in_;
    bool ok_ = true;
};

void read_recipients(field_reader& in, std::vector<recipient>& recipients) {
    const std::uint64_t count = in.number(4);
    if (count > recipients_max || count * recipient_bytes_min > in.left()) {
        in.refuse();
        return;
    }
    recipients.resize(count);
    for (recipient& each : recipients) {
        each.address = in.text();
        each.original = in.text();
        each.notify = in.number_up_to(notify_all);
    }
}

} // namespace

std::string encode(const envelope& envelope) {
    std::string out;
    field_writer writer(out);
    writer.number(version, 1);
    writer.number(envelope.id, 8);
    writer.number(static_cast<std::uint64_t>(envelope.received_unix_ms), 8);
    writer.number(static_cast<std::uint8_t>(envelope.body), 1);
    writer.number(static_cast<std::uint8_t>(envelope.ret), 1);
    writer.number(envelope.smtputf8 ? 1 : 0, 1);
    for (const std::string* field : {&envelope.sender,
                                     &envelope.envelope_id,
                                     &envelope.tenant,
                                     &envelope.account,
                                     &envelope.client_address,
                                     &envelope.client_helo,
                                     &envelope.header_message_id}) {
        writer.text(*field);
    }
    writer.number(envelope.recipients.size(), 4);
    for (const recipient& each : envelope.recipients) {
        writer.text(each.address);
        writer.text(each.original);
        writer.number(each.notify, 1);
    }
    return out;
}

result<envelope> decode(byte_view bytes) {
    field_reader reader(bytes);
    if (reader.number(1) != version) {
        return fail(failure_kind::corrupt, "envelope: unknown version");
    }
    envelope out;
    out.id = reader.number(8);
    out.received_unix_ms = static_cast<std::int64_t>(reader.number(8));
    out.body = static_cast<body_type>(
        reader.number_up_to(static_cast<std::uint8_t>(body_type::eight_bit_mime)));
    out.ret = static_cast<dsn_return>(
        reader.number_up_to(static_cast<std::uint8_t>(dsn_return::headers)));
    out.smtputf8 = reader.number_up_to(1) != 0;
    for (std::string* field : {&out.sender,
                               &out.envelope_id,
                               &out.tenant,
                               &out.account,
                               &out.client_address,
                               &out.client_helo,
                               &out.header_message_id}) {
        *field = reader.text();
    }
    read_recipients(reader, out.recipients);
    if (!reader.ok() || reader.left() != 0) {
        return fail(failure_kind::corrupt,
                    "envelope: cut short, too long, or a value out of range");
    }
    return out;
}

} // namespace ebbgate::message
