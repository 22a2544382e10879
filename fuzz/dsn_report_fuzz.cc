// Reports on anything: CRLF lines that fit, three parts, a boundary that nothing else has, and in
// the status as many recipients as there are.

#include "ebbgate/base/assert.h"

#include "../tests/unit/codec/dsn/report_structure.h"

#include <cstdint>

namespace {

namespace dsn = ebbgate::dsn;
using ebbgate::byte_view;

// Texts with their length in two bytes in front; the last one may be short.
class source {
public:
    explicit source(byte_view bytes) : bytes_(bytes) {}

    std::uint8_t number() {
        if (bytes_.empty()) {
            return 0;
        }
        const auto got = static_cast<std::uint8_t>(bytes_.front());
        bytes_.remove_prefix(1);
        return got;
    }

    std::string text() {
        const std::size_t bytes = number() * std::size_t{256} + number();
        const std::string got(bytes_.substr(0, bytes));
        bytes_.remove_prefix(got.size());
        return got;
    }

private:
    byte_view bytes_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    source from(byte_view(reinterpret_cast<const char*>(data), bytes));
    dsn::report about;
    const unsigned flags = from.number();
    about.smtputf8 = (flags & 1U) != 0;
    about.ret = static_cast<ebbgate::message::dsn_return>((flags >> 1U) % 3);
    about.now_unix_s = about.arrival_unix_s = 1'795'535'813;
    const std::size_t count = from.number() % 4U + 1;
    for (std::size_t i = 0; i < count; ++i) {
        dsn::reported_recipient one;
        one.action = static_cast<dsn::action>(from.number() % 4);
        const unsigned kind = from.number();
        one.expired = (kind & 1U) != 0;
        one.reply.code = (kind & 2U) != 0 ? 0 : static_cast<int>(kind) * 4;
        one.reply.status = {
            static_cast<std::uint8_t>(kind % 6), 1, static_cast<std::uint16_t>(kind)};
        one.last_attempt_unix_s = one.retry_until_unix_s = 1'795'535'813;
        one.address = from.text();
        one.original = from.text();
        one.reply.text = from.text();
        one.remote_name = from.text();
        about.recipients.push_back(std::move(one));
    }
    const std::string header = from.text();
    const std::string whole = from.text();
    about.header = header;
    about.whole = whole;
    about.id = from.text();
    about.hostname = from.text();
    about.sender = from.text() + "a";
    about.envelope_id = from.text();
    about.from_name = from.text();
    about.from_address = from.text();
    about.contact = from.text();
    const dsn::written_report written = write_report(about);
    const auto parts = dsn::checked_parts(written);
    EBBGATE_ASSERT(dsn::count_of(parts[1], "\r\nFinal-Recipient:") == count);
    EBBGATE_ASSERT(dsn::count_of(parts[1], "\r\nAction: ") == count);
    EBBGATE_ASSERT(dsn::count_of(parts[1], "\r\n\r\n") == count + 2); // And behind each header.
    return 0;
}
