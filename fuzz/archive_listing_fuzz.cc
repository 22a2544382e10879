// Archives of any bytes: what is found does not depend on where they are cut, and a judge that
// allows everything in them still ends.

#include "stage/content/attachment_judge.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

namespace content = ebbgate::content;
using ebbgate::byte_view;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

struct listed : content::member_handler {
    std::vector<std::string> names;
    content::listing_fault fault = content::listing_fault::none;
    content::file_kind kind = content::file_kind::other;

    void member(byte_view name, bool encrypted) override {
        names.emplace_back(name);
        names.back() += encrypted ? '*' : ' ';
    }
};

constexpr content::listing_limits limits{.members_max = 20,
                                         .name_bytes_max = 64,
                                         .all_name_bytes_max = 400,
                                         .unpacked_bytes_max = 100'000,
                                         .unpacked_bytes_free = 10'000,
                                         .ratio_max = 20};

listed list(content::archive_format format, byte_view bytes, std::size_t step) {
    listed out;
    content::archive_listing listing(format, out, limits);
    while (!bytes.empty()) {
        const std::string chunk(bytes.substr(0, step));
        listing.feed(chunk);
        bytes.remove_prefix(chunk.size());
    }
    listing.finish();
    out.fault = listing.fault();
    out.kind = listing.inner_kind();
    return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const byte_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
    const std::size_t step = data[0] % 64U + 1;
    for (const auto format : {content::archive_format::zip,
                              content::archive_format::tar,
                              content::archive_format::gzip}) {
        const listed whole = list(format, bytes, bytes.size() + 1);
        const listed pieces = list(format, bytes, step);
        require(whole.names == pieces.names && whole.fault == pieces.fault);
        require(whole.kind == pieces.kind);
        require(whole.names.size() <= 2 * limits.all_name_bytes_max);
    }
    ebbgate::policy::attachment_settings settings;
    const std::string all_names[] = {"a.zip", "a.tar", "a.csv.gz", "a.gif"};
    for (const std::string& name : all_names) {
        content::attachment_judge whole(settings, limits);
        whole.begin({{&name, 1}, "x/y", true});
        whole.feed(bytes);
        whole.end();
        content::attachment_judge pieces(settings, limits);
        pieces.begin({{&name, 1}, "x/y", true});
        for (std::size_t at = 0; at < bytes.size(); at += step) {
            pieces.feed(bytes.substr(at, step));
        }
        pieces.end();
        require(whole.refusal() == pieces.refusal());
    }
    return 0;
}
