// Puts a file into a store of links, as a message with a large attachment would, and prints what
// stands behind the link's url.
//
//   put_blob STORE FILE NAME TYPE TENANT URL KEEP_SECONDS [revoked]

#include "crypto/hash.h"
#include "store/blob/blob_store.h"

#include <sys/types.h>

#include <charconv>
#include <cstdio>
#include <ctime>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

int failed(std::string_view why) {
    std::fprintf(stderr, "put_blob: %.*s\n", static_cast<int>(why.size()), why.data());
    return 1;
}

// Into `to`, with the hash and the length for the link.
bool copy(int from, int to, blob::link& into) {
    std::vector<char> buffer(mib);
    crypto::hash hash;
    for (;;) {
        const ssize_t got = read(from, buffer.data(), buffer.size());
        if (got <= 0) {
            into.hash = hash.finish().bytes;
            return got == 0 && fdatasync(to) == 0;
        }
        const auto bytes = static_cast<std::size_t>(got);
        hash.update({buffer.data(), bytes});
        into.bytes += bytes;
        if (write(to, buffer.data(), bytes) != got) {
            return false;
        }
    }
}

} // namespace

int main(int argc, char** argv) {
    const std::vector<std::string_view> arguments(argv, argv + argc);
    if (arguments.size() < 8) {
        return failed("expected STORE FILE NAME TYPE TENANT URL KEEP_SECONDS [revoked]");
    }
    std::int64_t keep_s = 0;
    (void)std::from_chars(arguments[7].begin(), arguments[7].end(), keep_s);
    auto store = blob::blob_store::open(std::string(arguments[1]));
    if (!store) {
        return failed(store.error().detail);
    }
    blob::link wanted;
    wanted.token = blob::make_token();
    wanted.name = arguments[3];
    wanted.extension = blob::extension_of(wanted.name);
    wanted.content_type = arguments[4];
    wanted.tenant = arguments[5];
    wanted.url = arguments[6];
    wanted.sender = "ceo@acme.test";
    wanted.message_id = "test";
    wanted.created_unix_s = std::time(nullptr);
    wanted.expires_unix_s = wanted.created_unix_s + keep_s;
    const int from = open(argv[2], O_RDONLY | O_CLOEXEC);
    const auto to = (*store)->create_temporary();
    if (from < 0 || !to || !copy(from, *to, wanted)) {
        return failed("the file cannot be copied");
    }
    if (const auto done = (*store)->publish(*to, wanted); !done) {
        return failed(done.error().detail);
    }
    close(from);
    close(*to);
    if (arguments.size() > 8 && !(*store)->revoke(wanted.token, wanted.created_unix_s)) {
        return failed("it cannot be revoked");
    }
    std::printf("%s\n", wanted.file_name().c_str());
    return 0;
}
